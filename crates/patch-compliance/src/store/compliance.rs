//! Compliance for readers: one CI, rows of the export, stale results.

use advisories::inventory::SecurityOffer;
use chrono::{DateTime, Utc};
use domain::{
    baseline::{Fix, Published},
    compliance::{Classification, ComplianceStatus, PatchStateOfPackage, Severity, UnknownCause},
    package::RepositoryAnswer,
    restart::StaleServices,
};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// Times of the oldest and the newest scan, if any.
pub type ScanRange = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Hosts with a known result whose scan is older than its policy, or the default without a policy, allows.
pub async fn list_stale(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    default_hours: i32,
    limit: i64,
) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!(
        "SELECT DISTINCT c.host_id FROM patch.host_scans s
         JOIN patch.compliance c ON c.host_id = s.host_id AND c.status <> 'unknown'
         LEFT JOIN patch.policies p ON p.no = c.policy_no
         WHERE s.last_scanned < $1::timestamptz - make_interval(hours => (SELECT least($2, min(max_scan_age_hours)) FROM patch.policies))
             AND s.last_scanned < $1::timestamptz - make_interval(hours => coalesce(p.max_scan_age_hours, $2))
         LIMIT $3",
        now,
        default_hours,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Times of the oldest and the newest scan of active hosts. Reads every host.
pub async fn find_scan_range(conn: &mut PgConnection) -> ApiResult<ScanRange> {
    let row = sqlx::query!(
        "SELECT min(s.last_scanned) AS oldest, max(s.last_scanned) AS newest
         FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active"
    )
    .fetch_one(conn)
    .await?;
    Ok((row.oldest, row.newest))
}

/// Counts the compliant CIs among these, and those that are known.
pub async fn count_compliant(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<(i64, i64)> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE s.status = 'compliant') AS "compliant!", count(*) AS "total!"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id WHERE h.active AND h.ci_id = ANY($1)"#,
        ci_ids
    )
    .fetch_one(conn)
    .await?;
    Ok((row.compliant, row.total))
}

/// A CI with one of its results; a CI without results has one record.
#[derive(Debug, Clone)]
pub struct CiRecord {
    /// The revision of the criteria.
    pub revision: i64,
    pub os: String,
    pub os_key: String,
    pub env: String,
    pub package_digest: Option<Vec<u8>>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
    pub stale_services: Json<StaleServices>,
    pub repositories: Option<Json<RepositoryAnswer>>,
    pub security_offers: Option<Json<Vec<SecurityOffer>>>,
    pub findings: Option<Vec<i32>>,
    /// The releases whose advisories apply to its packages.
    pub releases: Option<Vec<String>>,
    pub packages: Option<i32>,
    pub third_party: Option<i32>,
    pub unknown_vendor: Option<i32>,
    pub policy_no: Option<i32>,
    pub status: Option<TextColumn<ComplianceStatus>>,
    pub target_level: Option<String>,
    pub current_level: Option<String>,
    pub pending: Option<i32>,
    pub excepted: Option<i32>,
    pub left_out: Option<i32>,
    pub cause: Option<TextColumn<UnknownCause>>,
    pub cause_release: Option<String>,
    pub unread: Option<i32>,
}

/// In no particular order.
pub async fn list_ci_records(conn: &mut PgConnection, ci_id: &str) -> ApiResult<Vec<CiRecord>> {
    let records = sqlx::query_as!(
        CiRecord,
        r#"SELECT e.number AS revision, h.os, h.os_key, h.env, f.package_digest AS "package_digest?", s.last_scanned, s.last_patched, s.reboot_pending,
               s.stale_services AS "stale_services: Json<StaleServices>",
               k.facts -> 'repositories' AS "repositories: Json<RepositoryAnswer>",
               k.facts -> 'security_offers' AS "security_offers: Json<Vec<SecurityOffer>>",
               f.findings AS "findings?", f.releases AS "releases?", f.packages AS "packages?", f.third_party AS "third_party?",
               f.unknown_vendor AS "unknown_vendor?", c.cause AS "cause: TextColumn<UnknownCause>", c.cause_release, c.unread AS "unread?", c.policy_no AS "policy_no?", c.status AS "status?: TextColumn<ComplianceStatus>", c.target_level, c.current_level,
               c.pending AS "pending?", c.excepted AS "excepted?", c.left_out AS "left_out?"
           FROM patch.edition e CROSS JOIN patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
           LEFT JOIN patch.package_sets k ON k.no = s.set_no
           LEFT JOIN patch.set_findings f ON f.set_no = s.set_no LEFT JOIN patch.compliance c ON c.host_id = h.id
           WHERE h.active AND h.ci_id = $1"#,
        ci_id
    )
    .fetch_all(conn)
    .await?;
    Ok(records)
}

