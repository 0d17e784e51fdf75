//! `demo`: a whole evening on a platform of its own. It reads every number that it prints from the APIs.

mod brownfield;
mod cast;
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

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use service_kit::{Clock, cli, tls::Transport};

use crate::{
    arguments::{DemoArguments, DemoHosts, GlobalOptions, Scene},
    platform::{Platform, PlatformConfig},
};
use terminal::{CommandResult, Failure, OK};

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
    let cast = cast::cast(&platform, arguments.hosts, config.clock.clone()).await?;
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
