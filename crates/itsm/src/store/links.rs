//! One-time links of approvers.

use chrono::{DateTime, Utc};
use domain::ids::ChangeId;
use sqlx::PgConnection;
use uuid::Uuid;

/// A link as it is stored.
#[derive(Debug, Clone)]
pub struct ApprovalLink {
    pub id: Uuid,
    pub change_id: String,
    /// The address that it was sent to.
    pub approver: String,
    /// The person as whom it decides; `None` for links of earlier versions, which belong to the person who has the address.
    pub subject: Option<String>,
    pub plan_hash: Option<String>,
    pub expires_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
    pub voided_at: Option<DateTime<Utc>>,
}

pub async fn insert_link(
    conn: &mut PgConnection,
    link: &ApprovalLink,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO itsm.approval_links (id, change_number, approver, plan_hash, created_at, expires_at, subject)
         SELECT $1, number, $3, $4, $5, $6, $7 FROM itsm.changes WHERE id = $2",
        link.id,
        link.change_id,
        link.approver,
        link.plan_hash,
        now,
        link.expires_at,
        link.subject,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn find_link(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<ApprovalLink>> {
    sqlx::query_as!(
        ApprovalLink,
        "SELECT links.id, changes.id AS change_id, links.approver, links.plan_hash, links.expires_at, links.used_at,
             links.voided_at, links.subject
         FROM itsm.approval_links links JOIN itsm.changes changes ON changes.number = links.change_number
         WHERE links.id = $1",
        id
    )
    .fetch_optional(conn)
    .await
}

/// Records that a link has decided. The caller has locked the change, so that there is no second decision.
pub async fn use_link(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE itsm.approval_links SET used_at = $2 WHERE id = $1", id, now).execute(conn).await?;
    Ok(())
}

/// Voids the links of a change, except those that have decided: they stay as a record.
pub async fn void_links(conn: &mut PgConnection, change: &ChangeId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE itsm.approval_links SET voided_at = $2
         WHERE change_number = (SELECT number FROM itsm.changes WHERE id = $1)
             AND voided_at IS NULL AND used_at IS NULL",
        change.as_str(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
