//! Notices about runs that ITSM sends to recipients.

use chrono::{DateTime, Utc};
use domain::ids::RunId;
use service_kit::ApiResult;
use sqlx::PgConnection;

#[derive(Debug, Clone)]
pub struct Notice {
    /// Identifies the notice: the same event has the same key.
    pub key: String,
    pub run: RunId,
    pub recipient: String,
    pub subject: String,
    pub body: String,
}

pub async fn insert_notices(
    conn: &mut PgConnection,
    notices: &[Notice],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for notice in notices {
        sqlx::query!(
            "INSERT INTO patch.notices (key, run_id, recipient, subject, body, created_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            notice.key,
            notice.run.0,
            notice.recipient,
            notice.subject,
            notice.body,
            now,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Notices that were not forwarded yet, oldest first.
pub async fn list_due(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<Notice>> {
    let rows = sqlx::query!(
        "SELECT key, run_id, recipient, subject, body FROM patch.notices
         WHERE handed_over_at IS NULL ORDER BY created_at, key LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    let notice = |row: (String, uuid::Uuid, String, String, String)| Notice {
        key: row.0,
        run: RunId(row.1),
        recipient: row.2,
        subject: row.3,
        body: row.4,
    };
    Ok(rows
        .into_iter()
        .map(|row| notice((row.key, row.run_id, row.recipient, row.subject, row.body)))
        .collect())
}

pub async fn mark_forwarded(conn: &mut PgConnection, key: &str, now: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.notices SET handed_over_at = $2 WHERE key = $1", key, now)
        .execute(conn)
        .await?;
    Ok(())
}
