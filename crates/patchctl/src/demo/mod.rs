//! `demo`: a whole evening on a platform of its own. It reads every number that it prints from the APIs.

mod brownfield;
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
use api_types::access::{CreateToken, Outcome, Proposed, PutPerson, Role, Subject};
use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use service_kit::{Clock, cli, tls::Transport};
use tokio::time::Instant;

use crate::{
    arguments::{DemoArguments, DemoHosts, GlobalOptions, Scene},
    failure::{CommandResult, Failure, OK},
    platform::{Platform, PlatformConfig},
};

/// The people of the demo: clients with the token of each.
struct Cast {
    hosts: DemoHosts,
    clock: Clock,
    started: Instant,
    /// The operator.
    olivia: PatchClient,
    olivia_cmdb: CmdbClient,
    olivia_sim: SimClient,
    olivia_itsm: ItsmClient,
    olivia_releases: ReleasesClient,
    sim_customers: SimCustomersClient,
    /// The approver.
    arjun: ItsmClient,
    olivia_token: String,
    arjun_token: String,
}

pub async fn run(global: &GlobalOptions, arguments: DemoArguments) -> CommandResult {
    let stop = cli::stop_signal()?;
    let data_dir = global.data_dir.clone().unwrap_or_else(default_data_dir);
    let port_base = free_port_base(global.port_base)?;
    let config = PlatformConfig {
        data_dir: data_dir.clone(),
        port_base,
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::default(),
        database_url: None,
        fleet_dir: (arguments.hosts != DemoHosts::Model).then(|| data_dir.join("fleet")),
        laboratory: true,
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
    let console = platform.addresses.patch_manager.clone();
    let cast = cast(&platform, arguments.hosts, config.clock.clone()).await?;
    write_checks(&data_dir)?;
    let scene = async {
        match arguments.scene {
            Scene::Evening if arguments.hosts == DemoHosts::Brownfield => {
                brownfield::play(&cast, &data_dir, port_base).await
            }
            Scene::Evening => evening::play(&cast).await,
            Scene::Releases => releases::play(&cast).await,
        }
    };
    let result = tokio::select! {
        result = scene => result,
        failure = platform.failed() => Err(failure),
        () = stop.cancelled() => Err(Failure::new("the demo was stopped before its end")),
    };
    if !arguments.keep && result.is_ok() {
        println!("\nThe platform stops now; with --keep it keeps running, with its console at {console}/");
    }
    if arguments.keep && result.is_ok() {
        println!(
            "\nThe console is at {console}/ until ctrl-C; sign in with the admin token in {}",
            platform.admin_token_file().display()
        );
        tokio::select! {
            () = stop.cancelled() => {}
            failure = platform.failed() => { platform.stop().await; return Err(failure); }
        }
    }
    if arguments.hosts != DemoHosts::Model {
        // Real hosts would survive the platform.
        println!("The real hosts are deleted");
        real::delete_hosts(&cast).await;
    }
    platform.stop().await;
    if !arguments.keep && global.data_dir.is_none() {
        std::fs::remove_dir_all(&data_dir).ok();
    }
    result.and(OK)
}

async fn cast(platform: &Platform, hosts: DemoHosts, clock: Clock) -> Result<Cast, Failure> {
    let addresses = &platform.addresses;
    let admin = AccessClient::new(&addresses.patch_manager, platform.admin_token.expose_secret());
    let olivia = token(&admin, "olivia", Role::Operator).await?;
    // The first approver: nobody else could confirm him.
    let person = PutPerson { emails: vec!["arjun@example.com".to_owned()], roles: vec![Role::Approver] };
    confirmed(admin.put_person("arjun", &person).await?)?;
    let arjun = token(&admin, "arjun", Role::Approver).await?;
    Ok(Cast {
        hosts,
        clock,
        started: Instant::now(),
        olivia: PatchClient::new(&addresses.patch_manager, &olivia),
        olivia_cmdb: CmdbClient::new(&addresses.cmdb, &olivia),
        olivia_sim: SimClient::new(&addresses.sim_engine, &olivia),
        olivia_itsm: ItsmClient::new(&addresses.itsm, &olivia),
        olivia_releases: ReleasesClient::new(&addresses.patch_manager, &olivia),
        sim_customers: SimCustomersClient::new(&addresses.sim_engine, &olivia),
        arjun: ItsmClient::new(&addresses.itsm, &arjun),
        olivia_token: olivia,
        arjun_token: arjun,
    })
}

/// The scene starts on a Monday morning, so that its weekdays are always the same.
fn next_monday(now: DateTime<Utc>) -> DateTime<Utc> {
    let days = 7 - i64::from(now.weekday().num_days_from_monday());
    let nine = NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
    (now.date_naive() + TimeDelta::days(days)).and_time(nine).and_utc()
}

/// Writes the checks of the release policies to the folder where the server looks for them.
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
    let subject = Subject::new(subject).map_err(|error| Failure::new(error.to_string()))?;
    let request = CreateToken { subject, roles: vec![role], ci: None, expires_in_days: 60 };
    Ok(confirmed(admin.create_token(&request).await?)?.token)
}

/// What needs no second person on a platform without people.
fn confirmed<T>(outcome: Outcome<T>) -> Result<T, Failure> {
    match outcome {
        Outcome::Done(made) => Ok(made),
        Outcome::Proposed(proposal) => Err(Failure::new(format!(
            "a second person must confirm `{}`, because the data folder has an approver already",
            match proposal.proposed {
                Proposed::CreateToken { subject, .. } | Proposed::PutPerson { subject, .. } =>
                    subject.to_string(),
                Proposed::WeakenControl(weakening) => weakening.weakens.join("; "),
            }
        ))
        .hint("play the demo in a new folder: leave out --data-dir, or name another")),
    }
}

fn default_data_dir() -> PathBuf {
    std::env::temp_dir().join(format!("patch-manager-demo-{}", std::process::id()))
}

/// The first of four consecutive free ports, from `first` on.
fn free_port_base(first: u16) -> Result<u16, Failure> {
    let is_free = |port: u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (first..first.saturating_add(1000).min(65_530))
        .step_by(10)
        .find(|base| (0..4).all(|offset| is_free(base + offset)))
        .ok_or_else(|| {
            Failure::new(format!("no four consecutive free ports were found from {first} on"))
                .hint("choose another range with --port-base")
        })
}
