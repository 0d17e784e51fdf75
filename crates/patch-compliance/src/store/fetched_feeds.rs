//! Feeds that the platform fetches itself, and how their last requests ended.

use chrono::{DateTime, Utc};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;
use uuid::Uuid;

/// A row of the table. `leased_until` is the lease of the replica that fetches it.
#[derive(Debug, Clone)]
pub struct FetchedFeed {
    pub id: String,
    pub url: String,
    pub checksum_url: Option<String>,
    pub every_minutes: i32,
    pub late_after_hours: i32,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub next_at: DateTime<Utc>,
    pub leased_until: Option<DateTime<Utc>>,
    pub checked_at: Option<DateTime<Utc>>,
    pub fetched_at: Option<DateTime<Utc>>,
    pub imported_at: Option<DateTime<Utc>>,
    pub import_id: Option<Uuid>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub failures: i32,
    pub problem: Option<String>,
    pub incident_id: Option<String>,
}

/// What an administrator decides about a feed.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub id: &'a str,
    pub url: &'a str,
    pub checksum_url: Option<&'a str>,
    pub every_minutes: i32,
    pub late_after_hours: i32,
    pub by: &'a str,
}

/// Adds a feed or changes it, and makes it due. With another address it is a new feed, of which nothing is known.
pub async fn upsert_feed(
    conn: &mut PgConnection,
    wanted: &Wanted<'_>,
    now: DateTime<Utc>,
) -> ApiResult<FetchedFeed> {
    let feed = sqlx::query_as!(
        FetchedFeed,
        "INSERT INTO patch.fetched_feeds AS f (id, url, checksum_url, every_minutes, late_after_hours, created_by, created_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
         ON CONFLICT (id) DO UPDATE SET url = excluded.url, checksum_url = excluded.checksum_url,
             every_minutes = excluded.every_minutes, late_after_hours = excluded.late_after_hours, next_at = excluded.next_at,
             leased_until = NULL, etag = NULL, last_modified = NULL, failures = 0, problem = NULL,
             created_at = CASE WHEN f.url = excluded.url THEN f.created_at ELSE excluded.created_at END,
             checked_at = CASE WHEN f.url = excluded.url THEN f.checked_at END,
             fetched_at = CASE WHEN f.url = excluded.url THEN f.fetched_at END,
             imported_at = CASE WHEN f.url = excluded.url THEN f.imported_at END,
             import_id = CASE WHEN f.url = excluded.url THEN f.import_id END,
             incident_id = CASE WHEN f.url = excluded.url THEN f.incident_id END
         RETURNING *",
        wanted.id,
        wanted.url,
        wanted.checksum_url,
        wanted.every_minutes,
        wanted.late_after_hours,
        wanted.by,
        now
    )
    .fetch_one(conn)
    .await?;
    Ok(feed)
}

pub async fn count_others(conn: &mut PgConnection, id: &str) -> ApiResult<i64> {
    let count =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM patch.fetched_feeds WHERE id <> $1"#, id)
            .fetch_one(conn)
            .await?;
    Ok(count)
}

pub async fn find_feed(conn: &mut PgConnection, id: &str) -> ApiResult<Option<FetchedFeed>> {
    let feed = sqlx::query_as!(FetchedFeed, "SELECT * FROM patch.fetched_feeds WHERE id = $1", id)
        .fetch_optional(conn)
        .await?;
    Ok(feed)
}

pub async fn get_feed(conn: &mut PgConnection, id: &str) -> ApiResult<FetchedFeed> {
    find_feed(conn, id).await?.ok_or_else(|| ApiError::not_found(format!("feed `{id}`")))
}

/// In the order of their ids.
pub async fn list_feeds(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> ApiResult<Vec<FetchedFeed>> {
    let feeds = sqlx::query_as!(
        FetchedFeed,
        "SELECT * FROM patch.fetched_feeds WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(feeds)
}

pub async fn delete_feed(conn: &mut PgConnection, id: &str) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.fetched_feeds WHERE id = $1", id).execute(conn).await?;
    Ok(())
}

/// Makes a feed due.
pub async fn mark_due(conn: &mut PgConnection, id: &str, now: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.fetched_feeds SET next_at = $2 WHERE id = $1", id, now).execute(conn).await?;
    Ok(())
}

/// Leases the feed that has been due for longest.
pub async fn lease_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> ApiResult<Option<FetchedFeed>> {
    let feed = sqlx::query_as!(
        FetchedFeed,
        "UPDATE patch.fetched_feeds SET leased_until = $2 WHERE id = (
             SELECT id FROM patch.fetched_feeds WHERE next_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
             ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING *",
        now,
        until
    )
    .fetch_optional(conn)
    .await?;
    Ok(feed)
}

/// The end of a successful request.
#[derive(Debug)]
pub struct Success<'a> {
    pub now: DateTime<Utc>,
    pub next_at: DateTime<Utc>,
    /// Absent if nothing has changed since the last import.
    pub import_id: Option<Uuid>,
    pub etag: Option<&'a str>,
    pub last_modified: Option<&'a str>,
}

/// Records the end of a request, unless the lease has passed to somebody else.
pub async fn record_success(
    conn: &mut PgConnection,
    feed: &FetchedFeed,
    success: &Success<'_>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.fetched_feeds SET leased_until = NULL, checked_at = $3, fetched_at = $3, next_at = $4, failures = 0,
             problem = NULL, incident_id = NULL, etag = $6, last_modified = $7, import_id = coalesce($5, import_id),
             imported_at = CASE WHEN $5::uuid IS NULL THEN imported_at ELSE $3 END
         WHERE id = $1 AND leased_until = $2",
        feed.id,
        feed.leased_until,
        success.now,
        success.next_at,
        success.import_id,
        success.etag,
        success.last_modified
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records a failed request, unless the lease has passed to somebody else.
pub async fn record_failure(
    conn: &mut PgConnection,
    feed: &FetchedFeed,
    now: DateTime<Utc>,
    next_at: DateTime<Utc>,
    problem: &str,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.fetched_feeds SET leased_until = NULL, checked_at = $3, next_at = $4, failures = failures + 1, problem = $5
         WHERE id = $1 AND leased_until = $2",
        feed.id,
        feed.leased_until,
        now,
        next_at,
        problem
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Feeds without an incident about their lateness.
pub async fn list_without_incident(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<FetchedFeed>> {
    let feeds = sqlx::query_as!(
        FetchedFeed,
        "SELECT * FROM patch.fetched_feeds WHERE incident_id IS NULL ORDER BY id LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(feeds)
}

pub async fn record_incident(conn: &mut PgConnection, id: &str, incident: &str) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.fetched_feeds SET incident_id = $2 WHERE id = $1", id, incident)
        .execute(conn)
        .await?;
    Ok(())
}
