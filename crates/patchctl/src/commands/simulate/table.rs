//! A comparison of strategies as a table.

use domain::strategy::Strategy;
use simulator::native::{MonteCarlo, ScenarioOutcome};

use super::native::Answer;
use terminal::{CommandResult, OK};
use terminal::{Printer, clean, print};

/// Each heading has its unit. `weighted h` is criticality x severity x hours until patched, summed over the nodes.
const HEADINGS: [&str; 14] = [
    "strategy",
    "steps",
    "duration p50 (min)",
    "duration p95 (min)",
    "mean downtime (s)",
    "downtime p95 (s)",
    "exposure p50 (weighted h)",
    "exposure p95 (weighted h)",
    "halted (% of runs)",
    "patched (% of runs)",
    "mean failed (nodes)",
    "mean spare (node-hours)",
    "front",
    "plan",
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
        None => [""; 10].map(str::to_owned),
    };
    let plan = match (&outcome.refused, outcome.same_plan_as) {
        (Some(_), _) => "refused".to_owned(),
        (None, Some(other)) => format!("same plan as {other}"),
        (None, None) => String::new(),
    };
    [outcome.strategy.to_string(), steps].into_iter().chain(figures).chain([front.to_owned(), plan]).collect()
}

fn figures(result: &MonteCarlo) -> [String; 10] {
    [
        format!("{:.1}", result.duration_seconds.p50 / 60.0),
        format!("{:.1}", result.duration_seconds.p95 / 60.0),
        format!("{:.1}", result.downtime_seconds.mean),
        format!("{:.1}", result.downtime_seconds.p95),
        format!("{:.1}", result.compared_exposure().p50 / 3600.0),
        format!("{:.1}", result.compared_exposure().p95 / 3600.0),
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
    let checks = answer.checks.iter();
    checks.map(|check| checked(check.strategy, check.failures, "node", &check.verdict.to_string())).collect()
}

/// The verdict about a plan while so many of `what` fail.
pub fn checked(strategy: Strategy, failures: u32, what: &str, verdict: &str) -> String {
    let failing = match failures {
        0 => "while nothing fails".to_owned(),
        1 => format!("while one {what} fails"),
        count => format!("while {count} {what}s fail"),
    };
    format!("{strategy} {failing}: {}", clean(verdict))
}
