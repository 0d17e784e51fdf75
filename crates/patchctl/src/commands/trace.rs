use api_types::patch::{RunTrace, TraceEvent, TracePlan};

use crate::arguments::TraceArguments;
use crate::connect::Connection;
use terminal::CommandResult;
use terminal::{Printer, row};

pub async fn plan(connection: &Connection, arguments: TraceArguments, printer: Printer) -> CommandResult {
    let TraceArguments { policy, advisory, selection, strategy, seed, play } = arguments;
    let selector = selection.selector();
    let request = TracePlan { policy_id: policy, advisory, selector, strategy, seed, play };
    show(&connection.patch().trace_plan(&request).await?, printer)
}

/// One row for each event, with the figures after it.
pub fn show(trace: &RunTrace, printer: Printer) -> CommandResult {
    let headings = ["seconds", "event", "down", "ok", "failed", "pending", "services below"];
    let row = |event: &TraceEvent| {
        let figures = &event.figures;
        row![
            format!("{:.1}", event.at_seconds),
            event.text,
            figures.down,
            figures.succeeded,
            figures.failed,
            figures.pending,
            figures.services_below
        ]
    };
    printer.rows_of(trace, &headings, trace.events.iter().map(row))
}
