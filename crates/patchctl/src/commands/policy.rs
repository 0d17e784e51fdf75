use api_types::patch::{
    ApprovePolicy, BaselineChange, BlockingFreeze, ChangedFix, Occurrence, PolicyFieldChange, PolicyPreview,
    PolicyVersion, ScheduleHint, StoredPolicy,
};
use chrono::SecondsFormat;
use serde_json::Value;

use super::{etag, preflight, spaced_name};
use crate::arguments::PolicyCommand;
use crate::connect::Connection;
use crate::input;
use terminal::{Columns, Printer, done, hint, note, print, row};
use terminal::{CommandResult, Failure, OK};

const POLICIES: Columns = "id name schedule offset=schedule_offset_days time_zone targets=target_ci_tags level=patch_level strategy enabled version";
const CONFLICTS: Columns = "conflicts_with=policy_id reason hosts=ci_ids";
const EFFECTIVE: Columns = "host=ci_id decided_by=policy_id";

pub async fn run(connection: &Connection, command: PolicyCommand, printer: Printer) -> CommandResult {
    let client = connection.patch();
    match command {
        PolicyCommand::List(most) => printer.list(&client.list_policies(&[], most.limit).await?, POLICIES),
        PolicyCommand::Show { id } => printer.item(&client.get_policy(&id).await?),
        PolicyCommand::History { id, most } => {
            history(&client.list_policy_versions(&id, most.limit).await?, printer)
        }
        PolicyCommand::Create(request) => {
            stored(&client.create_policy(&input::request(&request.file)?).await?, printer)
        }
        PolicyCommand::Update { id, request, if_version } => {
            let patch: Value = input::request(&request.file)?;
            stored(&client.update_policy(&id, &patch, etag(if_version).as_deref()).await?, printer)
        }
        PolicyCommand::Approve { id, version, comment } => {
            let version = match version {
                Some(version) => version,
                None => client.get_policy(&id).await?.version,
            };
            stored(&client.approve_policy(&id, &ApprovePolicy { version, comment }).await?, printer)
        }
        PolicyCommand::Delete { id } => {
            client.delete_policy(&id).await?;
            done(&format!("policy {id} is deleted"))
        }
        PolicyCommand::Preview { id, preflight: false, changes: None } => {
            preview(&client.preview_policy(&id).await?, printer)
        }
        PolicyCommand::Preview { id, preflight: false, changes: Some(file) } => {
            let changes = input::request(&file)?;
            preview(&client.preview_policy_changes(&id, changes).await?, printer)
        }
        PolicyCommand::Preview { id, preflight: true, .. } => {
            let shown = client.preflight_policy(&id).await?;
            if printer.is_for_people() {
                preview(&shown, printer)?;
            }
            let run = shown.preflight_run.ok_or_else(|| Failure::new("the service started no dry run"))?;
            preflight::run(&client, &shown, run, printer).await
        }
    }
}

/// A row for each field that a version changed.
fn history(versions: &[PolicyVersion], printer: Printer) -> CommandResult {
    let headings = ["version", "at", "by", "act", "field", "before", "after"];
    let rows = versions.iter().flat_map(|version| {
        let at = version.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let first = row![version.version, at, version.by, spaced_name(version.act)];
        let blank = || row!["", "", "", ""];
        let field = |(index, change): (usize, &PolicyFieldChange)| {
            let lead = if index == 0 { first.clone() } else { blank() };
            let value = |value: &Option<Value>| value.as_ref().map_or_else(String::new, Value::to_string);
            [lead, row![change.field, value(&change.before), value(&change.after)]].concat()
        };
        let fields: Vec<Vec<String>> = version.changes.iter().enumerate().map(field).collect();
        if fields.is_empty() { vec![[first.clone(), row!["", "", ""]].concat()] } else { fields }
    });
    printer.rows_of(&versions, &headings, rows.collect::<Vec<_>>())
}

fn stored(policy: &StoredPolicy, printer: Printer) -> CommandResult {
    print_hints(&policy.hints);
    if !printer.is_for_people() {
        return printer.item(policy);
    }
    printer.item(&StoredPolicy { hints: Vec::new(), ..policy.clone() })
}

fn print_hints(hints: &[ScheduleHint]) {
    for one in hints {
        hint(&format!("{}: {}", one.pointer, one.message));
    }
}

fn occurrence(occurrence: &Occurrence) -> Vec<String> {
    let freeze = |freeze: &BlockingFreeze| match freeze.hosts {
        1 => format!("{} (1 host)", freeze.name),
        hosts => format!("{} ({hosts} hosts)", freeze.name),
    };
    let blocked_by: Vec<String> = occurrence.blocked_by.iter().map(freeze).collect();
    let at = occurrence.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    row![at, occurrence.local, occurrence.time_zone, blocked_by.join(", ")]
}

fn preview(preview: &PolicyPreview, printer: Printer) -> CommandResult {
    print_hints(&preview.hints);
    if !printer.is_for_people() {
        return printer.item(preview);
    }
    let targets: Vec<&str> = preview.targets.iter().map(AsRef::as_ref).collect();
    print(&format!("hosts: {} {}", targets.len(), targets.join(" ")))?;
    if !preview.occurrences.is_empty() {
        print("\n")?;
        let headings = ["next", "local", "time zone", "blocked by"];
        printer.rows(&headings, preview.occurrences.iter().map(occurrence).collect())?;
    }
    printer.section(&preview.conflicts, CONFLICTS)?;
    printer.section(&preview.effective, EFFECTIVE)?;
    preview.baseline_change.as_ref().map_or(OK, |change| baseline_change(change, printer))
}

/// A row for each missing fix that a change adds to the baseline of a host or removes from it.
fn baseline_change(change: &BaselineChange, printer: Printer) -> CommandResult {
    let BaselineChange { hosts, hosts_changed, added, removed, changed } = change;
    print(&format!(
        "\nbaseline: changes on {hosts_changed} of {hosts} scanned hosts; {added} missing fixes added, {removed} removed\n"
    ))?;
    if changed.is_empty() {
        return OK;
    }
    let mut rows = Vec::new();
    for host in changed {
        let sides = [("adds", &host.added_fixes, host.added), ("removes", &host.removed_fixes, host.removed)];
        for (verb, fixes, total) in sides {
            rows.extend(fixes.iter().map(|fix| {
                let ChangedFix { package, advisory_id, severity, reason, .. } = fix;
                row![host.ci_id, verb, package, advisory_id, severity, reason]
            }));
            let more = total - fixes.len() as i64;
            if more > 0 {
                rows.push(row![host.ci_id, verb, format!("and {more} more"), "", "", ""]);
            }
        }
    }
    printer.rows(&["host", "change", "package", "advisory", "severity", "left out before or after"], rows)?;
    let more = *hosts_changed - changed.len() as i64;
    if more > 0 {
        note(&format!("{more} more hosts change; `--output json` has the totals"));
    }
    OK
}
