use advisories::inventory::InventoryFormat;
use api_types::patch::Inventory;

use super::filter;
use crate::arguments::InventoryCommand;
use crate::connect::Connection;
use crate::input;
use terminal::Printer;
use terminal::{CommandResult, ExitStatus, Failure};

pub async fn run(connection: &Connection, command: InventoryCommand, printer: Printer) -> CommandResult {
    let InventoryCommand::Push { file, ci, os, scan_id, running_kernel, channels, modules } = command;
    let bytes = input::read(&file)?;
    let client = connection.patch();
    let report = match (ci, InventoryFormat::recognise(&bytes[..bytes.len().min(4096)])) {
        (Some(ci), Some(format)) => {
            let query = filter([
                ("ci_id", Some(ci.to_string())),
                ("os", os),
                ("scan_id", scan_id),
                ("running_kernel", running_kernel),
                ("channels", comma_separated(&channels)),
                ("enabled_modules", comma_separated(&modules)),
            ]);
            client.push_foreign_inventory(content_type(format), &query, bytes).await?
        }
        (Some(_), None) => {
            return Err(Failure::usage(format!(
                "`{}` is not an SBOM or a list of packages; an inventory names its host itself, so omit --ci",
                file.display()
            )));
        }
        (None, Some(format)) if format != InventoryFormat::Tsv => {
            return Err(Failure::usage(format!(
                "`{}` is {}; name its host with --ci",
                file.display(),
                name_of(format)
            )));
        }
        (None, _) if is_ndjson(&bytes) => client.push_inventories(bytes).await?,
        (None, _) => client.push_inventory(&input::parse_request::<Inventory>(&file, bytes)?).await?,
    };
    printer.item(&report)?;
    Ok(if report.refused.is_empty() { ExitStatus::Ok } else { ExitStatus::Partial })
}

fn comma_separated(texts: &[String]) -> Option<String> {
    (!texts.is_empty()).then(|| texts.join(","))
}

fn content_type(format: InventoryFormat) -> &'static str {
    match format {
        InventoryFormat::Tsv => "text/tab-separated-values",
        InventoryFormat::CycloneDx => "application/vnd.cyclonedx+json",
        InventoryFormat::CycloneDxXml => "application/vnd.cyclonedx+xml",
        InventoryFormat::Spdx | InventoryFormat::Spdx3 => "application/spdx+json",
        InventoryFormat::SpdxTagValue => "text/spdx",
        // The server recognises them by their content.
        InventoryFormat::Osquery | InventoryFormat::Wazuh => "application/json",
    }
}

fn name_of(format: InventoryFormat) -> &'static str {
    match format {
        InventoryFormat::Tsv => "a list of packages",
        InventoryFormat::CycloneDx
        | InventoryFormat::CycloneDxXml
        | InventoryFormat::Spdx
        | InventoryFormat::SpdxTagValue
        | InventoryFormat::Spdx3 => "an SBOM",
        InventoryFormat::Osquery => "a package list of osquery",
        InventoryFormat::Wazuh => "a package list of Wazuh",
    }
}

/// Whether there is more than one line, and the first is a complete JSON object.
fn is_ndjson(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let is_object = |line: &[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok();
    lines.next().is_some_and(is_object) && lines.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_objects_are_distinguished_from_one() {
        assert!(is_ndjson(b"{\"a\":1}\n{\"a\":2}\n"));
        assert!(!is_ndjson(b"{\"a\":1}\n"));
        assert!(!is_ndjson(b"{\n \"a\": 1\n}\n"));
    }
}
