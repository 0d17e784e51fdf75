use api_types::patch::{SearchGroup, SearchResults};

use super::{filter, wire_name};
use crate::arguments::SearchArguments;
use crate::connect::Connection;
use terminal::{CommandResult, ExitStatus};
use terminal::{Printer, hint, row};

/// Exit status 3 if a kind could not be searched.
pub async fn run(connection: &Connection, arguments: SearchArguments, printer: Printer) -> CommandResult {
    let SearchArguments { text, kind, limit } = arguments;
    let given = filter([("text", Some(text)), ("kinds", kind), ("limit", Some(limit.to_string()))]);
    let found = connection.patch().search(&given).await?;
    let status = print_results(&found, printer)?;
    let mut is_whole = true;
    for group in &found.groups {
        if let Some(reason) = &group.unavailable {
            is_whole = false;
            hint(&format!("{}: not searched: {reason}", wire_name(group.kind)));
        } else if group.has_more {
            hint(&format!("{}: there are more; add characters or raise --limit", wire_name(group.kind)));
        }
    }
    Ok(if is_whole { status } else { ExitStatus::Partial })
}

fn print_results(found: &SearchResults, printer: Printer) -> CommandResult {
    let rows = |group: &SearchGroup| {
        let kind = wire_name(group.kind);
        let row = |hit: &api_types::patch::SearchHit| {
            row![kind, hit.id, hit.title, hit.state.as_deref().unwrap_or_default(), hit.detail]
        };
        group.items.iter().map(row).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = found.groups.iter().flat_map(rows).collect();
    printer.rows_of(found, &["kind", "id", "title", "state", "about"], rows)
}
