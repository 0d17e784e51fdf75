//! How fast plans are made and played on layered graphs, and how that compares with SimPy on the same model.
//!
//! `cargo run --release --example bench_simulate -- [largest graph]`. Times are CPU time of the whole process, so a busy
//! machine and many cores change little. `PATCH_BENCH_PYTHON` names a Python that has SimPy; without one that part is
//! left out.

use std::{
    error::Error,
    fs,
    hint::black_box,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use domain::strategy::Strategy;
use nix::time::{ClockId, clock_gettime};
use planner::{
    NodePlan, Scenario,
    strategy::{StepIds, plan},
};
use serde::Deserialize;
use serde_json::json;
use simulator::{
    layered::layered,
    native::{NativeOptions, Sampling, Simulation},
    reference,
};

type Failure = Box<dyn Error>;

const BATCH_SIZE: usize = 2;
const SEED: u64 = 1;
/// Nodes, rounds of which the median counts, and the target in CPU seconds for all strategies planned and simulated.
const GRAPHS: [(usize, usize, Option<f64>); 4] =
    [(100, 51, None), (1_000, 21, Some(0.003)), (10_000, 5, Some(0.060)), (100_000, 3, Some(2.0))];
/// The reference adds exposure up in file order at every step, which takes the square of the nodes; its last digit
/// depends on that order.
const LARGEST_REFERENCE: usize = 10_000;
const MEMORY_TARGET_MB: u64 = 500;
const RUNS_TARGET: f64 = 8_000.0;
const SIMPY_TARGET: f64 = 10.0;
/// Many enough for a second of CPU time.
const MONTE_CARLO_RUNS: u32 = 2_000;
const SIMPY_RUNS: usize = 30;
const OUR_RUNS: u64 = 1_000;

fn main() -> Result<(), Failure> {
    let largest: usize = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    all_strategies(largest)?;
    let scenario = layered(1_000, SEED);
    monte_carlo(&scenario)?;
    beside_simpy(&scenario)
}

/// Each size under all strategies: the native mode's figures, and the reference mode with its events.
fn all_strategies(largest: usize) -> Result<(), Failure> {
    println!(
        "All {} strategies planned and simulated, CPU time, median of several rounds",
        Strategy::ALL.len()
    );
    println!(
        "{:>8} {:>12} {:>12} {:>14} {:>16} {:>9}",
        "nodes", "native", "target", "a node", "reference", "peak"
    );
    let mut a_node = Vec::new();
    for (nodes, rounds, target) in GRAPHS.into_iter().filter(|(nodes, ..)| *nodes <= largest) {
        let scenario = layered(nodes, SEED);
        let native = median(rounds, || play_native(&scenario))?;
        let peak = peak_megabytes()?;
        let reference = match nodes <= LARGEST_REFERENCE {
            true => milliseconds(median(rounds, || play_reference(&scenario))?),
            false => "left out".to_owned(),
        };
        a_node.push(native.as_secs_f64() / nodes as f64);
        println!(
            "{nodes:>8} {:>12} {:>12} {:>14} {:>16} {:>9}{}",
            milliseconds(native),
            target.map_or(String::new(), |target| milliseconds(Duration::from_secs_f64(target))),
            format!("{:.2} us", native.as_secs_f64() * 1e6 / nodes as f64),
            reference,
            format!("{peak} MB"),
            target.map_or("", |target| verdict(native.as_secs_f64() <= target)),
        );
        if nodes == 100_000 {
            println!(
                "{:>8} peak memory, target {MEMORY_TARGET_MB} MB{}",
                "",
                verdict(peak <= MEMORY_TARGET_MB)
            );
        }
    }
    if let [_, small, .., large] = a_node[..] {
        println!("a node of the largest graph costs {:.2} times one of 1,000 nodes\n", large / small);
    }
    Ok(())
}

fn play_native(scenario: &Scenario) {
    let options = NativeOptions::default();
    let simulation = Simulation::new(scenario, &options);
    for plan in plans(scenario, StepIds::Unique) {
        black_box(simulation.measure(&plan, SEED));
    }
}

fn play_reference(scenario: &Scenario) {
    for plan in plans(scenario, StepIds::Reference) {
        // A refused plan ends early, as it does in the simulator whose figures this mode meets.
        black_box(reference::run(scenario, &plan, SEED as i64).is_ok());
    }
}

fn plans(scenario: &Scenario, ids: StepIds) -> impl Iterator<Item = NodePlan> {
    Strategy::ALL.into_iter().filter_map(move |strategy| plan(scenario, strategy, BATCH_SIZE, ids).ok())
}

fn monte_carlo(scenario: &Scenario) -> Result<(), Failure> {
    println!("Monte Carlo of {MONTE_CARLO_RUNS} runs on {} nodes, runs a CPU second", scenario.nodes.len());
    let options = NativeOptions::default();
    let simulation = Simulation::new(scenario, &options);
    for plan in plans(scenario, StepIds::Unique) {
        let began = cpu()?;
        black_box(simulation.monte_carlo(&plan, &Sampling::new(MONTE_CARLO_RUNS, SEED)));
        let rate = f64::from(MONTE_CARLO_RUNS) / (cpu()? - began).as_secs_f64();
        println!(
            "{:>14} {rate:>10.0}  target {RUNS_TARGET:.0}{}",
            plan.strategy.name(),
            verdict(rate >= RUNS_TARGET)
        );
    }
    println!();
    Ok(())
}

#[derive(Deserialize)]
struct SimpyAnswer {
    version: String,
    attempts: u64,
    cpu_seconds: f64,
    mean_seconds: f64,
}

/// An event is the beginning or the end of an attempt on a node; both sides count these alone.
fn beside_simpy(scenario: &Scenario) -> Result<(), Failure> {
    let Some(python) = std::env::var_os("PATCH_BENCH_PYTHON") else {
        println!("SimPy is left out: PATCH_BENCH_PYTHON names no Python that has it");
        return Ok(());
    };
    let plan = plan(scenario, Strategy::Rolling, BATCH_SIZE, StepIds::Unique)?;
    let options = NativeOptions::default();
    let simulation = Simulation::new(scenario, &options);
    let (mut attempts, mut seconds) = (0, 0.0);
    let began = cpu()?;
    for seed in 0..OUR_RUNS {
        let metrics = simulation.measure(&plan, seed);
        attempts += scenario.nodes.len() as u64 + u64::from(metrics.retries);
        seconds += metrics.duration_seconds;
    }
    let ours = 2.0 * attempts as f64 / (cpu()? - began).as_secs_f64();
    let simpy = ask_simpy(&python, scenario, &plan)?;
    let theirs = 2.0 * simpy.attempts as f64 / simpy.cpu_seconds;
    println!("The rolling plan of {} nodes, events a CPU second", scenario.nodes.len());
    let mean = seconds / OUR_RUNS as f64;
    println!("{:>14} {ours:>10.0}  (mean duration {mean:.0} s)", "here");
    println!(
        "{:>14} {theirs:>10.0}  (mean duration {:.0} s)",
        format!("SimPy {}", simpy.version),
        simpy.mean_seconds
    );
    let ratio = ours / theirs;
    println!("{:>14} {ratio:>10.1}  target {SIMPY_TARGET:.0}{}", "ratio", verdict(ratio >= SIMPY_TARGET));
    Ok(())
}

fn ask_simpy(python: &std::ffi::OsStr, scenario: &Scenario, plan: &NodePlan) -> Result<SimpyAnswer, Failure> {
    let nodes = scenario.nodes.iter().map(|node| {
        json!({
            "service": node.service,
            "seconds": node.patch.duration_seconds,
            "failure_probability": node.patch.failure_probability,
            "reboots": node.patch.requires_reboot,
            "weight": node.weight(),
        })
    });
    let model = json!({
        "runs": SIMPY_RUNS,
        "nodes": nodes.collect::<Vec<_>>(),
        "min_up": scenario.services.iter().map(|service| service.min_up).collect::<Vec<_>>(),
        "steps": plan.steps.iter().map(|step| plan.node_numbers(step)).collect::<Vec<_>>(),
    });
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/simpy/model.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no pipe to SimPy")?.write_all(model.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err("the SimPy model failed; see above".into()),
    }
}

/// CPU time that all threads of this process have taken so far.
fn cpu() -> Result<Duration, Failure> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

fn median(rounds: usize, mut work: impl FnMut()) -> Result<Duration, Failure> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = cpu()?;
        work();
        times.push(cpu()? - began);
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// The most memory this process has had at once.
fn peak_megabytes() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn verdict(met: bool) -> &'static str {
    if met { "  met" } else { "  MISSED" }
}
