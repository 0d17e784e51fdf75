//! The platform's way of patching a wave against the bare `ansible-playbook` command, on the same inventory and playbook.
//!
//! `cargo run --example bench_wave -- [hosts] [rounds]`; both ways alternate within one run, so that a busy machine is
//! as busy for the one as for the other. Prints medians of the wall time and their ratio.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use ansible::{AnsibleRunner, Connection, End, Inventory, Playbook, PlaybookRun, Variables};
use domain::ids::CiId;
use serde_json::json;
use tempfile::TempDir;

#[path = "../tests/it/stub.rs"]
#[allow(dead_code)]
mod stub;

use stub::{Guest, Stub};

type Failure = Box<dyn std::error::Error>;

/// What the platform's way may cost.
const TARGET: f64 = 1.15;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let hosts: u16 = arguments.next().map_or(Ok(24), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let runner = AnsibleRunner::locate()?;
    println!("{hosts} model hosts, patch-mixed, {rounds} rounds of each way, alternating");
    let (mut bare, mut platform) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // The second one finds warmer caches, so each is second every other time.
        let order = if round % 2 == 0 { [true, false] } else { [false, true] };
        for is_bare in order {
            let folder = TempDir::new()?;
            let stub = Stub::start((0..hosts).map(|number| (format!("h{number}"), Guest::default())));
            let run = wave(&stub, &folder, hosts)?;
            let took =
                if is_bare { run_bare(&runner, run).await? } else { run_platform(&runner, run).await? };
            let patched = stub
                .world()
                .guests
                .values()
                .filter(|guest| guest.packages["openssl"] == "3.0.7-18.el9")
                .count();
            if patched != usize::from(hosts) {
                return Err(format!("{patched} of {hosts} hosts were patched").into());
            }
            println!("  {} {:.2} s", if is_bare { "bare    " } else { "platform" }, took.as_secs_f64());
            if is_bare { &mut bare } else { &mut platform }.push(took);
        }
    }
    let (bare, platform) = (median(bare), median(platform));
    let ratio = platform.as_secs_f64() / bare.as_secs_f64();
    println!("median: bare {:.2} s, platform {:.2} s", bare.as_secs_f64(), platform.as_secs_f64());
    println!("ratio {ratio:.3}, target {TARGET}: {}", if ratio <= TARGET { "met" } else { "missed" });
    Ok(())
}

fn wave(stub: &Stub, folder: &TempDir, hosts: u16) -> Result<PlaybookRun, Failure> {
    let mut inventory = Inventory::new();
    for number in 0..hosts {
        let mut variables = Variables::new();
        variables
            .set("pm_driver", "model")
            .set("pm_updates", json!({"openssl": "3.0.7-18.el9"}))
            .set("pm_services", json!(["web"]));
        let id = CiId::new(format!("h{number}"))?;
        inventory.add_host(id.clone(), Connection::Controller, variables)?;
        inventory.add_to_group("packaging_rpm", &id)?;
    }
    let mut run = PlaybookRun::new(Playbook::PatchMixed, inventory, folder.path().join("run"));
    run.forks = hosts;
    run.extra_vars
        .set("pm_sim_url", stub.url.as_str())
        .set("pm_cmdb_url", stub.url.as_str())
        .set("pm_run_id", "bench")
        .set("pm_health_stable_seconds", 0.1);
    Ok(run)
}

async fn run_platform(runner: &AnsibleRunner, run: PlaybookRun) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut running = runner.start(run).await?;
    match running.wait().await {
        Some(ended) if ended.end == End::Succeeded => Ok(began.elapsed()),
        ended => {
            Err(format!("the platform's run ended as {ended:?}; see {}", running.log().display()).into())
        }
    }
}

/// As an operator would type it: the same files, Ansible's own settings but for the number of forks.
async fn run_bare(runner: &AnsibleRunner, run: PlaybookRun) -> Result<Duration, Failure> {
    let prepared = runner.prepare_by_hand(&run)?;
    let mut command = prepared.command();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    if status.success() {
        Ok(began.elapsed())
    } else {
        Err(format!("the bare command ended with {status}").into())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
