//! Results per host and policy, their roll-ups, and what they rest on.

use chrono::{DateTime, Utc};
use service_kit::ApiResult;
use sqlx::PgConnection;

/// Hosts reckoned with in one statement.
const BATCH: usize = 5000;

/// Computes the results of these hosts anew, from their package sets, policies, exceptions and scans. What has not
/// changed is not written. The caller holds [`super::lock_results`].
pub async fn recompute(conn: &mut PgConnection, hosts: &[i32], now: DateTime<Utc>) -> ApiResult<()> {
    let any_exception = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM patch.exceptions WHERE ended_at IS NULL) AS "any!""#
    )
    .fetch_one(&mut *conn)
    .await?;
    for batch in hosts.chunks(BATCH) {
        recompute_batch(conn, batch, any_exception, now).await?;
    }
    Ok(())
}

async fn recompute_batch(
    conn: &mut PgConnection,
    hosts: &[i32],
    any_exception: bool,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "DELETE FROM patch.compliance c USING patch.hosts h
         WHERE c.host_id = ANY($1) AND h.id = c.host_id AND (NOT h.active OR NOT CASE
             WHEN c.policy_no = 0 THEN NOT EXISTS (
                 SELECT FROM patch.policies p WHERE h.tags @> p.target_tags AND (p.os_key IS NULL OR p.os_key = h.os_key))
             ELSE EXISTS (
                 SELECT FROM patch.policies p WHERE p.no = c.policy_no
                     AND h.tags @> p.target_tags AND (p.os_key IS NULL OR p.os_key = h.os_key)) END)",
        hosts
    )
    .execute(&mut *conn)
    .await?;
    // The level is the month before that of the earliest fix not installed, else the month of the scan. Excepted fixes are
    // not installed either.
    sqlx::query!(
        "WITH measured AS (
             SELECT h.id AS host_id, p.no AS policy_no, p.patch_level, p.level_ends, p.max_scan_age_hours, h.ci_id, h.set_no
             FROM patch.hosts h
             JOIN patch.policies p ON h.tags @> p.target_tags AND (p.os_key IS NULL OR p.os_key = h.os_key)
             WHERE h.id = ANY($1) AND h.active
             UNION ALL
             SELECT h.id, 0, NULL, NULL, 48, h.ci_id, h.set_no FROM patch.hosts h
             WHERE h.id = ANY($1) AND h.active AND NOT EXISTS (
                 SELECT FROM patch.policies p WHERE h.tags @> p.target_tags AND (p.os_key IS NULL OR p.os_key = h.os_key))
         ), counted AS (
             SELECT m.*, s.last_scanned, coalesce(l.pending, 0) AS pending, coalesce(l.excepted, 0) AS excepted, l.earliest
             FROM measured m
             LEFT JOIN patch.host_scans s ON s.host_id = m.host_id
             LEFT JOIN LATERAL (
                 SELECT count(*) FILTER (WHERE f.asked AND NOT f.excepted)::integer AS pending,
                        count(*) FILTER (WHERE f.asked AND f.excepted)::integer AS excepted,
                        min(f.published) AS earliest
                 FROM (SELECT p.published, m.level_ends IS NULL OR p.published < m.level_ends AS asked,
                           $2 AND (SELECT patch.is_excepted(m.ci_id, a.id, a.cves, p.package, $3)
                                   FROM patch.advisories a WHERE a.no = p.advisory_no) AS excepted
                       FROM patch.set_pending p WHERE p.set_no = m.set_no) f
             ) l ON true
         )
         INSERT INTO patch.compliance AS c (host_id, policy_no, status, target_level, current_level, pending, excepted)
         SELECT host_id, policy_no,
             CASE WHEN last_scanned IS NULL OR last_scanned < $3 - make_interval(hours => max_scan_age_hours) THEN 'unknown'
                  WHEN pending > 0 THEN 'non_compliant' ELSE 'compliant' END,
             patch_level,
             CASE WHEN last_scanned IS NULL THEN NULL
                  WHEN earliest < date_trunc('month', last_scanned, 'UTC') + interval '1 month'
                  THEN to_char(date_trunc('month', earliest AT TIME ZONE 'UTC') - interval '1 month', 'YYYY-MM')
                  ELSE to_char(last_scanned AT TIME ZONE 'UTC', 'YYYY-MM') END,
             pending, excepted
         FROM counted
         ON CONFLICT (host_id, policy_no) DO UPDATE SET status = excluded.status, target_level = excluded.target_level,
             current_level = excluded.current_level, pending = excluded.pending, excepted = excluded.excepted
         WHERE (c.status, c.target_level, c.current_level, c.pending, c.excepted) IS DISTINCT FROM
             (excluded.status, excluded.target_level, excluded.current_level, excluded.pending, excluded.excepted)",
        hosts,
        any_exception,
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE patch.hosts h SET status = w.status FROM (
             SELECT host_id, CASE WHEN bool_or(status = 'non_compliant') THEN 'non_compliant'
                 WHEN bool_or(status = 'unknown') THEN 'unknown' ELSE 'compliant' END AS status
             FROM patch.compliance WHERE host_id = ANY($1) GROUP BY host_id) w
         WHERE h.id = w.host_id AND h.status <> w.status",
        hosts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hosts with a result that rests on a scan older than its policy allows, and does not say so yet.
