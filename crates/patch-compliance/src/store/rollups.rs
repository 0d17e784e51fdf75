//! Counters that change in the transaction that changes what they count.
//!
//! Each counter has shards, and a transaction writes only one shard (`patch.own_shard`), so that concurrent writers do
//! not wait for each other. Readers add up the shards.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use domain::compliance::ComplianceStatus;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::text_column::TextColumn;

/// Dimension, value and status.
pub type CellKey = (&'static str, String, ComplianceStatus);

/// Differences by cell.
pub type Changes = BTreeMap<CellKey, i64>;

pub async fn count(conn: &mut PgConnection, changes: &Changes) -> ApiResult<()> {
    let changes: Vec<_> = changes.iter().filter(|(_, change)| **change != 0).collect();
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO patch.compliance_rollup AS r (dimension, value, status, shard, hosts)
         SELECT n.dimension, n.value, n.status, o.shard, n.hosts
         FROM (SELECT patch.own_shard() AS shard) o,
             unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS n (dimension, value, status, hosts)
         ON CONFLICT (dimension, value, status, shard) DO UPDATE SET hosts = r.hosts + excluded.hosts",
        &changes.iter().map(|((dimension, ..), _)| (*dimension).to_owned()).collect::<Vec<_>>(),
        &changes.iter().map(|((_, value, _), _)| value.clone()).collect::<Vec<_>>(),
        &changes.iter().map(|((.., status), _)| status.name().to_owned()).collect::<Vec<_>>(),
        &changes.iter().map(|(_, change)| **change).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One cell of the roll-ups, with the policy's id.
#[derive(Debug)]
pub struct Cell {
    pub dimension: String,
    pub value: String,
    pub status: ComplianceStatus,
    pub hosts: i64,
}

pub async fn list_rollup(conn: &mut PgConnection) -> ApiResult<Vec<Cell>> {
    let cells = sqlx::query_as!(
        Cell,
        r#"SELECT r.dimension, CASE r.dimension WHEN 'policy' THEN p.id ELSE r.value END AS "value!", r.status AS "status: TextColumn<ComplianceStatus>",
               sum(r.hosts)::bigint AS "hosts!"
           FROM patch.compliance_rollup r LEFT JOIN patch.policies p ON r.dimension = 'policy' AND p.no::text = r.value
           WHERE r.dimension <> 'policy' OR p.id IS NOT NULL
           GROUP BY 1, 2, 3 HAVING sum(r.hosts) <> 0"#
    )
    .fetch_all(conn)
    .await?;
    Ok(cells)
}

/// Sums over installed fixes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemediationStats {
    pub fixes: i64,
    /// Installed after their due date.
    pub late: i64,
    /// From publication to installation.
    pub seconds: i64,
    /// The same, once per CVE.
    pub cve_seconds: i64,
}

impl RemediationStats {
    pub fn add(&mut self, other: Self) {
        self.fixes += other.fixes;
        self.late += other.late;
        self.seconds += other.seconds;
        self.cve_seconds += other.cve_seconds;
    }
}

/// Adds to the statistics of a month, by dimension and value.
pub async fn add_remediations(
    conn: &mut PgConnection,
    month: NaiveDate,
    stats: &BTreeMap<(&'static str, String), RemediationStats>,
) -> ApiResult<()> {
    if stats.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO patch.repairs AS r (month, dimension, value, shard, fixes, late, seconds, cve_seconds)
         SELECT $1, n.dimension, n.value, o.shard, n.fixes, n.late, n.seconds, n.cve_seconds
         FROM (SELECT patch.own_shard() AS shard) o, unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
             AS n (dimension, value, fixes, late, seconds, cve_seconds)
         ON CONFLICT (month, dimension, value, shard) DO UPDATE SET fixes = r.fixes + excluded.fixes, late = r.late + excluded.late,
             seconds = r.seconds + excluded.seconds, cve_seconds = r.cve_seconds + excluded.cve_seconds",
        month,
        &stats.keys().map(|(dimension, _)| (*dimension).to_owned()).collect::<Vec<_>>(),
        &stats.keys().map(|(_, value)| value.clone()).collect::<Vec<_>>(),
        &stats.values().map(|one| one.fixes).collect::<Vec<_>>(),
        &stats.values().map(|one| one.late).collect::<Vec<_>>(),
        &stats.values().map(|one| one.seconds).collect::<Vec<_>>(),
        &stats.values().map(|one| one.cve_seconds).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
