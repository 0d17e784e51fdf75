use serde_json::Value;

use super::{OK, etag};
use crate::arguments::PolicyCommand;
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{Column, Printer, note, print};

const POLICIES: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("schedule", "/schedule"),
    ("time zone", "/time_zone"),
    ("targets", "/target_ci_tags"),
    ("level", "/patch_level"),
    ("strategy", "/strategy"),
    ("enabled", "/enabled"),
    ("version", "/version"),
];

const OCCURRENCES: &[Column] = &[("next", "/at"), ("local", "/local"), ("time zone", "/time_zone")];

const CONFLICTS: &[Column] = &[("conflicts with", "/policy_id"), ("reason", "/reason"), ("hosts", "/ci_ids")];

const EFFECTIVE: &[Column] = &[("host", "/ci_id"), ("decided by", "/policy_id")];

pub async fn run(connection: &Connection, command: PolicyCommand, printer: Printer) -> Outcome {
    let client = connection.patch();
    match command {
        PolicyCommand::List { most } => {
            printer.list(&client.list_policies(&[], most.limit).await?, POLICIES)?;
        }
        PolicyCommand::Show { id } => printer.item(&client.get_policy(&id).await?)?,
        PolicyCommand::Create { request } => {
            let policy = input::request(&request.file)?;
            printer.item(&client.create_policy(&policy).await?)?;
        }
        PolicyCommand::Update { id, request, if_version } => {
            let patch: Value = input::request(&request.file)?;
            let updated = client.update_policy(&id, &patch, etag(if_version).as_deref()).await?;
            printer.item(&updated)?;
        }
        PolicyCommand::Delete { id } => {
            client.delete_policy(&id).await?;
            note(&format!("policy {id} is deleted"));
        }
        PolicyCommand::Preview { id } => preview(&client.preview_policy(&id).await?, printer)?,
    }
    OK
}

fn preview(preview: &api_types::patch::PolicyPreview, printer: Printer) -> Result<(), Failure> {
    if !printer.is_for_people() {
        return printer.item(preview);
    }
    let targets: Vec<&str> = preview.targets.iter().map(AsRef::as_ref).collect();
    print(&format!("hosts: {} {}", targets.len(), targets.join(" ")))?;
    if !preview.occurrences.is_empty() {
        print("\n")?;
        printer.list(&preview.occurrences, OCCURRENCES)?;
    }
    if !preview.conflicts.is_empty() {
        print("\n")?;
        printer.list(&preview.conflicts, CONFLICTS)?;
    }
    if !preview.effective.is_empty() {
        print("\n")?;
        printer.list(&preview.effective, EFFECTIVE)?;
    }
    Ok(())
}
