//! A comparison of strategies as a table.

use simulator::native::{MonteCarlo, ScenarioOutcome};

use super::native::Answer;
use crate::failure::{CommandResult, OK};
use crate::output::{Printer, clean, print};

const HEADINGS: [&str; 12] = [
    "strategy",
    "steps",
    "minutes p50",
    "minutes p95",
    "downtime s",
    "downtime p95",
    "exposure",
    "halt %",
    "patched %",
    "failed",
    "spare node h",
    "front",
];

pub fn show(answer: &Answer, printer: Printer) -> CommandResult {
    printer.rows_of(answer, &HEADINGS, answer.comparison.outcomes.iter().map(row))?;
    if printer.is_for_people() {
        print(&format!("\n{}", remarks(answer).join("\n")))?;
    }
    OK
}

fn row(outcome: &ScenarioOutcome) -> Vec<String> {
    let steps = outcome.plan.as_ref().map_or(String::new(), |plan| plan.steps.len().to_string());
    let front = if outcome.pareto { "*" } else { "" };
    let figures = match &outcome.result {
        Some(result) => figures(result),
        None => [""; 9].map(str::to_owned),
    };
    [outcome.strategy.to_string(), steps].into_iter().chain(figures).chain([front.to_owned()]).collect()
}

fn figures(result: &MonteCarlo) -> [String; 9] {
    [
        format!("{:.1}", result.duration_seconds.p50 / 60.0),
        format!("{:.1}", result.duration_seconds.p95 / 60.0),
        format!("{:.1}", result.downtime_seconds.mean),
        format!("{:.1}", result.downtime_seconds.p95),
        format!("{:.0}", result.exposure.mean),
        format!("{:.1}", result.halt.value * 100.0),
        format!("{:.1}", result.fully_patched.value * 100.0),
        format!("{:.2}", result.failed_nodes.mean),
        format!("{:.2}", result.extra_capacity_seconds.mean / 3600.0),
    ]
}

/// What has no column in the table: refusals, the verdicts of the checker, the deadline and the recommendation.
fn remarks(answer: &Answer) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in &answer.comparison.outcomes {
        lines.extend(
            outcome.refused.iter().map(|why| format!("{}: refused, {}", outcome.strategy, clean(why))),
        );
    }
    lines.extend(checks(answer));
    lines.extend(answer.deadline.iter().flat_map(|deadline| deadline.lines()));
    let recommended =
        answer.comparison.recommendation.map_or("none".to_owned(), |strategy| strategy.to_string());
    lines.push(format!("recommended: {recommended}; {}", clean(&answer.comparison.reason)));
    lines
}

/// One line for each plan that was checked.
pub fn checks(answer: &Answer) -> Vec<String> {
    let line = |check: &super::native::Checked| {
        let failing = match check.failures {
            0 => "while nothing fails".to_owned(),
            1 => "while one node fails".to_owned(),
            count => format!("while {count} nodes fail"),
        };
        format!("{} {failing}: {}", check.strategy, clean(&check.verdict.to_string()))
    };
    answer.checks.iter().map(line).collect()
}
