//! Writes a comparison of strategies to files: figures, texts and pictures.

use domain::strategy::Strategy;
use planner::NodePlan;
use simulator::native::{MonteCarlo, NativeOptions, ScenarioOutcome, Simulation};
use simulator::{output, plot};

use super::native::Answer;
use super::{Folder, Question, table};
use terminal::Failure;

/// The files that a strategy without a plan does not have.
const OF_PLAN: [&str; 7] = [
    "plan.json",
    "events.jsonl",
    "metrics.csv",
    "monte_carlo.json",
    "gantt.svg",
    "capacity.svg",
    "exposure.svg",
];

pub fn write(
    question: &Question,
    options: &NativeOptions,
    answer: &Answer,
    folder: &Folder,
) -> Result<(), Failure> {
    let comparison = comparison(question, answer);
    let simulation = Simulation::new(&question.scenario, options);
    for outcome in &answer.comparison.outcomes {
        let folder = folder.of(outcome.strategy, question.has_one_strategy())?;
        let report = match (&outcome.plan, &outcome.result) {
            (Some(plan), Some(result)) => of_plan(question, &simulation, plan, result, &folder)?,
            _ => refused(outcome, &folder)?,
        };
        let report = if question.has_one_strategy() { format!("{comparison}\n{report}") } else { report };
        folder.write("report.md", &report)?;
    }
    if !question.has_one_strategy() {
        folder.write("report.md", &comparison)?;
        folder.draw("pareto.svg", plot::pareto(&answer.comparison))?;
    }
    Ok(())
}

/// The common report of all strategies.
fn comparison(question: &Question, answer: &Answer) -> String {
    let mut text = output::comparison_md(&question.scenario, &answer.comparison);
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let items: String = lines.iter().map(|line| format!("- {line}\n")).collect();
            text += &format!("\n## {title}\n\n{items}");
        }
    };
    section("Availability", table::checks(answer));
    if let Some(deadline) = &answer.deadline {
        let title =
            format!("Done within {:.0} s in {:.0} % of runs", deadline.seconds, deadline.confidence * 100.0);
        section(&title, deadline.lines());
    }
    text
}

/// Writes the first sampled run with all its events, and returns the text of its report.
fn of_plan(
    question: &Question,
    simulation: &Simulation,
    plan: &NodePlan,
    result: &MonteCarlo,
    folder: &Folder,
) -> Result<String, Failure> {
    let scenario = &question.scenario;
    let run = simulation.run(plan, result.seed);
    let rows = run.metrics.rows();
    folder.write("plan.json", &output::plan_json(scenario, plan))?;
    folder.write("events.jsonl", &output::events_jsonl(&run.events))?;
    folder.write("metrics.csv", &output::metrics_csv(&rows))?;
    let figures = serde_json::to_string_pretty(result);
    let figures = figures.map_err(|error| Failure::new(format!("cannot write the figures: {error}")))?;
    folder.write("monte_carlo.json", &(figures + "\n"))?;
    folder.draw("gantt.svg", plot::gantt(&run.events))?;
    folder.draw("capacity.svg", plot::capacity(scenario, plan, &run.events))?;
    folder.draw("exposure.svg", plot::exposure(scenario, &run.events))?;
    Ok(output::report_md(&rows) + &samples(plan.strategy, result))
}

/// The distribution of all runs, of which the report shows one.
fn samples(strategy: Strategy, result: &MonteCarlo) -> String {
    let mut text = format!(
        "\n## Samples\n\nThe run above is the first of {} under {strategy} with seed {}. All runs together:\n\n\
         | metric | mean | P50 | interval of P50 | P95 | interval of P95 | most |\n\
         | --- | --: | --: | --: | --: | --: | --: |\n",
        result.runs, result.seed
    );
    for (name, spread) in [
        ("duration_seconds", &result.duration_seconds),
        ("exposure_weighted_seconds", &result.exposure),
        ("downtime_seconds", &result.downtime_seconds),
        ("longest_downtime_seconds", &result.longest_downtime_seconds),
        ("degraded_service_seconds", &result.degraded_service_seconds),
        ("mixed_version_seconds", &result.mixed_version_seconds),
        ("degraded_seconds", &result.degraded_seconds),
        ("incompatibility_violations", &result.incompatibility_violations),
        ("availability_violations", &result.availability_violations),
        ("node_unavailability_seconds", &result.node_unavailability_seconds),
        ("most_nodes_down", &result.most_nodes_down),
        ("overrun_seconds", &result.overrun_seconds),
        ("failed_nodes", &result.failed_nodes),
        ("unpatched_nodes", &result.unpatched_nodes),
        ("rollbacks", &result.rollbacks),
        ("retries", &result.retries),
        ("extra_capacity_seconds", &result.extra_capacity_seconds),
    ] {
        text += &format!(
            "| {name} | {:.2} | {:.2} | {:.2} to {:.2} | {:.2} | {:.2} to {:.2} | {:.2} |\n",
            spread.mean,
            spread.p50,
            spread.p50_low,
            spread.p50_high,
            spread.p95,
            spread.p95_low,
            spread.p95_high,
            spread.max
        );
    }
    text += "\n| probability | value | interval |\n| --- | --: | --: |\n";
    let shares = [
        ("halts", Some(result.halt)),
        ("everything patched", Some(result.fully_patched)),
        ("done by the deadline", result.done_in_time),
        ("done within the first window", result.done_in_window),
        ("out of windows", result.done_in_window.map(|_| result.out_of_windows)),
    ];
    for (name, share) in shares {
        if let Some(share) = share {
            text += &format!("| {name} | {:.4} | {:.4} to {:.4} |\n", share.value, share.low, share.high);
        }
    }
    text
}

fn refused(outcome: &ScenarioOutcome, folder: &Folder) -> Result<String, Failure> {
    folder.remove(&OF_PLAN)?;
    let why = outcome.refused.as_deref().unwrap_or("there is no plan");
    Ok(format!("# Patch Strategy Report\n\n## Refused\n\n{}: {why}\n", outcome.strategy))
}
