//! `demo`: a whole evening on a platform of its own. Every number it prints is read back from the APIs.

mod evening;
mod real;
mod screen;
mod seeds;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use api_client::{
    access::AccessClient, cmdb::CmdbClient, itsm::ItsmClient, patch::PatchClient, sim::SimClient,
};
use api_types::access::{CreateToken, Role};
use service_kit::cli;

use crate::{
    arguments::{DemoArguments, DemoHosts, GlobalOptions},
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
    };
    println!("Starting the platform with a private PostgreSQL under {}", data_dir.display());
    let mut platform = Platform::start(&config).await?;
    let dashboard = platform.addresses.patch_manager.clone();
    let cast = cast(&platform, arguments.hosts).await?;
    let played = tokio::select! {
        played = evening::play(&cast) => played,
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
    let admin = AccessClient::new(&addresses.patch_manager, platform.admin_token.expose());
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

async fn token(admin: &AccessClient, subject: &str, role: Role) -> Result<String, Failure> {
    let request = CreateToken { subject: subject.to_owned(), roles: vec![role], expires_in_days: 1 };
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
