//! What a run costs the platform, for more and more hosts.
//!
//! `cargo xtask bench run [-- --hosts 24,200,1000,10000 --ansible 24,200]`. Each run has a platform of its own: the four
//! services on a new database in a durable PostgreSQL. First a script in the place of `ansible-playbook` reports the work on
//! model hosts at once, so that only the platform's own work is measured: CPU of the services, CPU of PostgreSQL,
//! transactions. Then real Ansible patches model hosts, through the platform and by the bare command. Everything shares this
//! machine.

mod bare;
#[path = "../shared/platform.rs"]
#[allow(dead_code, reason = "another benchmark uses the rest")]
mod platform;
mod script;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Parser;
use local_postgres::{LocalPostgres, LocalPostgresConfig};
use platform::{Platform, Setup, real_ansible};

/// Hosts in work at once.
const PARALLEL: u16 = 50;
/// CPU per host of the largest run, relative to the run of the size that it is compared with.
const MAX_GROWTH: f64 = 2.5;
const COMPARED_WITH: usize = 200;
const RUN_LIMIT: Duration = Duration::from_secs(3600);

#[derive(Parser)]
#[command(name = "cargo xtask bench run")]
struct Arguments {
    /// Hosts of the scripted runs
    #[arg(long, value_delimiter = ',', default_values_t = [24, 200, 1000, 10_000])]
    hosts: Vec<usize>,
    /// Hosts of the runs with real Ansible; 0 leaves this part out
    #[arg(long, value_delimiter = ',', default_values_t = [24, 200])]
    ansible: Vec<usize>,
}

/// What one run took.
struct Measured {
    seconds: f64,
    /// CPU seconds of the four services, without their children.
    services: f64,
    /// CPU seconds of PostgreSQL.
    database: f64,
    transactions: i64,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    match script::play_if_called() {
        Some(played) => played,
        None => tokio::runtime::Runtime::new()?.block_on(measure_all(Arguments::parse())),
    }
}

async fn measure_all(arguments: Arguments) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("bench-run-").tempdir()?;
    let mut config = LocalPostgresConfig::new(folder.path().join("db"));
    config.settings.insert("max_connections".to_owned(), "200".to_owned());
    let server = tokio::task::spawn_blocking(move || LocalPostgres::start(config)).await??;
    println!("a script in the place of Ansible, {PARALLEL} hosts at once");
    println!("   hosts  seconds  services, CPU ms/host  PostgreSQL, CPU ms/host  transactions/host");
    let mut costs: Vec<(usize, f64)> = Vec::new();
    for hosts in arguments.hosts {
        let setup = Setup { hosts, parallel: PARALLEL, agents: 0, ansible: std::env::current_exe()? };
        let measured = measure(&server, &format!("script_{hosts}"), folder.path(), &setup).await?;
        let per_host = |seconds: f64| seconds * 1e3 / hosts as f64;
        println!(
            "{hosts:8} {:8.1} {:22.1} {:24.1} {:18.1}",
            measured.seconds,
            per_host(measured.services),
            per_host(measured.database),
            measured.transactions as f64 / hosts as f64
        );
        costs.push((hosts, per_host(measured.services + measured.database)));
    }
    let compared = costs.iter().find(|(hosts, _)| *hosts == COMPARED_WITH);
    if let (Some((_, few)), Some((hosts, many))) = (compared, costs.iter().max_by_key(|(hosts, _)| hosts)) {
        let (growth, verdict) = (many / few, |is_met: bool| if is_met { "met" } else { "MISSED" });
        println!(
            "CPU per host at {hosts} hosts {growth:.2} times that at {COMPARED_WITH}, target {MAX_GROWTH}: {}",
            verdict(growth <= MAX_GROWTH)
        );
    }
    for hosts in arguments.ansible.into_iter().filter(|hosts| *hosts > 0) {
        compare_with_bare(&server, folder.path(), hosts).await?;
    }
    Ok(())
}

