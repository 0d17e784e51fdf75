//! Decisions on changes, with what was decided on.

use std::collections::HashMap;

use api_types::itsm::Approval;
use chrono::{DateTime, Utc};
use domain::ids::ChangeId;
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;

use super::{ci_ids, ci_names};

pub async fn insert_approval(
    connection: &mut PgConnection,
    change: &ChangeId,
    approval: &Approval,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO itsm.approvals (change_number, approver, decision, comment, plan_hash, ci_ids, start_at, end_at, decided_at)
         SELECT number, $2, $3, $4, $5, $6, $7, $8, $9 FROM itsm.changes WHERE id = $1",
        change.as_str(),
        approval.approver,
        to_text(&approval.decision)?,
        approval.comment,
        approval.plan_hash,
        &ci_names(&approval.ci_ids),
        approval.start_at,
        approval.end_at,
        approval.decided_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Voids every approval of a change that is not void yet.
pub async fn void_approvals(
    connection: &mut PgConnection,
    change: &ChangeId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE itsm.approvals SET voided_at = $2
         WHERE change_number = (SELECT number FROM itsm.changes WHERE id = $1) AND voided_at IS NULL",
        change.as_str(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Decisions by the number of their change, oldest first.
pub async fn list_approvals(
    connection: &mut PgConnection,
    change_numbers: &[i64],
) -> sqlx::Result<HashMap<i64, Vec<Approval>>> {
    let rows = sqlx::query!(
        "SELECT change_number, approver, decision, comment, plan_hash, ci_ids, start_at, end_at, decided_at, voided_at
         FROM itsm.approvals WHERE change_number = ANY($1) ORDER BY sequence",
        change_numbers,
    )
    .fetch_all(connection)
    .await?;
    let mut approvals: HashMap<i64, Vec<Approval>> = HashMap::new();
    for row in rows {
        approvals.entry(row.change_number).or_default().push(Approval {
            approver: row.approver,
            decision: from_text(row.decision)?,
            comment: row.comment,
            plan_hash: row.plan_hash,
            ci_ids: ci_ids(row.ci_ids)?,
            start_at: row.start_at,
            end_at: row.end_at,
            decided_at: row.decided_at,
            voided_at: row.voided_at,
        });
    }
    Ok(approvals)
}
