//! Exceptions.

use api_types::patch::Exception;
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;
use uuid::Uuid;

struct Row {
    id: Uuid,
    owner: String,
    reason: String,
    expires_at: DateTime<Utc>,
    ci_id: Option<String>,
    advisory_id: Option<String>,
    package: Option<String>,
    compensating_control: Option<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_exception(self, now: DateTime<Utc>) -> ApiResult<Exception> {
        Ok(Exception {
            id: self.id,
            owner: self.owner,
            reason: self.reason,
            ci_id: self.ci_id.map(CiId::new).transpose().map_err(ApiError::internal)?,
            advisory_id: self.advisory_id,
            package: self.package,
            compensating_control: self.compensating_control,
            created_by: self.created_by,
            created_at: self.created_at,
            active: self.ended_at.is_none() && self.expires_at > now,
            expires_at: self.expires_at,
        })
    }
}

pub async fn insert_exception(conn: &mut PgConnection, exception: &Exception) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.exceptions
             (id, owner, reason, expires_at, ci_id, advisory_id, package, compensating_control, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        exception.id,
        exception.owner,
        exception.reason,
        exception.expires_at,
        exception.ci_id.as_ref().map(CiId::as_str),
        exception.advisory_id,
        exception.package,
        exception.compensating_control,
        exception.created_by,
        exception.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_exception(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> ApiResult<Exception> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, owner, reason, expires_at, ci_id, advisory_id, package, compensating_control, created_by, created_at, ended_at
         FROM patch.exceptions WHERE id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or_else(|| ApiError::not_found(format!("exception `{id}`")))?.into_exception(now)
}

/// Newest first.
pub async fn list_exceptions(
    conn: &mut PgConnection,
    ci_id: Option<&str>,
    active: Option<bool>,
    now: DateTime<Utc>,
    after: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<Exception>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, owner, reason, expires_at, ci_id, advisory_id, package, compensating_control, created_by, created_at, ended_at
         FROM patch.exceptions
         WHERE ($1::text IS NULL OR ci_id = $1) AND ($2::boolean IS NULL OR (ended_at IS NULL AND expires_at > $3) = $2)
             AND ($4::uuid IS NULL OR id < $4)
         ORDER BY id DESC LIMIT $5",
        ci_id,
        active,
        now,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_exception(now)).collect()
}

/// Ends an exception. Returns `false` if it had already ended.
pub async fn end_exception(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> ApiResult<bool> {
    let ended =
        sqlx::query!("UPDATE patch.exceptions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL", id, now)
            .execute(conn)
            .await?;
    Ok(ended.rows_affected() == 1)
}

/// Expired exceptions that have not been ended.
pub async fn list_expired(conn: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> ApiResult<Vec<Uuid>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM patch.exceptions WHERE ended_at IS NULL AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Queues the active hosts that are missing a fix the exception covers.
pub async fn mark_affected_hosts(conn: &mut PgConnection, id: Uuid) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.due_hosts
         SELECT DISTINCT t.host_id FROM patch.exceptions e
         JOIN patch.advisories a ON e.advisory_id IS NULL OR a.id = e.advisory_id OR a.cves @> ARRAY[e.advisory_id]
         JOIN patch.affected t ON t.advisory_no = a.no
         WHERE e.id = $1 AND (e.ci_id IS NULL OR t.host_id = (SELECT h.id FROM patch.hosts h WHERE h.ci_id = e.ci_id))
             AND (e.package IS NULL OR EXISTS (SELECT FROM patch.findings f WHERE f.advisory_no = a.no AND f.package = e.package))
         ON CONFLICT DO NOTHING",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
