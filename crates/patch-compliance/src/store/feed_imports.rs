//! Feed imports and their progress, and the imported files of the watched folder.

use api_types::patch::{AdvisoryImport, AdvisoryImportReport, AdvisoryImportStatus};
use chrono::{DateTime, Utc};
use serde_json::Value;
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

struct Row {
    id: Uuid,
    origin: String,
    requested_by: String,
    status: String,
    bytes_total: i64,
    bytes_read: i64,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    report: Value,
    problem: Option<String>,
}

impl Row {
    fn into_import(self) -> ApiResult<AdvisoryImport> {
        Ok(AdvisoryImport {
            id: self.id,
            origin: self.origin,
            requested_by: self.requested_by,
            status: from_text(self.status)?,
            bytes_total: self.bytes_total,
            bytes_read: self.bytes_read,
            started_at: self.started_at,
            ended_at: self.ended_at,
            report: serde_json::from_value(self.report)?,
            problem: self.problem,
        })
    }
}

pub async fn insert_import(conn: &mut PgConnection, import: &AdvisoryImport) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.feed_imports (id, origin, requested_by, status, bytes_total, report, started_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        import.id,
        import.origin,
        import.requested_by,
        to_text(&import.status)?,
        import.bytes_total,
        serde_json::to_value(&import.report)?,
        import.started_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records progress, and that the import is alive.
pub async fn update_progress(
    conn: &mut PgConnection,
    id: Uuid,
    bytes_read: i64,
    report: &AdvisoryImportReport,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.feed_imports SET bytes_read = $2, report = $3, seen_at = now() WHERE id = $1 AND ended_at IS NULL",
        id,
        bytes_read,
        serde_json::to_value(report)?
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn end_import(
    conn: &mut PgConnection,
    id: Uuid,
    status: AdvisoryImportStatus,
    report: &AdvisoryImportReport,
    problem: Option<&str>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.feed_imports SET status = $2, report = $3, problem = $4, ended_at = $5,
             bytes_read = CASE WHEN $2 = 'succeeded' THEN bytes_total ELSE bytes_read END WHERE id = $1",
        id,
        to_text(&status)?,
        serde_json::to_value(report)?,
        problem,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_import(conn: &mut PgConnection, id: Uuid) -> ApiResult<AdvisoryImport> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, origin, requested_by, status, bytes_total, bytes_read, started_at, ended_at, report, problem
         FROM patch.feed_imports WHERE id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or_else(|| ApiError::not_found(format!("import `{id}`")))?.into_import()
}

/// Newest first.
pub async fn list_imports(
    conn: &mut PgConnection,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> ApiResult<Vec<AdvisoryImport>> {
    let (after_time, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, origin, requested_by, status, bytes_total, bytes_read, started_at, ended_at, report, problem
         FROM patch.feed_imports WHERE $1::timestamptz IS NULL OR (started_at, id) < ($1, $2)
         ORDER BY started_at DESC, id DESC LIMIT $3",
        after_time,
        after_id,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_import).collect()
}

/// Ends imports whose process is gone. Returns how many.
pub async fn interrupt_silent(
    conn: &mut PgConnection,
    silent_seconds: f64,
    now: DateTime<Utc>,
) -> ApiResult<u64> {
    let ended = sqlx::query!(
        "UPDATE patch.feed_imports SET status = 'interrupted', ended_at = $2,
             problem = 'its process has ended; the records read until then are stored, send the feed again to continue'
         WHERE status = 'running' AND seen_at < now() - make_interval(secs => $1)",
        silent_seconds,
        now
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected())
}

/// Deletes ended imports except for the `kept` newest.
pub async fn delete_ended(conn: &mut PgConnection, kept: i64) -> ApiResult<()> {
    sqlx::query!(
        "DELETE FROM patch.feed_imports WHERE ended_at IS NOT NULL
             AND (started_at, id) < (SELECT started_at, id FROM patch.feed_imports ORDER BY started_at DESC, id DESC LIMIT 1 OFFSET $1)",
        kept
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A file at the time of its import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFile {
    pub path: String,
    pub size_bytes: i64,
    pub modified_at: DateTime<Utc>,
    pub etag: Option<String>,
}

pub async fn find_file(conn: &mut PgConnection, path: &str) -> ApiResult<Option<FeedFile>> {
    let file = sqlx::query_as!(
        FeedFile,
        "SELECT path, size_bytes, modified_at, etag FROM patch.feed_files WHERE path = $1",
        path
    )
    .fetch_optional(conn)
    .await?;
    Ok(file)
}

pub async fn upsert_file(conn: &mut PgConnection, file: &FeedFile, import_id: Option<Uuid>) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.feed_files (path, size_bytes, modified_at, etag, import_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (path) DO UPDATE SET size_bytes = excluded.size_bytes, modified_at = excluded.modified_at,
             etag = excluded.etag, import_id = excluded.import_id",
        file.path,
        file.size_bytes,
        file.modified_at,
        file.etag,
        import_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks the schedule of feeds. Returns the time up to which it was evaluated: `now` if it is new.
pub async fn lock_schedule(conn: &mut PgConnection, now: DateTime<Utc>) -> ApiResult<DateTime<Utc>> {
    sqlx::query!(
        "INSERT INTO patch.feed_schedule (considered_until) VALUES ($1) ON CONFLICT DO NOTHING",
        now
    )
    .execute(&mut *conn)
    .await?;
    let until = sqlx::query_scalar!("SELECT considered_until FROM patch.feed_schedule FOR UPDATE")
        .fetch_one(conn)
        .await?;
    Ok(until)
}

pub async fn update_schedule(conn: &mut PgConnection, until: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.feed_schedule SET considered_until = greatest(considered_until, $1)", until)
        .execute(conn)
        .await?;
    Ok(())
}
