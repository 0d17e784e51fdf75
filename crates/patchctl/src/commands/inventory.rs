use api_types::patch::Inventory;

use crate::arguments::InventoryCommand;
use crate::connect::Connection;
use crate::failure::{ExitStatus, Outcome};
use crate::input;
use crate::output::Printer;

pub async fn run(connection: &Connection, command: InventoryCommand, printer: Printer) -> Outcome {
    let InventoryCommand::Push { file } = command;
    let bytes = input::read(&file)?;
    let client = connection.patch();
    let report = match is_ndjson(&bytes) {
        true => client.push_inventories(bytes).await?,
        false => client.push_inventory(&input::parse_request::<Inventory>(&file, bytes)?).await?,
    };
    printer.item(&report)?;
    Ok(if report.refused.is_empty() { ExitStatus::Ok } else { ExitStatus::Partial })
}

/// More than one line, and the first is a whole JSON object.
fn is_ndjson(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let is_object = |line: &[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok();
    lines.next().is_some_and(is_object) && lines.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_objects_are_told_from_one() {
        assert!(is_ndjson(b"{\"a\":1}\n{\"a\":2}\n"));
        assert!(!is_ndjson(b"{\"a\":1}\n"));
        assert!(!is_ndjson(b"{\n \"a\": 1\n}\n"));
    }
}
