//! `demo`: a whole evening on a platform of its own. Every number it prints is read back from the APIs.

mod evening;
mod real;
mod releases;
mod screen;
mod seeds;

use std::{
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use api_client::{
    access::AccessClient, cmdb::CmdbClient, itsm::ItsmClient, patch::PatchClient, releases::ReleasesClient,
    sim::SimClient, sim_customers::SimCustomersClient,
};
use api_types::access::{CreateToken, Role};
use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use service_kit::{Clock, cli};

use crate::{
    arguments::{DemoArguments, DemoHosts, GlobalOptions, Scene},
    failure::{ExitStatus, Failure, Outcome},
    platform::{Platform, PlatformConfig},
};

/// The people of the evening, each with a token of their own, and the services as they see them.
struct Cast {
    hosts: DemoHosts,
    /// Asks for the work.
    olivia: PatchClient,
    olivia_cmdb: CmdbClient,
    olivia_sim: SimClient,
    olivia_itsm: ItsmClient,
    /// Approves it.
    arjun: ItsmClient,
}

pub async fn run(global: &GlobalOptions, arguments: DemoArguments) -> Outcome {
    let stop = cli::stop_signal()?;
    let data_dir = global.data_dir.clone().unwrap_or_else(default_data_dir);
    let port_base = free_port_base(global.port_base)?;
    let config = PlatformConfig {
        data_dir: data_dir.clone(),
        port_base,
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        database_url: None,
        fleet_dir: (arguments.hosts == DemoHosts::Real).then(|| data_dir.join("fleet")),
        clock: match arguments.scene {
            Scene::Evening => Clock::system(),
            Scene::Releases => Clock::fixed(next_monday(Utc::now())),
        },
        release_checks: match arguments.scene {
            Scene::Evening => None,
            Scene::Releases => Some(data_dir.join("releases/checks")),
        },
    };
    println!("Starting the platform with a private PostgreSQL under {}", data_dir.display());
    let mut platform = Platform::start(&config).await?;
    let dashboard = platform.addresses.patch_manager.clone();
    let cast = cast(&platform, arguments.hosts).await?;
    let stage = stage(&platform, &config).await?;
    write_checks(&data_dir)?;
    let scene = async {
        match arguments.scene {
            Scene::Evening => evening::play(&cast).await,
            Scene::Releases => releases::play(&stage).await,
        }
    };
    let played = tokio::select! {
        played = scene => played,
        failure = platform.failed() => Err(failure),
        () = stop.cancelled() => Err(Failure::new("stopped before its end")),
    };
    if !arguments.keep && played.is_ok() {
        println!(
            "\nThe platform is stopped now; with --keep it stays up, with its dashboard at {dashboard}/"
        );
    }
    if arguments.keep && played.is_ok() {
        println!(
            "\nThe dashboard is at {dashboard}/ until ctrl-C; sign in with the admin token in {}",
            platform.admin_token_file().display()
        );
        tokio::select! {
            () = stop.cancelled() => {}
            failure = platform.failed() => { platform.stop().await; return Err(failure); }
        }
    }
    if arguments.hosts == DemoHosts::Real {
        // Real hosts would outlive the platform.
        println!("The real hosts are taken down");
        real::take_down(&cast).await;
    }
    platform.stop().await;
    if !arguments.keep && global.data_dir.is_none() {
        std::fs::remove_dir_all(&data_dir).ok();
    }
    played.map(|()| ExitStatus::Ok)
}

async fn cast(platform: &Platform, hosts: DemoHosts) -> Result<Cast, Failure> {
    let addresses = &platform.addresses;
    let admin = AccessClient::new(&addresses.patch_manager, platform.admin_token.expose_secret());
    let olivia = token(&admin, "olivia", Role::Operator).await?;
    let arjun = token(&admin, "arjun", Role::Approver).await?;
    Ok(Cast {
        hosts,
        olivia: PatchClient::new(&addresses.patch_manager, &olivia),
        olivia_cmdb: CmdbClient::new(&addresses.cmdb, &olivia),
        olivia_sim: SimClient::new(&addresses.sim_engine, &olivia),
        olivia_itsm: ItsmClient::new(&addresses.itsm, &olivia),
        arjun: ItsmClient::new(&addresses.itsm, &arjun),
    })
}

async fn stage(platform: &Platform, config: &PlatformConfig) -> Result<releases::Stage, Failure> {
    let addresses = &platform.addresses;
    let admin = AccessClient::new(&addresses.patch_manager, platform.admin_token.expose_secret());
    let olivia = token(&admin, "olivia", Role::Operator).await?;
    let arjun = token(&admin, "arjun", Role::Approver).await?;
    Ok(releases::Stage {
        clock: config.clock.clone(),
        olivia: ReleasesClient::new(&addresses.patch_manager, &olivia),
        sim: SimCustomersClient::new(&addresses.sim_engine, &olivia),
        arjun: ItsmClient::new(&addresses.itsm, &arjun),
        began: tokio::time::Instant::now(),
    })
}

/// The scene begins on a Monday morning, so that its weekdays are the same whenever it is played.
fn next_monday(now: DateTime<Utc>) -> DateTime<Utc> {
    let days = 7 - i64::from(now.weekday().num_days_from_monday());
    let nine = NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
    (now.date_naive() + TimeDelta::days(days)).and_time(nine).and_utc()
}

/// Where the server looks for the checks of its release policies.
fn write_checks(data_dir: &Path) -> Result<(), Failure> {
    let folder = data_dir.join("releases");
    for (name, text) in releases::CHECK_FILES {
        let file = folder.join(name);
        let written = std::fs::create_dir_all(file.parent().unwrap_or(&folder))
            .and_then(|()| std::fs::write(&file, text))
            .and_then(|()| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)));
        written.map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))?;
    }
    Ok(())
}

async fn token(admin: &AccessClient, subject: &str, role: Role) -> Result<String, Failure> {
    let request = CreateToken { subject: subject.to_owned(), roles: vec![role], expires_in_days: 60 };
    Ok(admin.create_token(&request).await?.token)
}

fn default_data_dir() -> PathBuf {
    std::env::temp_dir().join(format!("patch-manager-demo-{}", std::process::id()))
}

/// Four free ports in a row, from `first` on.
fn free_port_base(first: u16) -> Result<u16, Failure> {
    let is_free = |port: u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (first..first.saturating_add(1000).min(65_530))
        .step_by(10)
        .find(|base| (0..4).all(|offset| is_free(base + offset)))
        .ok_or_else(|| {
            Failure::new(format!("no four free ports in a row were found from {first} on"))
                .hint("name others with --port-base")
        })
}
