//! Simulates a plan of real hosts on the platform.

use api_types::patch::{PlanComparison, SimulatePlans};
use domain::plan::NoteSeverity;

use crate::arguments::SimulateArguments;
use crate::connect::Connection;
use crate::failure::{CommandResult, OK};
use crate::output::{Printer, clean, print, row};

pub async fn run(connection: &Connection, arguments: SimulateArguments, printer: Printer) -> CommandResult {
    let selector = arguments.selection.selector();
    let strategies = arguments.strategies();
    let SimulateArguments { policy, advisory, replay, runs, seed, deadline, confidence, .. } = arguments;
    let request = SimulatePlans {
        policy_id: policy,
        advisory,
        selector,
        replay_of: replay,
        scenario: None,
        strategies,
        runs,
        seed: seed.unwrap_or(0).unsigned_abs(),
        deadline_seconds: deadline,
        confidence,
    };
    show(&connection.patch().simulate_plans(&request).await?, printer)
}

fn show(comparison: &PlanComparison, printer: Printer) -> CommandResult {
    let headings = [
        "strategy",
        "waves",
        "minutes p50",
        "minutes p95",
        "failed hosts",
        "halt %",
        "begun",
        "hosts down",
        "service down s",
        "exposure",
        "in window %",
    ];
    let rows = comparison.outcomes.iter().map(|outcome| {
        row![
            outcome.strategy,
            outcome.waves,
            format!("{:.1}", outcome.duration_p50_seconds / 60.0),
            format!("{:.1}", outcome.duration_p95_seconds / 60.0),
            format!("{:.2}", outcome.expected_failed_hosts),
            format!("{:.1}", outcome.halt_probability * 100.0),
            format!("{:.1}", outcome.expected_begun_hosts),
            outcome.max_hosts_down,
            format!("{:.0}", outcome.expected_service_down_seconds),
            format!("{:.0}", outcome.exposure),
            outcome
                .done_in_window_probability
                .map_or(String::new(), |probability| format!("{:.1}", probability * 100.0)),
        ]
    });
    printer.rows_of(comparison, &headings, rows)?;
    if !printer.is_for_people() {
        return OK;
    }
    let recommended = comparison.recommended.map_or("none".to_owned(), |strategy| strategy.to_string());
    let mut lines: Vec<String> = comparison.remarks.iter().map(|remark| clean(remark)).collect();
    for note in &comparison.notes {
        let severity = match note.severity {
            NoteSeverity::Error => "error",
            NoteSeverity::Warning => "warning",
            NoteSeverity::Info => "note",
        };
        lines.push(format!("{severity} ({}): {}", clean(&note.code), clean(&note.text)));
    }
    if let Some(deadline) = &comparison.deadline {
        lines.push(format!("deadline, by {}: {}", deadline.strategy, clean(&deadline.why)));
    }
    lines.push(format!("recommended: {recommended}; {}", clean(&comparison.why)));
    print(&format!("\n{}", lines.join("\n")))?;
    OK
}
