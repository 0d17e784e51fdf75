//! Vulnerabilities of installed packages without a fix.

use advisories::InstalledPackage;
use domain::compliance::{NoFix, Severity};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// A vulnerability of an installed package without a fix.
#[derive(Debug, Clone)]
pub struct UnfixedRow {
    pub advisory_no: i32,
    pub advisory_id: String,
    pub cves: Vec<String>,
    pub severity: Severity,
    pub exploited: bool,
    pub os: String,
    /// First affected version; `None` means from the beginning.
    pub introduced: Option<String>,
    pub last_affected: Option<String>,
    pub no_fix: TextColumn<NoFix>,
    pub package_no: i32,
    pub package: Json<InstalledPackage>,
}

/// Vulnerabilities without a fix of the packages of a CI, after an advisory and a package, in the order of their numbers.
pub async fn list_unfixed(
    conn: &mut PgConnection,
    ci_id: &str,
    after: (i32, i32),
    limit: i64,
) -> ApiResult<Vec<UnfixedRow>> {
    let rows = sqlx::query_as!(
        UnfixedRow,
        r#"SELECT a.no AS advisory_no, a.id AS advisory_id, a.cves, a.severity AS "severity: TextColumn<advisories::Severity>", a.exploited, p.os,
               p.introduced, p.last_affected, coalesce(p.no_fix, 'open') AS "no_fix!: TextColumn<NoFix>", i.no AS package_no, i.body AS "package: Json<InstalledPackage>"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id JOIN patch.package_sets k ON k.no = s.set_no
           JOIN patch.set_findings f ON f.set_no = s.set_no CROSS JOIN LATERAL unnest(k.package_nos) AS n (no)
           JOIN patch.packages i ON i.no = n.no
           JOIN patch.advisory_packages p ON p.os = ANY(f.releases) AND p.package = ANY(i.names) AND p.fixed IS NULL
               AND (p.package_kind = 'source' OR p.package = i.body ->> 'name') AND (p.arch IS NULL OR p.arch = i.body ->> 'arch')
           JOIN patch.advisories a ON a.no = p.advisory_no AND a.in_force
           WHERE h.active AND h.ci_id = $1 AND (a.no, i.no) > ($2::integer, $3::integer) ORDER BY a.no, i.no LIMIT $4"#,
        ci_id,
        after.0,
        after.1,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
