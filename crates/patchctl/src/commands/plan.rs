use api_types::patch::{PlanComparison, SimulatePlans};

use super::OK;
use crate::arguments::{PlanCommand, SimulateArguments};
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::output::{Printer, clean, print};

pub async fn run(connection: &Connection, command: PlanCommand, printer: Printer) -> Outcome {
    let PlanCommand::Simulate(arguments) = command;
    simulate(connection, arguments, printer).await
}

pub async fn simulate(connection: &Connection, arguments: SimulateArguments, printer: Printer) -> Outcome {
    let SimulateArguments { policy, advisory, selection, strategies, runs, seed } = arguments;
    let selector = selection.selector();
    if policy.is_none() && advisory.is_none() && selector.is_none() {
        return Err(Failure::usage("say what would be patched: --policy, --advisory, --tag, --ci or --all"));
    }
    let request = SimulatePlans { policy_id: policy, advisory, selector, strategies, runs, seed };
    show(&connection.patch().simulate_plans(&request).await?, printer)?;
    OK
}

fn show(comparison: &PlanComparison, printer: Printer) -> Result<(), Failure> {
    if printer.format == crate::arguments::Format::Json {
        return printer.json(comparison);
    }
    let headings = [
        "strategy",
        "waves",
        "minutes p50",
        "minutes p95",
        "failed hosts",
        "halt %",
        "hosts down",
        "service down s",
        "exposure",
    ];
    let rows = comparison.outcomes.iter().map(|outcome| {
        vec![
            outcome.strategy.to_string(),
            outcome.waves.to_string(),
            format!("{:.1}", outcome.duration_p50_seconds / 60.0),
            format!("{:.1}", outcome.duration_p95_seconds / 60.0),
            format!("{:.2}", outcome.expected_failed_hosts),
            format!("{:.1}", outcome.halt_probability * 100.0),
            outcome.max_hosts_down.to_string(),
            format!("{:.0}", outcome.expected_service_down_seconds),
            format!("{:.0}", outcome.exposure),
        ]
    });
    printer.rows(&headings, rows.collect())?;
    if !printer.is_for_people() {
        return Ok(());
    }
    let recommended = comparison.recommended.map_or("none".to_owned(), |strategy| strategy.to_string());
    print(&format!("\nrecommended: {recommended}; {}", clean(&comparison.why)))
}
