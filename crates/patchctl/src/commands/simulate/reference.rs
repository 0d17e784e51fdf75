//! `simulate --reference`: runs each plan once, with the published rules.

use domain::strategy::Strategy;
use patchplanner_reference::ReferenceRun;
use planner::NodePlan;
use simulator::output;

use super::{Folder, Question};
use terminal::{CommandResult, ExitStatus, Failure, OK};
use terminal::{Printer, note};

/// The files that only a plan that is not refused has.
const RUN_FILES: [&str; 2] = ["events.jsonl", "metrics.csv"];

pub fn run(question: &Question, printer: Printer) -> CommandResult {
    let folder = question.folder()?;
    let mut runs: Vec<(Strategy, ReferenceRun)> = Vec::new();
    for strategy in &question.strategies {
        let folder =
            folder.as_ref().map(|folder| folder.of(*strategy, question.has_one_strategy())).transpose()?;
        match simulate(question, *strategy, folder.as_ref())? {
            Ok(run) => runs.push((*strategy, run)),
            Err(refusal) => note(&format!("error: the plan of `{strategy}` is refused: {refusal}")),
        }
    }
    show(question, &runs, printer)?;
    if runs.len() == question.strategies.len() {
        return OK;
    }
    note("hint: without --reference a refused plan is simulated anyway, and its violations are measured");
    Ok(ExitStatus::Partial)
}

/// The inner error is the reason why the plan is refused.
fn simulate(
    question: &Question,
    strategy: Strategy,
    folder: Option<&Folder>,
) -> Result<Result<ReferenceRun, String>, Failure> {
    let scenario = &question.scenario;
    let plan = patchplanner_reference::plan(scenario, strategy, question.batch_size());
    let run = match &plan {
        Ok(plan) => {
            patchplanner_reference::run(scenario, plan, question.seed).map_err(|refused| refused.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Some(folder) = folder {
        write(question, plan.ok().as_ref(), &run, folder)?;
    }
    Ok(run)
}

fn write(
    question: &Question,
    plan: Option<&NodePlan>,
    run: &Result<ReferenceRun, String>,
    folder: &Folder,
) -> Result<(), Failure> {
    match plan {
        Some(plan) => folder.write("plan.json", &output::plan_json(&question.scenario, plan))?,
        None => folder.remove(&["plan.json"])?,
    }
    match run {
        Ok(run) => {
            let rows = run.metrics.rows();
            folder.write("events.jsonl", &output::events_jsonl(&run.events))?;
            folder.write("metrics.csv", &output::metrics_csv(&rows))?;
            folder.write("report.md", &output::report_md(&rows))
        }
        Err(refusal) => {
            folder.remove(&RUN_FILES)?;
            let report = format!("# Patch Strategy Report\n\n## Refused\n\n{refusal}\n");
            folder.write("report.md", &report)
        }
    }
}

/// One metric per line, with a column for each strategy that was not refused.
fn show(question: &Question, runs: &[(Strategy, ReferenceRun)], printer: Printer) -> CommandResult {
    if runs.is_empty() {
        return OK;
    }
    let columns: Vec<_> = runs.iter().map(|(_, run)| run.metrics.rows()).collect();
    let names = columns[0].iter().map(|(name, _)| name.clone());
    let value = |row: usize| columns.iter().map(move |column| column[row].1.clone());
    let rows = names.enumerate().map(|(row, name)| [name].into_iter().chain(value(row)).collect());
    let headings: Vec<&str> = if question.has_one_strategy() {
        vec!["metric", "value"]
    } else {
        ["metric"].into_iter().chain(runs.iter().map(|(strategy, _)| strategy.name())).collect()
    };
    printer.rows(&headings, rows.collect())
}
