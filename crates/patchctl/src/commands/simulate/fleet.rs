//! Simulates a plan of real hosts on the platform.

use api_types::patch::{CheckVerdict, PlanComparison, SimulatePlans, StrategyForecast};
use domain::plan::NoteSeverity;

use super::table::checked;
use crate::arguments::SimulateArguments;
use crate::connect::Connection;
use terminal::{CommandResult, ExitStatus, OK};
use terminal::{Printer, clean, print, row};

pub async fn run(connection: &Connection, arguments: SimulateArguments, printer: Printer) -> CommandResult {
    let selector = arguments.selection.selector();
    let strategies = arguments.strategies();
    let SimulateArguments { policy, advisory, replay, runs, seed, deadline, confidence, check, .. } =
        arguments;
    let replay_of = match replay {
        Some(run) => Some(connection.run_id(run).await?),
        None => None,
    };
    let request = SimulatePlans {
        policy_id: policy,
        advisory,
        selector,
        replay_of,
        scenario: None,
        strategies,
        runs,
        seed: seed.unwrap_or(0).unsigned_abs(),
        max_parallel: None,
        window_minutes: None,
        deadline_seconds: deadline,
        confidence,
        check_failures: check,
    };
    show(&connection.patch().simulate_plans(&request).await?, printer)
}

/// Each heading has its unit. `weighted h` is criticality x severity x hours until patched, summed over the hosts.
const HEADINGS: [&str; 14] = [
    "strategy",
    "waves",
    "duration p50 (min)",
    "duration p95 (min)",
    "mean failed (hosts)",
    "halted (% of runs)",
    "mean started (hosts)",
    "most down (hosts)",
    "mean below min_up (s)",
    "exposure p50 (weighted h)",
    "exposure p95 (weighted h)",
    "in window (% of runs)",
    "front",
    "plan",
];

fn show(comparison: &PlanComparison, printer: Printer) -> CommandResult {
    printer.rows_of(comparison, &HEADINGS, comparison.outcomes.iter().map(figures))?;
    if printer.is_for_people() {
        print(&format!("\n{}", remarks(comparison).join("\n")))?;
    }
    let unproven = comparison.checks.iter().any(|check| check.verdict != CheckVerdict::Safe);
    if unproven { Ok(ExitStatus::Partial) } else { OK }
}

fn figures(outcome: &StrategyForecast) -> Vec<String> {
    let forecast = &outcome.forecast;
    row![
        forecast.strategy,
        forecast.waves,
        format!("{:.1}", forecast.duration_p50_seconds / 60.0),
        format!("{:.1}", forecast.duration_p95_seconds / 60.0),
        format!("{:.2}", forecast.expected_failed_hosts),
        percent(Some(forecast.halt_probability)),
        format!("{:.1}", forecast.expected_begun_hosts),
        forecast.max_hosts_down,
        format!("{:.0}", forecast.expected_service_down_seconds),
        weighted_hours(forecast.exposure_p50),
        weighted_hours(forecast.exposure_p95),
        percent(forecast.done_in_window_probability),
        if outcome.pareto { "*" } else { "" },
        plan_remark(outcome),
    ]
}

fn percent(share: Option<f64>) -> String {
    share.map_or(String::new(), |share| format!("{:.1}", share * 100.0))
}

pub fn weighted_hours(seconds: Option<f64>) -> String {
    seconds.map_or(String::new(), |seconds| format!("{:.1}", seconds / 3600.0))
}

/// What sets the plan of a strategy apart from those that can be executed, or joins it with another.
pub fn plan_remark(outcome: &StrategyForecast) -> String {
    match (outcome.broken_rules.as_slice(), outcome.same_plan_as) {
        ([note], _) => format!("refused: {}", clean(&note.code)),
        ([note, rest @ ..], _) => format!("refused: {} and {} more", clean(&note.code), rest.len()),
        ([], Some(other)) => format!("same plan as {other}"),
        ([], None) => String::new(),
    }
}

/// What has no column in the table.
fn remarks(comparison: &PlanComparison) -> Vec<String> {
    let mut lines: Vec<String> = comparison.remarks.iter().map(|remark| clean(remark)).collect();
    lines.extend(
        comparison
            .refused
            .iter()
            .map(|refused| format!("{}: refused, {}", refused.strategy, clean(&refused.reason))),
    );
    for outcome in &comparison.outcomes {
        let strategy = outcome.forecast.strategy;
        lines.extend(
            outcome.broken_rules.iter().map(|note| format!("{strategy}: refused, {}", clean(&note.text))),
        );
    }
    for note in &comparison.notes {
        let severity = match note.severity {
            NoteSeverity::Error => "error",
            NoteSeverity::Warning => "warning",
            NoteSeverity::Info => "note",
        };
        lines.push(format!("{severity} ({}): {}", clean(&note.code), clean(&note.text)));
    }
    lines.extend(
        comparison
            .checks
            .iter()
            .map(|check| checked(check.strategy, check.failures, "host", &check.explanation)),
    );
    if let Some(deadline) = &comparison.deadline {
        lines.push(format!("deadline, by {}: {}", deadline.strategy, clean(&deadline.why)));
    }
    let recommended = comparison.recommended.map_or("none".to_owned(), |strategy| strategy.to_string());
    lines.push(format!("recommended: {recommended}; {}", clean(&comparison.why)));
    lines
}
