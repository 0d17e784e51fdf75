//! Scans and their progress.

use api_types::patch::{Scan, ScanFailure, ScanState};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, ScanId},
    selector::Selector,
};
use serde_json::Value;
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

/// Failures listed in one answer; all are counted.
const FAILURES_SHOWN: i64 = 1000;

struct Row {
    state: String,
    requested_by: String,
    selector: Value,
    error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

pub async fn insert_scan(conn: &mut PgConnection, scan: &Scan, deadline: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.scans (id, state, requested_by, selector, created_at, deadline) VALUES ($1, 'queued', $2, $3, $4, $5)",
        scan.id.0,
        scan.requested_by,
        serde_json::to_value(&scan.selector)?,
        scan.created_at,
        deadline,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_scan(conn: &mut PgConnection, id: ScanId) -> ApiResult<Scan> {
    let row = sqlx::query_as!(
        Row,
        "SELECT state, requested_by, selector, error, created_at, started_at, finished_at FROM patch.scans WHERE id = $1",
        id.0
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| ApiError::not_found(format!("scan `{id}`")))?;
    let counts = count_hosts(conn, id.0).await?;
    let failures = sqlx::query!(
        r#"SELECT ci_id, coalesce(reason, '') AS "reason!", unmanaged FROM patch.scan_hosts
           WHERE scan_id = $1 AND state = 'failed' ORDER BY ci_id LIMIT $2"#,
        id.0,
        FAILURES_SHOWN
    )
    .fetch_all(conn)
    .await?;
    let failures = failures
        .into_iter()
        .map(|row| {
            Ok(ScanFailure {
                ci_id: CiId::new(&row.ci_id).map_err(ApiError::internal)?,
                reason: row.reason,
                unmanaged: row.unmanaged,
            })
        })
        .collect::<ApiResult<_>>()?;
    Ok(Scan {
        id,
        state: from_text(row.state)?,
        requested_by: row.requested_by,
        selector: serde_json::from_value(row.selector)?,
        total: counts.total,
        scanned: counts.scanned,
        failed: counts.failed,
        failures,
        error: row.error,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

/// What a worker needs to continue a scan.
#[derive(Debug)]
pub struct OpenScan {
    pub state: ScanState,
    pub selector: Selector,
    pub deadline: DateTime<Utc>,
}

pub async fn get_open_scan(conn: &mut PgConnection, id: Uuid) -> ApiResult<OpenScan> {
    let row = sqlx::query!("SELECT state, selector, deadline FROM patch.scans WHERE id = $1", id)
        .fetch_one(conn)
        .await?;
    Ok(OpenScan {
        state: from_text(row.state)?,
        selector: serde_json::from_value(row.selector)?,
        deadline: row.deadline,
    })
}

/// Fixes the hosts of the scan.
pub async fn begin_scan(
    conn: &mut PgConnection,
    id: Uuid,
    pending: &[String],
    refused: &[(String, String)],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.scans SET state = 'running', started_at = $2 WHERE id = $1", id, now)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "INSERT INTO patch.scan_hosts (scan_id, ci_id, state) SELECT $1, ci_id, 'pending' FROM unnest($2::text[]) AS t (ci_id)",
        id,
        pending
    )
    .execute(&mut *conn)
    .await?;
    let (hosts, reasons): (Vec<String>, Vec<String>) = refused.iter().cloned().unzip();
    sqlx::query!(
        "INSERT INTO patch.scan_hosts (scan_id, ci_id, state, reason)
         SELECT $1, ci_id, 'failed', reason FROM unnest($2::text[], $3::text[]) AS t (ci_id, reason)",
        id,
        &hosts,
        &reasons
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hosts still to be scanned, the first ones by id.
pub async fn list_unscanned(conn: &mut PgConnection, id: Uuid, limit: i64) -> ApiResult<Vec<String>> {
    let hosts = sqlx::query_scalar!(
        "SELECT ci_id FROM patch.scan_hosts WHERE scan_id = $1 AND state = 'pending' ORDER BY ci_id LIMIT $2",
        id,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// The result of a host.
#[derive(Debug, Clone)]
pub struct HostResult {
    pub ci_id: String,
    /// Why it could not be scanned; `None` if it was.
    pub reason: Option<String>,
    /// It has no known operating system still.
    pub unmanaged: bool,
}

/// Stores the results of hosts.
pub async fn record_results(conn: &mut PgConnection, id: Uuid, results: &[HostResult]) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.scan_hosts s SET state = CASE WHEN o.reason IS NULL THEN 'scanned' ELSE 'failed' END, reason = o.reason,
             unmanaged = o.unmanaged
         FROM unnest($2::text[], $3::text[], $4::boolean[]) AS o (ci_id, reason, unmanaged)
         WHERE s.scan_id = $1 AND s.ci_id = o.ci_id",
        id,
        &results.iter().map(|one| one.ci_id.clone()).collect::<Vec<_>>(),
        &results.iter().map(|one| one.reason.clone()).collect::<Vec<_>>() as &[Option<String>],
        &results.iter().map(|one| one.unmanaged).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Fails every host that has not been scanned.
pub async fn fail_unscanned(conn: &mut PgConnection, id: Uuid, reason: &str) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.scan_hosts SET state = 'failed', reason = $2 WHERE scan_id = $1 AND state = 'pending'",
        id,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub total: i64,
    pub scanned: i64,
    pub failed: i64,
}

pub async fn count_hosts(conn: &mut PgConnection, id: Uuid) -> ApiResult<Counts> {
    let counts = sqlx::query_as!(
        Counts,
        r#"SELECT count(*) AS "total!", count(*) FILTER (WHERE state = 'scanned') AS "scanned!",
               count(*) FILTER (WHERE state = 'failed') AS "failed!"
           FROM patch.scan_hosts WHERE scan_id = $1"#,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok(counts)
}

pub async fn finish_scan(
    conn: &mut PgConnection,
    id: Uuid,
    state: ScanState,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.scans SET state = $2, error = $3, finished_at = $4 WHERE id = $1 AND finished_at IS NULL",
        id,
        to_text(&state)?,
        error,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
