//! Hosts, advisories and packages by a few characters of their names. Each search reads a small part of an index, or a limited
//! number of rows.

use domain::compliance::{ComplianceStatus, Severity};
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::text_column::TextColumn;

/// Names that begin with a text are those from the text up to this, in the order of bytes.
fn end_of_prefix(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

#[derive(Debug)]
pub struct HostHit {
    pub ci_id: String,
    pub os: String,
    pub env: String,
    pub status: TextColumn<ComplianceStatus>,
}

/// Active hosts whose id begins with a text, by id.
pub async fn list_hosts(conn: &mut PgConnection, prefix: &str, limit: i64) -> ApiResult<Vec<HostHit>> {
    let hosts = sqlx::query_as!(
        HostHit,
        r#"SELECT h.ci_id, h.os, h.env, s.status AS "status: TextColumn<ComplianceStatus>"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
           WHERE h.active AND h.ci_id >= $1 AND h.ci_id < $2 ORDER BY h.ci_id LIMIT $3"#,
        prefix,
        end_of_prefix(prefix),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

#[derive(Debug)]
pub struct AdvisoryHit {
    pub id: String,
    pub cves: Vec<String>,
    pub summary: String,
    pub severity: TextColumn<advisories::Severity>,
}

impl AdvisoryHit {
    pub fn rating(&self) -> Severity {
        self.severity.0.into()
    }
}

/// Advisories with this id, or that fix this CVE; of the newest `newest` also those with a CVE that begins with the text, and those
/// with the text in their id or summary. Newest first. `text` is in upper case.
pub async fn list_advisories(
    conn: &mut PgConnection,
    text: &str,
    newest: i64,
    limit: i64,
) -> ApiResult<Vec<AdvisoryHit>> {
    let hits = sqlx::query_as!(
        AdvisoryHit,
        r#"SELECT a.id, a.cves, a.summary, a.severity AS "severity: TextColumn<advisories::Severity>"
           FROM patch.advisories a WHERE a.no = ANY(ARRAY(
               SELECT no FROM patch.advisories WHERE id = $1
               UNION SELECT no FROM patch.advisories WHERE cves @> ARRAY[$1::text]
               UNION SELECT no FROM (
                   SELECT no, id, cves, summary FROM patch.advisories ORDER BY published DESC, no DESC LIMIT $2) newest
               WHERE position($1 IN upper(id)) > 0 OR position($1 IN upper(summary)) > 0
                   OR EXISTS (SELECT FROM unnest(cves) AS cve WHERE starts_with(cve, $1))))
           ORDER BY a.published DESC, a.no DESC LIMIT $3"#,
        text,
        newest,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hits)
}

/// Names that are looked at. In the order of a language, names with other beginnings may stand between those that are asked for.
const NAMES_READ: i32 = 200;

/// Names of packages that begin with a text, in their order. Reads one entry of the index for each name, however many versions
/// and hosts have it.
pub async fn list_packages(conn: &mut PgConnection, prefix: &str, limit: i64) -> ApiResult<Vec<String>> {
    let names = sqlx::query_scalar!(
        r#"WITH RECURSIVE names AS (
               (SELECT body ->> 'name' AS name, 1 AS place FROM patch.packages
                WHERE body ->> 'name' >= $1 ORDER BY body ->> 'name' LIMIT 1)
               UNION ALL
               SELECT (SELECT body ->> 'name' FROM patch.packages
                       WHERE body ->> 'name' > names.name ORDER BY body ->> 'name' LIMIT 1), place + 1
               FROM names WHERE names.name IS NOT NULL AND place < $2)
           SELECT name AS "name!" FROM names WHERE starts_with(name, $1) ORDER BY place LIMIT $3"#,
        prefix,
        NAMES_READ,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(names)
}
