//! Releases, the requests of their runs, checks, notices, sign-offs and reports.

use std::collections::BTreeMap;

use api_types::patch::{CheckResult, Release, ReleaseMode};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    release::{Check, ReleaseKind, Version},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;
use uuid::Uuid;

use super::customers::{slug_of, version_of};
use service_kit::text_enum::{from_text, to_text};

struct Row {
    release_version: String,
    kind: String,
    urgency: String,
    base_version: String,
    notes: String,
    artefact: Option<String>,
    rollback_artefact: Option<String>,
    checklist: Value,
    resolves: Value,
    identified_at: DateTime<Utc>,
    version: i64,
    created_at: DateTime<Utc>,
    created_by: String,
}

impl Row {
    fn into_release(self) -> ApiResult<Release> {
        Ok(Release {
            version: version_of(&self.release_version)?,
            kind: from_text(&self.kind)?,
            urgency: from_text(&self.urgency)?,
            base_version: version_of(&self.base_version)?,
            notes: self.notes,
            artefact: self.artefact,
            rollback_artefact: self.rollback_artefact,
            checklist: serde_json::from_value(self.checklist)?,
            resolves: serde_json::from_value(self.resolves)?,
            identified_at: self.identified_at,
            revision: self.version,
            created_at: self.created_at,
            created_by: self.created_by,
        })
    }
}

pub async fn find_release(conn: &mut PgConnection, version: Version) -> ApiResult<Option<Release>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT release_version, kind, urgency, base_version, notes, artefact, rollback_artefact, checklist,
             resolves, identified_at, version, created_at, created_by FROM patch.releases WHERE release_version = $1",
        version.to_string()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_release).transpose()
}

pub async fn get_release(conn: &mut PgConnection, version: Version) -> ApiResult<Release> {
    find_release(conn, version).await?.ok_or_else(|| ApiError::not_found(format!("release `{version}`")))
}

pub async fn lock_release(conn: &mut PgConnection, version: Version) -> ApiResult<Release> {
    let text = version.to_string();
    sqlx::query!("SELECT version FROM patch.releases WHERE release_version = $1 FOR UPDATE", text)
        .fetch_optional(&mut *conn)
        .await?;
    get_release(conn, version).await
}

/// Highest version first, below `below`.
pub async fn list_releases(
    conn: &mut PgConnection,
    below: Option<Version>,
    limit: i64,
) -> ApiResult<Vec<Release>> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let below = below.map(|version| (number(version.major), number(version.minor), number(version.patch)));
    let rows = sqlx::query_as!(
        Row,
        "SELECT release_version, kind, urgency, base_version, notes, artefact, rollback_artefact, checklist,
             resolves, identified_at, version, created_at, created_by FROM patch.releases
         WHERE $1::int IS NULL OR (major, minor, patch) < ($1, $2, $3)
         ORDER BY major DESC, minor DESC, patch DESC LIMIT $4",
        below.map(|below| below.0),
        below.map(|below| below.1),
        below.map(|below| below.2),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_release).collect()
}

/// `false` if the version already exists.
pub async fn insert_release(conn: &mut PgConnection, release: &Release) -> ApiResult<bool> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let inserted = sqlx::query!(
        "INSERT INTO patch.releases (release_version, major, minor, patch, kind, urgency, base_version, notes,
             artefact, rollback_artefact, checklist, identified_at, created_at, created_by, resolves)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING",
        release.version.to_string(),
        number(release.version.major),
        number(release.version.minor),
        number(release.version.patch),
        release.kind.name(),
        release.urgency.name(),
        release.base_version.to_string(),
        release.notes,
        release.artefact,
        release.rollback_artefact,
        serde_json::to_value(&release.checklist)?,
        release.identified_at,
        release.created_at,
        release.created_by,
        serde_json::to_value(&release.resolves)?,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The fields of a release that may change. Returns the new revision.
pub async fn update_release(conn: &mut PgConnection, release: &Release) -> ApiResult<i64> {
    Ok(sqlx::query_scalar!(
        "UPDATE patch.releases SET urgency = $2, notes = $3, artefact = $4, rollback_artefact = $5, checklist = $6,
             resolves = $7, version = version + 1 WHERE release_version = $1 RETURNING version",
        release.version.to_string(),
        release.urgency.name(),
        release.notes,
        release.artefact,
        release.rollback_artefact,
        serde_json::to_value(&release.checklist)?,
        serde_json::to_value(&release.resolves)?,
    )
    .fetch_one(conn)
    .await?)
}

/// What a run of a release was started to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RolloutRequest {
    pub version: Version,
    pub mode: ReleaseMode,
    /// Chosen at the request; the plan leaves out customers that cannot be deployed to.
    pub customers: Vec<CiId>,
    pub reason: String,
    pub at_once: bool,
}