pub async fn list_stale(conn: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!(
        "SELECT c.host_id FROM patch.host_scans s
         JOIN patch.compliance c ON c.host_id = s.host_id AND c.status <> 'unknown'
         LEFT JOIN patch.policies p ON p.no = c.policy_no
         WHERE s.last_scanned < $1::timestamptz - make_interval(hours => (SELECT least(48, min(max_scan_age_hours)) FROM patch.policies))
             AND s.last_scanned < $1::timestamptz - make_interval(hours => coalesce(p.max_scan_age_hours, 48))
         LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Hosts with results of a policy.
pub async fn list_measured(conn: &mut PgConnection, policy_no: i32) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!("SELECT host_id FROM patch.compliance WHERE policy_no = $1", policy_no)
        .fetch_all(conn)
        .await?;
    Ok(ids)
}

/// Hosts among these that need reckoning although their packages are the same: their result was unknown, or the month
/// has changed since it was made.
pub async fn list_refreshable(
    conn: &mut PgConnection,
    hosts: &[i32],
    now: DateTime<Utc>,
) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!(
        "SELECT h.id FROM patch.hosts h LEFT JOIN patch.host_scans s ON s.host_id = h.id
         WHERE h.id = ANY($1) AND (s.last_scanned IS NULL
             OR date_trunc('month', s.last_scanned, 'UTC') <> date_trunc('month', $2::timestamptz, 'UTC')
             OR NOT EXISTS (SELECT FROM patch.compliance c WHERE c.host_id = h.id)
             OR EXISTS (SELECT FROM patch.compliance c WHERE c.host_id = h.id AND c.status = 'unknown'))",
        hosts,
        now
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// One cell of the roll-ups; policies by their ids.
#[derive(Debug)]
pub struct Cell {
    pub dimension: String,
    pub value: String,
    pub status: String,
    pub hosts: i64,
}

pub async fn list_rollup(conn: &mut PgConnection) -> ApiResult<Vec<Cell>> {
    let cells = sqlx::query_as!(
        Cell,
        r#"SELECT r.dimension, CASE r.dimension WHEN 'policy' THEN p.id ELSE r.value END AS "value!", r.status, r.hosts
           FROM patch.compliance_rollup r LEFT JOIN patch.policies p ON r.dimension = 'policy' AND p.no::text = r.value
           WHERE r.hosts <> 0 AND (r.dimension <> 'policy' OR p.id IS NOT NULL)"#
    )
    .fetch_all(conn)
    .await?;
    Ok(cells)
}

/// Times of the oldest and the newest scan of active hosts.
pub async fn find_scan_range(
    conn: &mut PgConnection,
) -> ApiResult<(Option<DateTime<Utc>>, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        "SELECT (SELECT s.last_scanned FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active
                 WHERE s.last_scanned IS NOT NULL ORDER BY s.last_scanned LIMIT 1) AS oldest,
                (SELECT s.last_scanned FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active
                 WHERE s.last_scanned IS NOT NULL ORDER BY s.last_scanned DESC LIMIT 1) AS newest"
    )
    .fetch_one(conn)
    .await?;
    Ok((row.oldest, row.newest))
}

/// How many of these CIs are known, and how many of them compliant.
pub async fn count_compliant(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<(i64, i64)> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE status = 'compliant') AS "compliant!", count(*) AS "total!"
           FROM patch.hosts WHERE active AND ci_id = ANY($1)"#,
        ci_ids
    )
    .fetch_one(conn)
    .await?;
    Ok((row.compliant, row.total))
}

/// A result with what it rests on.
#[derive(Debug, Clone)]
pub struct ResultRow {
    pub ci_id: String,
    pub os: String,
    pub env: String,
    /// `None` for the measure of hosts that no policy selects.
    pub policy_id: Option<String>,
    pub policy_no: i32,
    pub status: String,
    pub target_level: Option<String>,
    pub current_level: Option<String>,
    pub pending: i32,
    pub excepted: i32,
    pub max_scan_age_hours: i32,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
}