async fn compare_with_bare(server: &LocalPostgres, folder: &Path, hosts: usize) -> anyhow::Result<()> {
    let setup = Setup { hosts, parallel: 24, agents: 0, ansible: real_ansible()? };
    println!("real Ansible, {hosts} model hosts, {} at once", setup.parallel);
    let with = measure(server, &format!("ansible_{hosts}"), folder, &setup).await?;
    println!(
        "  platform: {:.1} s from the first host to the report; CPU of the services {:.1} s, of PostgreSQL {:.1} s",
        with.seconds, with.services, with.database
    );
    let name = format!("bare_{hosts}");
    let platform = Platform::start(server, &name, folder, &setup).await?;
    let seconds = bare::patch(&platform, &folder.join(&name), hosts, setup.parallel).await?;
    platform.stop().await;
    println!("  bare ansible-playbook: {seconds:.1} s; platform {:.2} times as long", with.seconds / seconds);
    Ok(())
}

/// Plans and approves a run, and measures it from there to its end.
async fn measure(
    server: &LocalPostgres,
    name: &str,
    folder: &Path,
    setup: &Setup,
) -> anyhow::Result<Measured> {
    let platform = Platform::start(server, name, folder, setup).await?;
    let work_dir = folder.join(name);
    std::fs::create_dir_all(&work_dir)?;
    std::fs::write(work_dir.join(script::PATCHED), "")?;
    let run = platform.approved_run().await?;
    let before = Costs::read(server, &platform).await?;
    let began = tokio::time::Instant::now();
    let ended = loop {
        let now = platform.service_run(&run).await?;
        if !now["ended_at"].is_null() {
            break now;
        }
        ensure!(began.elapsed() < RUN_LIMIT, "the run does not end: {now:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    ensure!(ended["state"] == "succeeded", "the run did not succeed: {ended:#}");
    ensure!(ended["hosts"]["succeeded"] == setup.hosts, "not all hosts were patched: {ended:#}");
    let after = Costs::read(server, &platform).await?;
    let measured = Measured {
        seconds: platform.seconds_of(&run).await?,
        services: after.services - before.services,
        database: after.database - before.database,
        transactions: after.transactions - before.transactions,
    };
    platform.stop().await;
    Ok(measured)
}

/// Counters that only grow.
struct Costs {
    services: f64,
    database: f64,
    transactions: i64,
}

impl Costs {
    async fn read(server: &LocalPostgres, platform: &Platform) -> anyhow::Result<Self> {
        let postmaster = server.pid().context("PostgreSQL runs")?;
        Ok(Self {
            services: cpu_seconds("self")?.0,
            database: database_seconds(postmaster)?,
            transactions: platform.transactions().await?,
        })
    }
}

/// CPU seconds of PostgreSQL: of its processes, and of those that have ended.
fn database_seconds(postmaster: u32) -> anyhow::Result<f64> {
    let (own, ended) = cpu_seconds(&postmaster.to_string())?;
    let mut sum = own + ended;
    for process in std::fs::read_dir("/proc")?.filter_map(Result::ok) {
        let name = process.file_name().to_string_lossy().into_owned();
        // A process may end while it is read: then its parent has counted it, or will.
        if name.bytes().all(|byte| byte.is_ascii_digit()) && parent(&process.path()) == Some(postmaster) {
            sum += cpu_seconds(&name).map_or(0.0, |(own, _)| own);
        }
    }
    Ok(sum)
}

fn parent(process: &Path) -> Option<u32> {
    fields(&process.join("stat"))?.get(1)?.parse().ok()
}

/// CPU seconds of a process, and of its children that have ended.
fn cpu_seconds(process: &str) -> anyhow::Result<(f64, f64)> {
    let path = PathBuf::from("/proc").join(process).join("stat");
    let fields = fields(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    // Fields 14 to 17 of proc(5), in hundredths of a second; the first here is the third there.
    let ticks = |number: usize| -> anyhow::Result<f64> {
        Ok(fields.get(number - 3).context("no such field")?.parse()?)
    };
    Ok(((ticks(14)? + ticks(15)?) / 100.0, (ticks(16)? + ticks(17)?) / 100.0))
}

/// The fields after the name of the program.
fn fields(stat: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(stat).ok()?;
    Some(text.rsplit(") ").next()?.split_whitespace().map(str::to_owned).collect())
}
