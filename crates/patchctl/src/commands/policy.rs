use api_types::patch::{PolicyPreview, ScheduleHint, StoredPolicy};
use serde_json::Value;

use super::etag;
use crate::arguments::PolicyCommand;
use crate::connect::Connection;
use crate::failure::CommandResult;
use crate::input;
use crate::output::{Columns, Printer, done, hint, print};

const POLICIES: Columns = "id name schedule offset=schedule_offset_days time_zone targets=target_ci_tags level=patch_level strategy enabled version";
const OCCURRENCES: Columns = "next=at local time_zone blocked_by";
const CONFLICTS: Columns = "conflicts_with=policy_id reason hosts=ci_ids";
const EFFECTIVE: Columns = "host=ci_id decided_by=policy_id";

pub async fn run(connection: &Connection, command: PolicyCommand, printer: Printer) -> CommandResult {
    let client = connection.patch();
    match command {
        PolicyCommand::List(most) => printer.list(&client.list_policies(&[], most.limit).await?, POLICIES),
        PolicyCommand::Show { id } => printer.item(&client.get_policy(&id).await?),
        PolicyCommand::Create(request) => {
            stored(&client.create_policy(&input::request(&request.file)?).await?, printer)
        }
        PolicyCommand::Update { id, request, if_version } => {
            let patch: Value = input::request(&request.file)?;
            stored(&client.update_policy(&id, &patch, etag(if_version).as_deref()).await?, printer)
        }
        PolicyCommand::Delete { id } => {
            client.delete_policy(&id).await?;
            done(&format!("policy {id} is deleted"))
        }
        PolicyCommand::Preview { id } => preview(&client.preview_policy(&id).await?, printer),
    }
}

fn stored(policy: &StoredPolicy, printer: Printer) -> CommandResult {
    print_hints(&policy.hints);
    printer.item(policy)
}

fn print_hints(hints: &[ScheduleHint]) {
    for one in hints {
        hint(&format!("{}: {}", one.pointer, one.message));
    }
}

fn preview(preview: &PolicyPreview, printer: Printer) -> CommandResult {
    print_hints(&preview.hints);
    if !printer.is_for_people() {
        return printer.item(preview);
    }
    let targets: Vec<&str> = preview.targets.iter().map(AsRef::as_ref).collect();
    print(&format!("hosts: {} {}", targets.len(), targets.join(" ")))?;
    printer.section(&preview.occurrences, OCCURRENCES)?;
    printer.section(&preview.conflicts, CONFLICTS)?;
    printer.section(&preview.effective, EFFECTIVE)
}