/// What an export is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ResultFilter {
    pub policy_id: Option<String>,
    pub env: Option<String>,
    pub os: Option<String>,
    pub status: Option<&'static str>,
}

/// Results in the order of CI and policy, after the given ones.
pub async fn list_results(
    conn: &mut PgConnection,
    filter: &ResultFilter,
    after: Option<(String, i32)>,
    limit: i64,
) -> ApiResult<Vec<ResultRow>> {
    let (after_ci, after_policy) = after.unzip();
    let rows = sqlx::query_as!(
        ResultRow,
        r#"SELECT h.ci_id, h.os, h.env, p.id AS "policy_id?", c.policy_no, c.status, c.target_level, c.current_level, c.pending,
               c.excepted, coalesce(p.max_scan_age_hours, 48) AS "max_scan_age_hours!", s.last_scanned AS "last_scanned?",
               s.last_patched AS "last_patched?", coalesce(s.reboot_pending, false) AS "reboot_pending!"
           FROM patch.hosts h JOIN patch.compliance c ON c.host_id = h.id
           LEFT JOIN patch.policies p ON p.no = c.policy_no LEFT JOIN patch.host_scans s ON s.host_id = h.id
           WHERE h.active AND ($1::text IS NULL OR (h.ci_id, c.policy_no) > ($1, $2))
             AND ($3::text IS NULL OR p.id = $3) AND ($4::text IS NULL OR h.env = $4) AND ($5::text IS NULL OR h.os = $5)
             AND ($6::text IS NULL OR c.status = $6)
           ORDER BY h.ci_id, c.policy_no LIMIT $7"#,
        after_ci,
        after_policy,
        filter.policy_id,
        filter.env,
        filter.os,
        filter.status,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// All results of one CI.
pub async fn list_results_of(conn: &mut PgConnection, ci_id: &str) -> ApiResult<Vec<ResultRow>> {
    let rows = sqlx::query_as!(
        ResultRow,
        r#"SELECT h.ci_id, h.os, h.env, p.id AS "policy_id?", c.policy_no, c.status, c.target_level, c.current_level, c.pending,
               c.excepted, coalesce(p.max_scan_age_hours, 48) AS "max_scan_age_hours!", s.last_scanned AS "last_scanned?",
               s.last_patched AS "last_patched?", coalesce(s.reboot_pending, false) AS "reboot_pending!"
           FROM patch.hosts h JOIN patch.compliance c ON c.host_id = h.id
           LEFT JOIN patch.policies p ON p.no = c.policy_no LEFT JOIN patch.host_scans s ON s.host_id = h.id
           WHERE h.active AND h.ci_id = $1 ORDER BY p.id"#,
        ci_id
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// A fix that a host lacks, as it is shown and planned.
#[derive(Debug, Clone)]
pub struct PendingOfHost {
    pub ci_id: String,
    pub driver: String,
    pub os: String,
    pub package: String,
    pub installed: String,
    pub fixed: String,
    pub candidate: Option<String>,
    pub target: Option<String>,
    pub advisory_id: String,
    pub cves: Vec<String>,
    pub severity: String,
    pub exploited: bool,
    pub published: DateTime<Utc>,
    pub due: DateTime<Utc>,
    pub state: String,
    pub rule: String,
}

/// What these CIs lack, the soonest due first; excepted fixes say so.
pub async fn list_pending_of(
    conn: &mut PgConnection,
    ci_ids: &[String],
    now: DateTime<Utc>,
) -> ApiResult<Vec<PendingOfHost>> {
    let rows = sqlx::query_as!(
        PendingOfHost,
        r#"SELECT h.ci_id, h.driver, s.os, p.package, p.installed, p.fixed, p.candidate, p.target, a.id AS advisory_id, a.cves, a.severity,
               a.exploited, p.published, a.due, p.rule,
               CASE WHEN patch.is_excepted(h.ci_id, a.id, a.cves, p.package, $2) THEN 'excepted' ELSE p.state END AS "state!"
           FROM patch.hosts h JOIN patch.package_sets s ON s.no = h.set_no
           JOIN patch.set_pending p ON p.set_no = h.set_no JOIN patch.advisories a ON a.no = p.advisory_no
           WHERE h.active AND h.ci_id = ANY($1) ORDER BY h.ci_id, a.due, a.id, p.package, p.fixed"#,
        ci_ids,
        now
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The digest of a CI's packages.
pub async fn find_package_digest(conn: &mut PgConnection, ci_id: &str) -> ApiResult<Option<String>> {
    let digest = sqlx::query_scalar!(
        "SELECT s.package_digest FROM patch.hosts h JOIN patch.package_sets s ON s.no = h.set_no WHERE h.ci_id = $1",
        ci_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(digest)
}
