//! Policy results: one per host and policy.

use chrono::{DateTime, Utc};
use domain::{
    compliance::{ComplianceStatus, UnknownCause},
    selector::Tags,
};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// The input for the results of a host.
#[derive(Debug, Clone)]
pub struct HostInput {
    pub id: i32,
    pub ci_id: String,
    pub active: bool,
    pub os_key: String,
    pub tags: Json<Tags>,
    pub set_no: Option<i32>,
    pub status: ComplianceStatus,
    pub last_scanned: Option<DateTime<Utc>>,
    pub findings: Vec<i32>,
    /// The releases whose advisories apply to its packages. Empty before its first scan.
    pub releases: Vec<String>,
    /// Packages that could not be read.
    pub unread: i32,
}

/// In the order of their numbers.
pub async fn list_host_inputs(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<Vec<HostInput>> {
    let hosts = sqlx::query_as!(
        HostInput,
        r#"SELECT h.id, h.ci_id, h.active, h.os_key, h.tags AS "tags: Json<Tags>", s.set_no, s.status AS "status: TextColumn<ComplianceStatus>", s.last_scanned,
               coalesce(f.findings, '{}') AS "findings!", coalesce(f.releases, '{}') AS "releases!", coalesce(f.unread, 0) AS "unread!"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id LEFT JOIN patch.set_findings f ON f.set_no = s.set_no
           WHERE h.id = ANY($1) ORDER BY h.id"#,
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// The active hosts that have one of these sets, in the order of their numbers. `findings` is empty.
pub async fn list_hosts_of_sets(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<HostInput>> {
    let hosts = sqlx::query_as!(
        HostInput,
        r#"SELECT h.id, h.ci_id, h.active, h.os_key, h.tags AS "tags: Json<Tags>", s.set_no, s.status AS "status: TextColumn<ComplianceStatus>", s.last_scanned,
               '{}'::integer[] AS "findings!", coalesce(f.releases, '{}') AS "releases!", coalesce(f.unread, 0) AS "unread!"
           FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active
           LEFT JOIN patch.set_findings f ON f.set_no = s.set_no WHERE s.set_no = ANY($1) ORDER BY h.id"#,
        sets
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// A stored result. Policy 0 stands for the default criteria of hosts without a policy: every fix is required.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResult {
    pub host_id: i32,
    pub policy_no: i32,
    pub status: ComplianceStatus,
    /// Why the status is unknown, and the release that this is about.
    pub cause: Option<TextColumn<UnknownCause>>,
    pub cause_release: Option<String>,
    /// Packages that could not be read.
    pub unread: i32,
    pub target_level: Option<String>,
    pub current_level: Option<String>,
    pub pending: i32,
    pub excepted: i32,
    /// Earliest due date of a required fix that is not excepted.
    pub next_due: Option<DateTime<Utc>>,
    /// CVEs of the required fixes.
    pub open_cves: i32,
    /// Of these, those of which no advisory has a date.
    pub undated_cves: i32,
    /// Sum of the publication times of the others, in seconds since 1970.
    pub published_sum: i64,
    /// Missing fixes that do not belong to the baseline of the policy.
    pub left_out: i32,
    /// When the first of them becomes old enough to belong to it.
    pub next_approval: Option<DateTime<Utc>>,
}

pub async fn list_stored(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<Vec<StoredResult>> {
    let results = sqlx::query_as!(
        StoredResult,
        r#"SELECT host_id, policy_no, status AS "status: TextColumn<ComplianceStatus>", cause AS "cause: TextColumn<UnknownCause>",
               cause_release, unread, target_level, current_level, pending, excepted, next_due, open_cves, undated_cves, published_sum, left_out, next_approval
           FROM patch.compliance WHERE host_id = ANY($1)"#,
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(results)
}

pub async fn delete_results(conn: &mut PgConnection, results: &[(i32, i32)]) -> ApiResult<()> {
    if results.is_empty() {
        return Ok(());
    }
    let (hosts, policies): (Vec<i32>, Vec<i32>) = results.iter().copied().unzip();
    sqlx::query!(
        "DELETE FROM patch.compliance c USING unnest($1::integer[], $2::integer[]) AS o (host_id, policy_no)
         WHERE c.host_id = o.host_id AND c.policy_no = o.policy_no",
        &hosts,
        &policies
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn upsert_results(conn: &mut PgConnection, results: &[StoredResult]) -> ApiResult<()> {
    if results.is_empty() {
        return Ok(());
    }
    let optional = |field: fn(&StoredResult) -> &Option<String>| -> Vec<Option<String>> {
        results.iter().map(|one| field(one).clone()).collect()
    };
    sqlx::query!(
        "INSERT INTO patch.compliance
             (host_id, policy_no, status, target_level, current_level, pending, excepted, next_due, open_cves, published_sum,
              cause, cause_release, unread, undated_cves, left_out, next_approval)
         SELECT * FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::integer[],
             $8::timestamptz[], $9::integer[], $10::bigint[], $11::text[], $12::text[], $13::integer[], $14::integer[],
             $15::integer[], $16::timestamptz[])
         ON CONFLICT (host_id, policy_no) DO UPDATE SET status = excluded.status, target_level = excluded.target_level,
             cause = excluded.cause, cause_release = excluded.cause_release, unread = excluded.unread,
             current_level = excluded.current_level, pending = excluded.pending, excepted = excluded.excepted,
             next_due = excluded.next_due, open_cves = excluded.open_cves, published_sum = excluded.published_sum,
             undated_cves = excluded.undated_cves, left_out = excluded.left_out, next_approval = excluded.next_approval",
        &results.iter().map(|one| one.host_id).collect::<Vec<_>>(),
        &results.iter().map(|one| one.policy_no).collect::<Vec<_>>(),
        &results.iter().map(|one| one.status.name().to_owned()).collect::<Vec<_>>(),
        &optional(|one| &one.target_level) as &[Option<String>],
        &optional(|one| &one.current_level) as &[Option<String>],
        &results.iter().map(|one| one.pending).collect::<Vec<_>>(),
        &results.iter().map(|one| one.excepted).collect::<Vec<_>>(),
        &results.iter().map(|one| one.next_due).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &results.iter().map(|one| one.open_cves).collect::<Vec<_>>(),
        &results.iter().map(|one| one.published_sum).collect::<Vec<_>>(),
        &results.iter().map(|one| one.cause.map(|cause| cause.0.name().to_owned())).collect::<Vec<_>>()
            as &[Option<String>],
        &optional(|one| &one.cause_release) as &[Option<String>],
        &results.iter().map(|one| one.unread).collect::<Vec<_>>(),
        &results.iter().map(|one| one.undated_cves).collect::<Vec<_>>(),
        &results.iter().map(|one| one.left_out).collect::<Vec<_>>(),
        &results.iter().map(|one| one.next_approval).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hosts with a fix that has become old enough for a baseline since its result was computed.
pub async fn list_newly_approved(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> ApiResult<Vec<i32>> {
    let hosts = sqlx::query_scalar!(
        "SELECT DISTINCT host_id FROM patch.compliance WHERE next_approval <= $1 LIMIT $2",
        now,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// The worst of each host's results.
pub async fn update_statuses(
    conn: &mut PgConnection,
    status: ComplianceStatus,
    hosts: &[i32],
) -> ApiResult<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    sqlx::query!("UPDATE patch.host_scans SET status = $1 WHERE host_id = ANY($2)", status.name(), hosts)
        .execute(conn)
        .await?;
    Ok(())
}
