//! The versions of a policy with their differences, from the audit log: every write of a policy is in it with what was before and
//! after.

use api_types::{
    access::AuditRecord,
    page::Page,
    patch::{PolicyAct, PolicyApproval, PolicyFieldChange, PolicyVersion},
};
use domain::{ids::PolicyId, policy::Policy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::{
    ApiError, ApiResult, audit,
    field_changes::{FieldChange, field_changes},
    page::{PageRequest, page},
};

use super::policies;
use crate::{App, store};

/// The actions of the audit log that make or approve a version, and the deletion of an earlier policy with the same id.
const ACTIONS: [&str; 4] = ["create_policy", "update_policy", "approve_policy", "delete_policy"];

/// Where a page begins: before this record. The record of a write there made this version.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cursor {
    sequence: i64,
    version: i64,
}

/// Newest first. `hides_secrets` is for callers who only read.
pub(crate) async fn list_policy_versions(
    app: &App,
    id: &PolicyId,
    hides_secrets: bool,
    request: &PageRequest,
) -> ApiResult<Page<PolicyVersion>> {
    let (limit, after) = (request.limit()?, request.after::<Cursor>()?);
    let mut conn = app.pool.acquire().await?;
    let current = store::policies::get_policy(&mut conn, id).await?.version;
    let object = policies::object(id);
    let before = after.map(|cursor| cursor.sequence);
    let records = audit::list_records(&mut conn, Some(&object), &ACTIONS, before, limit + 1).await?;
    let mut version = after.map_or(current, |cursor| cursor.version);
    let mut found = Vec::new();
    for record in records {
        let sequence = record.sequence;
        // What is older belongs to a policy that was deleted.
        let Some(entry) = entry(record, version, hides_secrets)? else { break };
        if entry.act != PolicyAct::Approved {
            version -= 1;
        }
        found.push((Cursor { sequence, version }, entry));
    }
    let page = page(found, limit, |(cursor, _)| *cursor);
    Ok(page.map(|(_, entry)| entry))
}

fn entry(record: AuditRecord, version: i64, hides_secrets: bool) -> ApiResult<Option<PolicyVersion>> {
    let (act, version, changes) = match record.action.as_str() {
        "create_policy" => (PolicyAct::Created, version, Vec::new()),
        "update_policy" => {
            let before = shown(record.before.as_ref(), hides_secrets)?;
            let after = shown(record.after.as_ref(), hides_secrets)?;
            let changes = field_changes(&before, &after).into_iter().map(field_change).collect();
            (PolicyAct::Changed, version, changes)
        }
        "approve_policy" => {
            let approval: Option<PolicyApproval> =
                record.after.as_ref().map(Deserialize::deserialize).transpose()?;
            let approved = approval.map_or(version, |approval| approval.version);
            (PolicyAct::Approved, approved, Vec::new())
        }
        _ => return Ok(None),
    };
    let AuditRecord { at, subject: by, reason, .. } = record;
    Ok(Some(PolicyVersion { version, act, at, by, reason, changes }))
}

/// A policy as it was, read by the rules of now.
fn shown(recorded: Option<&Value>, hides_secrets: bool) -> ApiResult<Value> {
    let recorded = recorded.ok_or_else(|| ApiError::internal("a record of a policy is empty"))?;
    let mut policy = Policy::deserialize(recorded)?;
    if hides_secrets {
        policy.hide_secrets();
    }
    Ok(serde_json::to_value(policy)?)
}

fn field_change(change: FieldChange) -> PolicyFieldChange {
    PolicyFieldChange { field: change.field, before: change.before, after: change.after }
}
