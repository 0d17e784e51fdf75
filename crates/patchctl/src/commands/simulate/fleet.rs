//! The plan of real hosts, as the platform would simulate it.

use api_types::patch::{PlanComparison, SimulatePlans};

use crate::arguments::{Format, SimulateArguments};
use crate::commands::OK;
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::output::{Printer, clean, print};

pub async fn run(connection: &Connection, arguments: SimulateArguments, printer: Printer) -> Outcome {
    let selector = arguments.selection.selector();
    let strategies = arguments.strategies();
    let SimulateArguments { policy, advisory, runs, seed, .. } = arguments;
    let seed = seed.unwrap_or(0).unsigned_abs();
    let request = SimulatePlans { policy_id: policy, advisory, selector, strategies, runs, seed };
    show(&connection.patch().simulate_plans(&request).await?, printer)?;
    OK
}

fn show(comparison: &PlanComparison, printer: Printer) -> Result<(), Failure> {
    if printer.format == Format::Json {
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