pub async fn insert_release_run(
    conn: &mut PgConnection,
    run: RunId,
    request: &RolloutRequest,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.release_runs (run_id, release_version, mode, request, created_at) VALUES ($1, $2, $3, $4, $5)",
        run.0,
        request.version.to_string(),
        to_text(&request.mode)?,
        serde_json::to_value(request)?,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_rollout_request(conn: &mut PgConnection, run: RunId) -> ApiResult<RolloutRequest> {
    let request = sqlx::query_scalar!("SELECT request FROM patch.release_runs WHERE run_id = $1", run.0)
        .fetch_optional(conn)
        .await?;
    let request = request.ok_or_else(|| ApiError::not_found(format!("release run `{run}`")))?;
    Ok(serde_json::from_value(request)?)
}

/// Runs of a release, newest first.
pub async fn list_release_runs(
    conn: &mut PgConnection,
    version: Version,
    limit: i64,
) -> ApiResult<Vec<(RunId, ReleaseMode)>> {
    let rows = sqlx::query!(
        "SELECT run_id, mode FROM patch.release_runs WHERE release_version = $1 ORDER BY run_id DESC LIMIT $2",
        version.to_string(),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((RunId(row.run_id), from_text(&row.mode)?))).collect()
}

/// Open runs of a release, newest first.
pub async fn list_open_runs(
    conn: &mut PgConnection,
    version: Version,
) -> ApiResult<Vec<(RunId, ReleaseMode)>> {
    let rows = sqlx::query!(
        "SELECT o.run_id, o.mode FROM patch.release_runs o JOIN patch.runs r ON r.id = o.run_id
         WHERE o.release_version = $1 AND r.ended_at IS NULL ORDER BY o.run_id DESC LIMIT 100",
        version.to_string()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((RunId(row.run_id), from_text(&row.mode)?))).collect()
}

/// Records that a customer is notified; `false` if it already was.
pub async fn insert_notice(
    conn: &mut PgConnection,
    run: RunId,
    customer: &CiId,
    kind: &str,
    now: DateTime<Utc>,
) -> ApiResult<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO patch.release_notices (run_id, customer, kind, sent_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        run.0,
        customer.as_str(),
        kind,
        now
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn list_notices(
    conn: &mut PgConnection,
    run: RunId,
    kind: &str,
) -> ApiResult<BTreeMap<CiId, DateTime<Utc>>> {
    let rows = sqlx::query!(
        "SELECT customer, sent_at FROM patch.release_notices WHERE run_id = $1 AND kind = $2",
        run.0,
        kind
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((slug_of(row.customer)?, row.sent_at))).collect()
}

/// A deployment in the weekly summary.
#[derive(Debug, Clone)]
pub struct SummarisedDeployment {
    pub customer: CiId,
    pub run: RunId,
    pub version: Version,
    pub kind: ReleaseKind,
    pub notes: String,
    pub ended_at: DateTime<Utc>,
}

/// Records that a check begins; one that is repeated after a crash starts again.
pub async fn begin_check(
    conn: &mut PgConnection,
    run: RunId,
    wave: usize,
    check: &Check,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.release_checks (run_id, wave, name, kind, result, started_at)
         VALUES ($1, $2, $3, $4, 'running', $5)
         ON CONFLICT (run_id, wave, name) DO UPDATE SET result = 'running', log = '', started_at = $5, ended_at = NULL",
        run.0,
        i32::try_from(wave).unwrap_or(i32::MAX),
        check.name,
        to_text(&check.kind)?,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn end_check(
    conn: &mut PgConnection,
    run: RunId,
    wave: usize,
    check: &str,
    (result, log): (&str, &str),
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let log: String = log.chars().filter(|c| *c != '\0').take(20_000).collect();
    sqlx::query!(
        "UPDATE patch.release_checks SET result = $4, log = $5, ended_at = $6
         WHERE run_id = $1 AND wave = $2 AND name = $3",
        run.0,
        i32::try_from(wave).unwrap_or(i32::MAX),
        check,
        result,
        log,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn list_checks(conn: &mut PgConnection, run: RunId) -> ApiResult<Vec<CheckResult>> {
    let rows = sqlx::query!(
        "SELECT wave, name, kind, result, log, started_at, ended_at FROM patch.release_checks
         WHERE run_id = $1 ORDER BY wave, started_at, name",
        run.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(CheckResult {
                wave: row.wave,
                name: row.name,
                kind: from_text(&row.kind)?,
                result: row.result,
                log: row.log,
                started_at: row.started_at,
                ended_at: row.ended_at,
            })
        })
        .collect()
}

pub async fn insert_signoff(
    conn: &mut PgConnection,
    version: Version,
    by: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.release_signoffs (release_version, signed_by, reason, signed_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (release_version, signed_by) DO UPDATE SET reason = $3, signed_at = $4",
        version.to_string(),
        by,
        reason,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn is_signed_off(conn: &mut PgConnection, version: Version) -> ApiResult<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM patch.release_signoffs WHERE release_version = $1) AS "signed!""#,
        version.to_string()
    )
    .fetch_one(conn)
    .await?)
}

/// An issue that a customer reported.
pub async fn insert_report(
    conn: &mut PgConnection,
    customer: &CiId,
    report: &api_types::patch::IssueReport,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.customer_reports (id, customer, severity, summary, reported_by, reported_at, customer_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        report.id,
        customer.as_str(),
        to_text(&report.severity)?,
        report.summary,
        report.reported_by,
        report.reported_at,
        report.customer_version.map(|version| version.to_string()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Newest first.
pub async fn list_reports(
    conn: &mut PgConnection,
    customer: &CiId,
    limit: i64,
) -> ApiResult<Vec<api_types::patch::IssueReport>> {
    struct Raw {
        id: Uuid,
        severity: String,
        summary: String,
        customer_version: Option<String>,
        reported_by: String,
        reported_at: DateTime<Utc>,
    }
    let rows = sqlx::query_as!(
        Raw,
        "SELECT id, severity, summary, customer_version, reported_by, reported_at FROM patch.customer_reports
         WHERE customer = $1 ORDER BY reported_at DESC LIMIT $2",
        customer.as_str(),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(api_types::patch::IssueReport {
                id: row.id,
                severity: from_text(&row.severity)?,
                summary: row.summary,
                customer_version: row.customer_version.as_deref().map(version_of).transpose()?,
                reported_by: row.reported_by,
                reported_at: row.reported_at,
            })
        })
        .collect()
}
