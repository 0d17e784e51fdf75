//! How fast plans are made and played on layered graphs, and how that compares with SimPy on the same model.
//!
//! `cargo bench --package simulator --bench simulate -- [largest graph]`. Criterion samples CPU time of the whole process,
//! so a busy machine and many cores change little; the table at the end compares its medians with the targets.
//! `PATCH_BENCH_PYTHON` names a Python that has SimPy; without one that part is left out.

mod cpu;
mod host_plans;
mod layered;
mod simpy;

use std::{
    error::Error,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::Duration,
};

use criterion::{BenchmarkId, Criterion};
use domain::strategy::Strategy;
use planner::{NodePlan, Scenario, strategy::Planner};
use simulator::native::{NativeOptions, Sampling, Simulation};

use self::{cpu::CpuTime, layered::layered};

type Failure = Box<dyn Error>;

const BATCH_SIZE: usize = 2;
const SEED: u64 = 1;
/// Nodes, and the target in CPU seconds for all strategies planned and simulated.
const GRAPHS: [(usize, Option<f64>); 4] =
    [(100, None), (1_000, Some(0.003)), (10_000, Some(0.060)), (100_000, Some(2.0))];
const MEMORY_TARGET_MB: u64 = 500;
const RUNS_TARGET: f64 = 8_000.0;
const MONTE_CARLO_RUNS: u32 = 500;

fn main() -> Result<(), Failure> {
    // Cargo adds `--bench` to the arguments.
    let size = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let largest: usize = size.map_or(Ok(100_000), |text| text.parse())?;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .output_directory(&folder)
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let peak = all_strategies(&mut criterion, largest)?;
    let scenario = layered(1_000, SEED);
    monte_carlo(&mut criterion, &scenario);
    host_plans(&mut criterion, largest)?;
    let table = Table { folder: &folder };
    table.all_strategies(largest, peak)?;
    table.monte_carlo()?;
    table.host_plans(largest)?;
    simpy::beside(&scenario)
}

/// Runs each size under all strategies, natively and by the reference's rules. Returns the native mode's peak memory.
fn all_strategies(criterion: &mut Criterion<CpuTime>, largest: usize) -> Result<u64, Failure> {
    let mut peak = 0;
    for (name, play) in [("native", play_native as fn(&Scenario)), ("reference", play_reference)] {
        let mut group = criterion.benchmark_group(name);
        for (nodes, _) in graphs(largest) {
            let scenario = layered(nodes, SEED);
            group.bench_with_input(BenchmarkId::from_parameter(nodes), &scenario, |bencher, scenario| {
                bencher.iter(|| play(scenario));
            });
        }
        group.finish();
        if name == "native" {
            peak = peak_megabytes()?;
        }
    }
    Ok(peak)
}

fn graphs(largest: usize) -> impl Iterator<Item = (usize, Option<f64>)> {
    GRAPHS.into_iter().filter(move |(nodes, _)| *nodes <= largest)
}

fn play_native(scenario: &Scenario) {
    let options = NativeOptions::default();
    let simulation = Simulation::new(scenario, &options);
    for plan in plans(scenario) {
        black_box(simulation.measure(&plan, SEED));
    }
}

fn play_reference(scenario: &Scenario) {
    for plan in plans(scenario) {
        // A refused plan ends early, as it does in the reference simulator.
        black_box(patchplanner_reference::run(scenario, &plan, SEED as i64).is_ok());
    }
}

fn plans(scenario: &Scenario) -> impl Iterator<Item = NodePlan> {
    let planner = Planner::new(scenario);
    Strategy::ALL.into_iter().filter_map(move |strategy| planner.plan(strategy, BATCH_SIZE).ok())
}

