//! The audit log: every write records who, what, before, after and why, in the same transaction.

use api_types::access::AuditRecord;
use serde::Serialize;
use sqlx::PgConnection;

use crate::{auth::Caller, error::ApiResult};

/// One write, about to be committed.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// The verb: `create_policy`.
    pub action: &'a str,
    /// The thing: `policy/policy-rhel9-baseline`.
    pub object: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
    pub reason: Option<&'a str>,
}

impl<'a> Record<'a> {
    pub fn new(action: &'a str, object: impl Into<String>) -> Self {
        Self { action, object: object.into(), ..Self::default() }
    }

    pub fn before(mut self, value: &impl Serialize) -> Self {
        self.before = serde_json::to_value(value).ok();
        self
    }

    pub fn after(mut self, value: &impl Serialize) -> Self {
        self.after = serde_json::to_value(value).ok();
        self
    }

    pub fn reason(mut self, reason: Option<&'a str>) -> Self {
        self.reason = reason;
        self
    }
}

/// Adds a record to the caller's transaction; if it fails, the write fails, too.
/// The record of a confirmed proposal names the second person.
pub async fn record(conn: &mut PgConnection, caller: &Caller, record: Record<'_>) -> ApiResult<()> {
    let confirmed = caller
        .confirmation
        .as_ref()
        .map(|second| format!("confirmed by `{}` (proposal/{})", second.by.subject, second.proposal));
    let reason = match (record.reason, confirmed) {
        (Some(reason), Some(confirmed)) => Some(format!("{reason}; {confirmed}")),
        (reason, confirmed) => confirmed.or_else(|| reason.map(str::to_owned)),
    };
    sqlx::query!(
        "INSERT INTO platform.audit_log (service, subject, token_id, action, object, before, after, reason, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        caller.service,
        caller.subject,
        caller.token_id,
        record.action,
        record.object,
        record.before,
        record.after,
        reason,
        caller.request_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records of an object, or of all, newest first, from before the record with the number `before`. Only of these actions, unless there
/// are none.
pub async fn list_records(
    conn: &mut PgConnection,
    object: Option<&str>,
    actions: &[&str],
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<AuditRecord>> {
    let actions: Vec<String> = actions.iter().map(|&action| action.to_owned()).collect();
    sqlx::query_as!(
        AuditRecord,
        "SELECT sequence, at, service, subject, action, object, before, after, reason, request_id FROM platform.audit_log
         WHERE ($1::bigint IS NULL OR sequence < $1) AND ($2::text IS NULL OR object = $2)
             AND (cardinality($3::text[]) = 0 OR action = ANY($3))
         ORDER BY sequence DESC LIMIT $4",
        before,
        object,
        &actions,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Who did one of these actions to one of these objects, in the order of their names.
pub async fn list_subjects(
    conn: &mut PgConnection,
    objects: &[String],
    actions: &[&str],
) -> sqlx::Result<Vec<String>> {
    let actions: Vec<String> = actions.iter().map(|&action| action.to_owned()).collect();
    sqlx::query_scalar!(
        "SELECT DISTINCT subject FROM platform.audit_log WHERE object = ANY($1) AND action = ANY($2) ORDER BY subject",
        objects,
        &actions
    )
    .fetch_all(conn)
    .await
}
