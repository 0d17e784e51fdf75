//! `simulate --reference`: each plan once, by the published rules.

use domain::strategy::Strategy;
use patchplanner_reference::ReferenceRun;
use planner::NodePlan;
use simulator::output;

use super::{Folder, Question};
use crate::commands::OK;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::{Printer, note};

/// What only a plan that is not refused leaves behind.
const OUTCOME: [&str; 2] = ["events.jsonl", "metrics.csv"];

pub fn run(question: &Question, printer: Printer) -> Outcome {
    let folder = question.folder()?;
    let mut played: Vec<(Strategy, ReferenceRun)> = Vec::new();
    for strategy in &question.strategies {
        let folder =
            folder.as_ref().map(|folder| folder.of(*strategy, question.is_about_one())).transpose()?;
        match play(question, *strategy, folder.as_ref())? {
            Ok(run) => played.push((*strategy, run)),
            Err(refusal) => note(&format!("error: the plan of `{strategy}` is refused: {refusal}")),
        }
    }
    show(question, &played, printer)?;
    if played.len() == question.strategies.len() {
        return OK;
    }
    note(
        "hint: without --reference a refused plan is played all the same, and the harm that it does is measured",
    );
    Ok(ExitStatus::Partial)
}

/// The inner error says why the plan is refused.
fn play(
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
            folder.remove(&OUTCOME)?;
            let report = format!("# Patch Strategy Report\n\n## Refused\n\n{refusal}\n");
            folder.write("report.md", &report)
        }
    }
}

/// Metrics line by line, a column for each strategy that was not refused.
fn show(question: &Question, played: &[(Strategy, ReferenceRun)], printer: Printer) -> Result<(), Failure> {
    if played.is_empty() {
        return Ok(());
    }
    let columns: Vec<_> = played.iter().map(|(_, run)| run.metrics.rows()).collect();
    let names = columns[0].iter().map(|(name, _)| name.clone());
    let value = |row: usize| columns.iter().map(move |column| column[row].1.clone());
    let rows = names.enumerate().map(|(row, name)| [name].into_iter().chain(value(row)).collect());
    let headings: Vec<&str> = match question.is_about_one() {
        true => vec!["metric", "value"],
        false => ["metric"].into_iter().chain(played.iter().map(|(strategy, _)| strategy.name())).collect(),
    };
    printer.rows(&headings, rows.collect())
}