/// A result and what it is based on.
#[derive(Debug, Clone)]
pub struct ResultRow {
    pub ci_id: String,
    pub os: String,
    /// Its OS in the canonical spelling.
    pub os_key: String,
    pub env: String,
    /// `None` for the default criteria of hosts without a policy.
    pub policy_id: Option<String>,
    pub policy_no: i32,
    pub status: ComplianceStatus,
    pub target_level: Option<String>,
    pub current_level: Option<String>,
    pub pending: i32,
    pub excepted: i32,
    /// Missing fixes that do not belong to the baseline.
    pub left_out: i32,
    /// Why the status is unknown, and the release that this is about.
    pub cause: Option<TextColumn<UnknownCause>>,
    pub cause_release: Option<String>,
    /// Packages that could not be read.
    pub unread: i32,
    /// Of its policy; `None` for the default criteria.
    pub max_scan_age_hours: Option<i32>,
    pub max_feed_age_hours: Option<i32>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
    pub stale_services: Json<StaleServices>,
}

/// The filter of an export.
#[derive(Debug, Clone, Default)]
pub struct ResultFilter {
    pub policy_id: Option<String>,
    pub env: Option<String>,
    /// Canonical spelling.
    pub os: Option<String>,
    pub status: Option<ComplianceStatus>,
}

/// Results in the order of CI and policy, after the given ones.
pub async fn list_results(
    conn: &mut PgConnection,
    filter: &ResultFilter,
    after: Option<(String, i32)>,
    limit: i64,
) -> ApiResult<Vec<ResultRow>> {
    let (after_ci, after_policy) = after.unwrap_or_default();
    // The plain comparison of CIs lets the index scan begin there.
    let rows = sqlx::query_as!(
        ResultRow,
        r#"SELECT h.ci_id, h.os, h.os_key, h.env, p.id AS "policy_id?", c.policy_no, c.status AS "status: TextColumn<ComplianceStatus>", c.target_level, c.current_level, c.pending,
               c.excepted, c.left_out, c.cause AS "cause: TextColumn<UnknownCause>", c.cause_release, c.unread,
               p.max_scan_age_hours AS "max_scan_age_hours?", p.max_feed_age_hours AS "max_feed_age_hours?", s.last_scanned, s.last_patched, s.reboot_pending,
               s.stale_services AS "stale_services: Json<StaleServices>"
           FROM patch.hosts h JOIN patch.compliance c ON c.host_id = h.id JOIN patch.host_scans s ON s.host_id = h.id
           LEFT JOIN patch.policies p ON p.no = c.policy_no
           WHERE h.active AND h.ci_id >= $1 AND (h.ci_id > $1 OR c.policy_no > $2)
             AND ($3::text IS NULL OR p.id = $3) AND ($4::text IS NULL OR h.env = $4) AND ($5::text IS NULL OR h.os_key = $5)
             AND ($6::text IS NULL OR c.status = $6)
           ORDER BY h.ci_id, c.policy_no LIMIT $7"#,
        after_ci,
        after_policy,
        filter.policy_id,
        filter.env,
        filter.os,
        filter.status.map(ComplianceStatus::name),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// A missing fix of a host, for display and planning.
#[derive(Debug, Clone)]
pub struct PendingFix {
    pub ci_id: String,
    pub driver: String,
    pub package: String,
    pub installed: String,
    pub fixed: String,
    pub candidate: Option<String>,
    pub target: Option<String>,
    pub advisory_id: String,
    pub cves: Vec<String>,
    pub classification: Classification,
    pub severity: Severity,
    pub exploited: bool,
    /// When it was first imported, if it is undated.
    pub published: DateTime<Utc>,
    /// Its feed gives no date.
    pub undated: bool,
    pub state: PatchStateOfPackage,
}

impl PendingFix {
    /// What the rules of a baseline look at.
    pub fn fix(&self) -> Fix<'_> {
        let published = if self.undated {
            Published::Unknown { first_imported: self.published }
        } else {
            Published::At(self.published)
        };
        Fix {
            package: &self.package,
            classification: self.classification,
            severity: self.severity,
            exploited: self.exploited,
            published,
        }
    }
}

/// The missing fixes of these CIs, soonest due first, with their exceptions applied.
pub async fn list_pending(
    conn: &mut PgConnection,
    ci_ids: &[String],
    now: DateTime<Utc>,
) -> ApiResult<Vec<PendingFix>> {
    let rows = sqlx::query_as!(
        PendingFix,
        r#"WITH excepting AS MATERIALIZED (
               SELECT EXISTS (SELECT FROM patch.exceptions WHERE ended_at IS NULL AND expires_at > $2) AS any)
           SELECT h.ci_id, h.driver, f.package, f.installed, f.fixed, f.candidate, f.target, a.id AS advisory_id, a.cves, a.severity AS "severity: TextColumn<advisories::Severity>",
               a.kind AS "classification: TextColumn<Classification>", a.exploited, a.published, a.undated,
               CASE WHEN (SELECT e.any FROM excepting e) AND patch.is_excepted(h.ci_id, a.id, a.cves, f.package, $2)
                    THEN 'excepted' ELSE f.state END AS "state!: TextColumn<PatchStateOfPackage>"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
           JOIN patch.set_findings sf ON sf.set_no = s.set_no CROSS JOIN LATERAL unnest(sf.findings) AS n (finding_no)
           JOIN patch.findings f ON f.no = n.finding_no JOIN patch.advisories a ON a.no = f.advisory_no
           WHERE h.active AND h.ci_id = ANY($1) ORDER BY h.ci_id, a.undated, a.due, a.id, f.package, f.fixed"#,
        ci_ids,
        now
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
