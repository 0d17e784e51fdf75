//! SQL of what is exported next, and what was exported last.

use api_types::access::{AuditDestination, AuditExport};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{PublicKey, SignedHead};
use crate::text_enum::{from_text, to_text};

/// An end that is being exported.
pub struct Due {
    pub head: SignedHead,
    /// The same at every attempt.
    pub message_id: Uuid,
    pub attempts: i32,
}

/// A new destination is due at once.
pub async fn ensure_export(
    conn: &mut PgConnection,
    service: &str,
    destination: AuditDestination,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO platform.audit_exports (service, destination, next_attempt_at) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
        service,
        to_text(&destination)?,
        now,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// `None` if nothing is due, or another replica has the row. `Some(None)` if a new end is to be made, otherwise the one that waits.
pub async fn lock_due(
    conn: &mut PgConnection,
    service: &str,
    destination: AuditDestination,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Option<(SignedHead, Uuid)>>> {
    let row = sqlx::query!(
        "SELECT pending, message_id FROM platform.audit_exports
         WHERE service = $1 AND destination = $2 AND next_attempt_at <= $3 FOR UPDATE SKIP LOCKED",
        service,
        to_text(&destination)?,
        now,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    match (row.pending, row.message_id) {
        (Some(pending), Some(id)) => Ok(Some(Some((head_of(pending)?, id)))),
        _ => Ok(Some(None)),
    }
}

fn head_of(stored: Value) -> sqlx::Result<SignedHead> {
    serde_json::from_value(stored).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Counts an attempt before it starts, and keeps others away until `until`. Returns the number of attempts.
pub async fn begin_attempt(
    conn: &mut PgConnection,
    service: &str,
    destination: AuditDestination,
    (head, message_id): (&SignedHead, Uuid),
    until: DateTime<Utc>,
) -> sqlx::Result<i32> {
    let pending = serde_json::to_value(head).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query_scalar!(
        "UPDATE platform.audit_exports
         SET pending = $3, message_id = $4, attempts = attempts + 1, next_attempt_at = $5
         WHERE service = $1 AND destination = $2 RETURNING attempts",
        service,
        to_text(&destination)?,
        pending,
        message_id,
        until,
    )
    .fetch_one(conn)
    .await
}

pub async fn record_exported(
    conn: &mut PgConnection,
    service: &str,
    destination: AuditDestination,
    due: &Due,
    now: DateTime<Utc>,
    next: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE platform.audit_exports
         SET pending = NULL, message_id = NULL, attempts = 0, last_error = NULL, exported_at = $4, position = $5,
             next_attempt_at = $6
         WHERE service = $1 AND destination = $2 AND message_id = $3",
        service,
        to_text(&destination)?,
        due.message_id,
        now,
        due.head.position,
        next,
    )
    .execute(conn)
    .await
    .map(drop)
}

pub async fn record_failed(
    conn: &mut PgConnection,
    service: &str,
    destination: AuditDestination,
    due: &Due,
    error: &str,
    next: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE platform.audit_exports SET last_error = $4, next_attempt_at = $5
         WHERE service = $1 AND destination = $2 AND message_id = $3",
        service,
        to_text(&destination)?,
        due.message_id,
        error,
        next,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// The destinations of a service that have been tried, in the order of their names.
pub async fn list_exports(
    conn: &mut PgConnection,
    service: &str,
    key: &PublicKey,
) -> sqlx::Result<Vec<AuditExport>> {
    let rows = sqlx::query!(
        "SELECT destination, exported_at, position, attempts, last_error FROM platform.audit_exports
         WHERE service = $1 ORDER BY destination",
        service,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(AuditExport {
                service: service.to_owned(),
                destination: from_text(row.destination)?,
                public_key: key.to_string(),
                exported_at: row.exported_at,
                position: row.position,
                attempts: row.attempts,
                last_error: row.last_error,
            })
        })
        .collect()
}
