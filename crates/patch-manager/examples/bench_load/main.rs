//! A run beside clients that read and push inventories, compared with the same run alone.
//!
//! `cargo xtask bench load [-- --clients N --seconds N --hosts N --eager N]`. Three platforms in turn, each with its own
//! database in a durable PostgreSQL, the four services, and model hosts that real Ansible patches: the run alone, with clients
//! that send one request a second each, and with clients that send without pause. Clients, services and hosts share this
//! machine. The targets are those of paced clients; eager clients use up the processor, so only their errors, their P99 and
//! lost leases are reported.

mod clients;
#[path = "../shared/platform.rs"]
#[allow(dead_code, reason = "another benchmark uses the rest")]
mod platform;

use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use clients::{Clients, Pace, Results};
use local_postgres::{LocalPostgres, LocalPostgresConfig};
use platform::{Platform, Setup, real_ansible};

const MAX_P99: Duration = Duration::from_secs(1);
const MAX_SLOWDOWN: f64 = 1.2;
/// Hosts in work at once.
const PARALLEL: u16 = 4;

#[derive(Parser)]
#[command(name = "cargo xtask bench load")]
struct Arguments {
    /// Clients that send one request a second each
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5000))]
    clients: u32,
    /// Minimum duration of the load; it lasts at least as long as the run
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Hosts that the run patches
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=500))]
    hosts: u32,
    /// Clients that send without pause; 0 leaves this part out
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=500))]
    eager: u32,
}

/// What one platform showed.
struct Measured {
    run_seconds: f64,
    lost_leases: i64,
    results: Results,
    /// Resident memory of clients and services, the most that was seen.
    megabytes: f64,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::Builder::new().prefix("bench-load-").tempdir()?;
    let mut config = LocalPostgresConfig::new(folder.path().join("db"));
    config.settings.insert("max_connections".to_owned(), "200".to_owned());
    let server = tokio::task::spawn_blocking(move || LocalPostgres::start(config)).await??;
    let seconds = Duration::from_secs(arguments.seconds.into());
    let hosts = arguments.hosts as usize;
    let setup = Setup { hosts, parallel: PARALLEL, agents: hosts, ansible: real_ansible()? };
    let measure = async |name: &str, pace, clients, lasting| {
        let platform = Platform::start(&server, name, folder.path(), &setup).await?;
        let measured = measure(&platform, Clients { pace, number: clients, hosts }, lasting).await?;
        platform.stop().await;
        report(name, &measured);
        anyhow::Ok(measured)
    };
    println!("{hosts} model hosts, real Ansible, everything on this machine");
    let alone = measure("alone", Pace::Second, 0, Duration::ZERO).await?;
    let paced = measure("paced", Pace::Second, arguments.clients, seconds).await?;
    if arguments.eager > 0 {
        measure("eager", Pace::None, arguments.eager, seconds).await?;
    }
    let verdict = |is_met: bool| if is_met { "met" } else { "MISSED" };
    let slowdown = paced.run_seconds / alone.run_seconds;
    let errors = paced.results.errors();
    println!("errors {errors}, target 0: {}", verdict(errors == 0));
    println!(
        "P99 {:.0} ms, target {:.0} ms: {}",
        milliseconds(paced.results.at(0.99)),
        milliseconds(MAX_P99),
        verdict(paced.results.at(0.99) < MAX_P99)
    );
    println!("run {slowdown:.2} times as long, target {MAX_SLOWDOWN}: {}", verdict(slowdown <= MAX_SLOWDOWN));
    Ok(())
}

/// Starts the run and the clients together.
async fn measure(platform: &Platform, clients: Clients, lasting: Duration) -> anyhow::Result<Measured> {
    let approved = platform.approved_run().await?;
    let load = clients.start(platform, &approved).await?;
    let (began, mut megabytes) = (tokio::time::Instant::now(), 0.0_f64);
    let executing = platform.service_run(&approved).await?;
    let epoch = platform.lease_epoch(&approved).await?;
    ensure!(executing["ended_at"].is_null(), "the run ended before it was measured: {executing:#}");
    let ended = loop {
        let now = platform.service_run(&approved).await;
        megabytes = megabytes.max(memory_megabytes());
        match now {
            Ok(now) if !now["ended_at"].is_null() => break now,
            Ok(_) => {}
            Err(error) => println!("  {error}"),
        }
        ensure!(began.elapsed() < Duration::from_secs(1800), "the run does not end");
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    ensure!(ended["state"] == "succeeded", "the run did not succeed: {ended:#}");
    let run_seconds = platform.seconds_of(&approved).await?;
    let lost_leases = platform.lease_epoch(&approved).await? - epoch;
    tokio::time::sleep(lasting.saturating_sub(began.elapsed())).await;
    let results = load.stop().await;
    Ok(Measured { run_seconds, lost_leases, results, megabytes: megabytes.max(memory_megabytes()) })
}

fn report(name: &str, measured: &Measured) {
    let Measured { run_seconds, lost_leases, results, megabytes } = measured;
    println!(
        "{name}: run {run_seconds:.1} s, lost leases {lost_leases}, services and clients {megabytes:.0} MB"
    );
    if results.requests() == 0 {
        return;
    }
    println!(
        "  {} requests in {:.0} s ({:.0} a second), P50 {:.0} ms, P99 {:.0} ms, longest {:.0} ms",
        results.requests(),
        results.lasted.as_secs_f64(),
        results.requests() as f64 / results.lasted.as_secs_f64(),
        milliseconds(results.at(0.5)),
        milliseconds(results.at(0.99)),
        milliseconds(results.at(1.0)),
    );
    for (error, count) in &results.errors {
        println!("  {count} times: {error}");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Resident memory of this process in MB.
fn memory_megabytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}
