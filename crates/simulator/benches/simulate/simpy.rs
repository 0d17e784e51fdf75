//! The same model in SimPy, in a process of its own.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use domain::strategy::Strategy;
use planner::{NodePlan, Scenario, strategy::plan};
use serde::Deserialize;
use serde_json::json;
use simulator::native::{NativeOptions, Simulation};

use super::{BATCH_SIZE, Failure, cpu::CpuTime};

const TARGET: f64 = 10.0;
const SIMPY_RUNS: usize = 30;
const OUR_RUNS: u64 = 1_000;

#[derive(Deserialize)]
struct SimpyAnswer {
    version: String,
    attempts: u64,
    cpu_seconds: f64,
    mean_seconds: f64,
}

/// An event is the start or the end of an attempt on a node; both sides count only these.
pub fn beside(scenario: &Scenario) -> Result<(), Failure> {
    let Some(python) = std::env::var_os("PATCH_BENCH_PYTHON") else {
        println!("SimPy is skipped: PATCH_BENCH_PYTHON does not name a Python that has it");
        return Ok(());
    };
    let plan = plan(scenario, Strategy::Rolling, BATCH_SIZE)?;
    // The model waits for each step as a whole, and so does this here.
    let options = NativeOptions { step_barriers: true, ..NativeOptions::default() };
    let simulation = Simulation::new(scenario, &options);
    let (mut attempts, mut seconds) = (0, 0.0);
    let began = CpuTime::now();
    for seed in 0..OUR_RUNS {
        let metrics = simulation.measure(&plan, seed);
        attempts += scenario.nodes.len() as u64 + u64::from(metrics.retries);
        seconds += metrics.duration_seconds;
    }
    let ours = 2.0 * attempts as f64 / (CpuTime::now() - began).as_secs_f64();
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
    println!("{:>14} {ratio:>10.1}  target {TARGET:.0}{}", "ratio", super::verdict(ratio >= TARGET));
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
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/simulate/model.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no pipe to SimPy")?.write_all(model.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout)?)
    } else {
        Err("the SimPy model failed; see above".into())
    }
}