fn monte_carlo(criterion: &mut Criterion<CpuTime>, scenario: &Scenario) {
    let options = NativeOptions::default();
    let simulation = Simulation::new(scenario, &options);
    let mut group = criterion.benchmark_group("monte-carlo");
    for plan in plans(scenario) {
        group.bench_function(plan.strategy.name(), |bencher| {
            bencher.iter(|| simulation.monte_carlo(&plan, &Sampling::new(MONTE_CARLO_RUNS, SEED)));
        });
    }
    group.finish();
}

/// Forecasts of plans of hosts: the plays of a policy's preview and of every run.
fn host_plans(criterion: &mut Criterion<CpuTime>, largest: usize) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group("host-plans");
    for hosts in host_plans::SIZES.into_iter().filter(|hosts| *hosts <= largest) {
        let planned = host_plans::Planned::new(hosts)?;
        group.bench_function(hosts.to_string(), |bencher| bencher.iter(|| black_box(planned.forecast())));
    }
    group.finish();
    Ok(())
}

/// Criterion's medians next to the targets.
struct Table<'a> {
    folder: &'a Path,
}

impl Table<'_> {
    fn median(&self, group: &str, id: &str) -> Result<Duration, Failure> {
        let path = self.folder.join(group).join(id).join("new/estimates.json");
        let estimates: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
        let nanoseconds =
            estimates["median"]["point_estimate"].as_f64().ok_or("criterion wrote no median")?;
        Ok(Duration::from_secs_f64(nanoseconds / 1e9))
    }

    fn all_strategies(&self, largest: usize, peak: u64) -> Result<(), Failure> {
        println!("\nAll {} strategies planned and simulated, CPU time", Strategy::ALL.len());
        println!("{:>8} {:>12} {:>12} {:>12} {:>14}", "nodes", "native", "target", "a node", "reference");
        let mut a_node = Vec::new();
        for (nodes, target) in graphs(largest) {
            let native = self.median("native", &nodes.to_string())?;
            let reference = self.median("reference", &nodes.to_string())?;
            a_node.push((nodes as f64, native.as_secs_f64() / nodes as f64));
            println!(
                "{nodes:>8} {:>12} {:>12} {:>12} {:>14}{}",
                milliseconds(native),
                target.map_or(String::new(), |target| milliseconds(Duration::from_secs_f64(target))),
                format!("{:.2} us", native.as_secs_f64() * 1e6 / nodes as f64),
                milliseconds(reference),
                target.map_or("", |target| verdict(native.as_secs_f64() <= target)),
            );
        }
        if let [_, small, .., large] = a_node[..] {
            let (growth, allowed) = (large.1 / small.1, large.0.ln() / small.0.ln());
            println!(
                "a node of the largest graph costs {growth:.2} times one of 1,000 nodes, a log factor is {allowed:.2}{}",
                verdict(growth <= allowed)
            );
        }
        println!(
            "native peak memory {peak} MB, target {MEMORY_TARGET_MB} MB{}\n",
            verdict(peak <= MEMORY_TARGET_MB)
        );
        Ok(())
    }

    fn monte_carlo(&self) -> Result<(), Failure> {
        println!("Monte Carlo on 1,000 nodes, runs a CPU second, target {RUNS_TARGET:.0}");
        for strategy in Strategy::ALL {
            let rate =
                f64::from(MONTE_CARLO_RUNS) / self.median("monte-carlo", strategy.name())?.as_secs_f64();
            println!("{:>14} {rate:>10.0}{}", strategy.name(), verdict(rate >= RUNS_TARGET));
        }
        println!();
        Ok(())
    }

    fn host_plans(&self, largest: usize) -> Result<(), Failure> {
        println!("Forecast of a rolling update of hosts, plays a CPU second");
        for hosts in host_plans::SIZES.into_iter().filter(|hosts| *hosts <= largest) {
            let median = self.median("host-plans", &hosts.to_string())?;
            println!("{hosts:>8} hosts {:>12.0}", f64::from(host_plans::PLAYS) / median.as_secs_f64());
        }
        println!();
        Ok(())
    }
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
