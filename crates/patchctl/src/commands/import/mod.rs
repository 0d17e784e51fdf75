//! Imports of existing lists: from a file, from Ansible's inventory or from NetBox.

mod ansible;
mod netbox;

use std::collections::BTreeMap;

use api_client::cmdb::CmdbClient;
use api_types::cmdb::{ImportReport, MappingProposal, RefusedRecord};

use crate::arguments::ImportArguments;
use crate::input;
use terminal::{CommandResult, ExitStatus, Failure};
use terminal::{Printer, clean, note, print, row};

/// Places that are listed for one reason.
const PLACES_SHOWN: usize = 5;

/// A list to send, and what the operator should know about how it was read.
struct Source {
    content: Vec<u8>,
    format: Option<&'static str>,
    notes: Vec<String>,
    /// Whether parts of the source could not be read.
    is_part: bool,
}

pub async fn run(client: &CmdbClient, arguments: ImportArguments, printer: Printer) -> CommandResult {
    let source = read(&arguments).await?;
    let is_part = source.is_part;
    source.notes.iter().for_each(|text| note(&format!("note: {}", clean(text))));
    let content_type = match source.content.trim_ascii_start() {
        [b'{' | b'[', ..] => "application/json",
        _ => "text/plain",
    };
    let mut parameters = vec![("dry_run", arguments.dry_run.to_string())];
    parameters.extend(arguments.strict.then(|| ("strict", "true".to_owned())));
    parameters.extend(source.format.map(|format| ("format", format.to_owned())));
    parameters.extend(arguments.maps.iter().map(|map| ("map", map.clone())));
    let report = client.import_cis_with(content_type, source.content, &parameters).await?;
    printer.view(&report, summary)?;
    if printer.is_for_people() {
        details(&report, printer)?;
    }
    let is_part = is_part || report.total.is_some_and(|total| total > report.read);
    let is_whole = report.refused_count == 0 && !is_part;
    Ok(if is_whole { ExitStatus::Ok } else { ExitStatus::Partial })
}

async fn read(arguments: &ImportArguments) -> Result<Source, Failure> {
    if let Some(path) = &arguments.ansible {
        return ansible::list(path, &arguments.plugins).await;
    }
    if let (Some(url), Some(token_file)) = (&arguments.netbox, &arguments.netbox_token_file) {
        return netbox::list(url, token_file).await;
    }
    match &arguments.file {
        Some(file) if file.is_dir() => Err(Failure::usage(format!("`{}` is a folder", file.display())).hint(
            format!("`patchctl ci import --ansible {}` reads an inventory folder of Ansible", file.display()),
        )),
        Some(file) => {
            Ok(Source { content: input::read(file)?, format: None, notes: Vec::new(), is_part: false })
        }
        None => Err(Failure::usage("pass a file, --ansible or --netbox")),
    }
}

fn summary(report: &ImportReport) -> String {
    format!(
        "{}: {} read, {} created, {} updated, {} unchanged, {} refused, {} left out{}",
        report.format,
        report.read,
        report.created,
        report.updated,
        report.unchanged,
        report.refused_count,
        report.left_out_count,
        if report.dry_run { "; nothing was stored" } else { "" }
    )
}

fn details(report: &ImportReport, printer: Printer) -> Result<(), Failure> {
    for warning in &report.warnings {
        print(&format!("warning: {}", clean(warning)))?;
    }
    if !report.refused.is_empty() {
        print("\nrefused:")?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let rows =
            report.refused.iter().map(|one| row![place(one), text(&one.name), one.reason, text(&one.remedy)]);
        printer.rows(&["place", "name", "reason", "remedy"], rows.map(cleaned).collect())?;
    }
    let hidden = report.refused_count.saturating_sub(report.refused.len() as u64);
    if hidden > 0 {
        print(&format!("and {hidden} more"))?;
    }
    if !report.left_out.is_empty() {
        print("\nleft out:")?;
        printer.rows(&["reason", "records", "where"], by_reason(&report.left_out))?;
    }
    let unmanaged = &report.unmanaged;
    if unmanaged.hosts > 0 {
        let first: Vec<String> = unmanaged.first.iter().map(ToString::to_string).collect();
        let more = if unmanaged.hosts > first.len() as u64 { ", ..." } else { "" };
        print(&format!(
            "\n{} no tag `{}`, so patching does not manage them yet: {}{more}\n\
             The first scan reads it from the hosts: patchctl compliance scan --all --wait",
            hosts(unmanaged.hosts, "has", "have"),
            unmanaged.missing.join("`, `"),
            first.join(", "),
        ))?;
    }
    propose(&report.proposals)
}

fn propose(proposals: &[MappingProposal]) -> Result<(), Failure> {
    if proposals.is_empty() {
        return Ok(());
    }
    print("\nThese groups look like tags:")?;
    for proposal in proposals {
        let groups = proposal.groups.iter();
        let groups: Vec<String> =
            groups.map(|group| format!("{} ({})", clean(&group.name), hosts(group.hosts, "", ""))).collect();
        print(&format!("  {}: {}", proposal.key, groups.join(", ")))?;
    }
    let command = std::env::args().map(|argument| quoted(&argument));
    let maps = proposals.iter().flat_map(|proposal| ["--map".to_owned(), quoted(&proposal.map)]);
    print(&format!("Make tags of them: {}", command.chain(maps).collect::<Vec<_>>().join(" ")))
}

/// `1 host has`, `2 hosts have`.
fn hosts(number: u64, one: &str, many: &str) -> String {
    let text = if number == 1 { format!("1 host {one}") } else { format!("{number} hosts {many}") };
    text.trim_end().to_owned()
}

/// The reasons with how many records have them, the most frequent ones first.
fn by_reason(left_out: &[RefusedRecord]) -> Vec<Vec<String>> {
    let mut places: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for one in left_out {
        let remedy = one.remedy.as_deref().unwrap_or_default();
        let name = one.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        places.entry((&one.reason, remedy)).or_default().push(format!("{}{name}", place(one)));
    }
    let mut reasons: Vec<_> = places.into_iter().collect();
    reasons.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    let rows = reasons.into_iter().map(|((reason, remedy), places)| {
        let separator = if remedy.is_empty() { "" } else { "; " };
        let more = if places.len() > PLACES_SHOWN { ", ..." } else { "" };
        let shown = places.iter().take(PLACES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        cleaned(row![format!("{reason}{separator}{remedy}"), places.len(), format!("{shown}{more}")])
    });
    rows.collect()
}

fn place(record: &RefusedRecord) -> String {
    match record.line {
        Some(line) => format!("line {line}"),
        None => format!("record {}", record.record),
    }
}

fn cleaned(row: Vec<String>) -> Vec<String> {
    row.iter().map(|text| clean(text)).collect()
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quoted("env=prod,dev"), "env=prod,dev");
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
    }

    #[test]
    fn equal_reasons_are_listed_once() {
        let one = |record: u64, reason: &str| RefusedRecord {
            record,
            line: Some(record),
            reason: reason.to_owned(),
            ..RefusedRecord::default()
        };
        let records: Vec<_> = (1..=7).map(|record| one(record, "a")).chain([one(9, "b")]).collect();
        let rows = by_reason(&records);
        assert_eq!(rows[0], ["a", "7", "line 1, line 2, line 3, line 4, line 5, ..."]);
        assert_eq!(rows[1], ["b", "1", "line 9"]);
    }
}
