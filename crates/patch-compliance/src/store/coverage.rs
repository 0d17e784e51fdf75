//! What the imported feeds know of each release.

use chrono::{DateTime, Utc};
use service_kit::ApiResult;
use sqlx::PgConnection;

/// A feed for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCoverage {
    pub release: String,
    /// The publisher of its notices.
    pub feed: String,
    /// Notices in force.
    pub notices: i64,
    /// Publication of the newest one.
    pub newest: DateTime<Utc>,
    /// When it was last imported to its end.
    pub fetched_at: DateTime<Utc>,
}

/// In the order of releases and feeds.
pub async fn list_coverage(conn: &mut PgConnection) -> ApiResult<Vec<FeedCoverage>> {
    let coverage = sqlx::query_as!(
        FeedCoverage,
        "SELECT release, feed, notices, newest, fetched_at FROM patch.coverage ORDER BY release, feed"
    )
    .fetch_all(conn)
    .await?;
    Ok(coverage)
}

/// Records that feeds were imported to their ends, and counts the notices of their releases again.
pub async fn record_fetched(
    conn: &mut PgConnection,
    releases: &[String],
    feeds: &[String],
    at: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.coverage AS c (release, feed, notices, newest, fetched_at)
         SELECT n.release, n.feed, found.notices, found.newest, $3
         FROM unnest($1::text[], $2::text[]) AS n (release, feed) JOIN (
             SELECT p.os, a.source, count(DISTINCT a.no) AS notices, max(a.published) AS newest
             FROM patch.advisory_packages p JOIN patch.advisories a ON a.no = p.advisory_no AND a.in_force
             WHERE p.os = ANY($1) AND p.fixed IS NOT NULL GROUP BY 1, 2) found ON found.os = n.release AND found.source = n.feed
         ON CONFLICT (release, feed) DO UPDATE SET notices = excluded.notices, newest = excluded.newest,
             fetched_at = greatest(c.fetched_at, excluded.fetched_at)",
        releases,
        feeds,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues the active hosts whose packages are of these releases.
pub async fn mark_hosts_due(conn: &mut PgConnection, releases: &[String]) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.due_hosts
         SELECT h.id FROM patch.set_findings f JOIN patch.host_scans s ON s.set_no = f.set_no
         JOIN patch.hosts h ON h.id = s.host_id AND h.active
         WHERE f.releases && $1 ON CONFLICT DO NOTHING",
        releases
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases of which the feeds say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Nothing is known of their hosts.
    pub too_old: Vec<String>,
    /// Out of support: what is known to be missing stays known.
    pub ended: Vec<String>,
    /// Channels with the fixes of those that ended: their hosts have them.
    pub extensions: Vec<String>,
}

impl Gaps {
    pub fn is_empty(&self) -> bool {
        self.too_old.is_empty() && self.ended.is_empty()
    }
}

/// Hosts with a result of a policy, 0 for the default criteria, that is known although there is a gap.
pub async fn list_known_of(
    conn: &mut PgConnection,
    policy_no: i32,
    gaps: &Gaps,
    limit: i64,
) -> ApiResult<Vec<i32>> {
    let hosts = sqlx::query_scalar!(
        "SELECT c.host_id FROM patch.compliance c JOIN patch.host_scans s ON s.host_id = c.host_id
         JOIN patch.set_findings f ON f.set_no = s.set_no
         WHERE c.policy_no = $1 AND (c.status <> 'unknown' AND f.releases && $2 OR c.status = 'compliant' AND f.releases && $3 AND NOT f.releases && $4)
         LIMIT $5",
        policy_no,
        &gaps.too_old,
        &gaps.ended,
        &gaps.extensions,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}
