//! Which hosts have a package.

use advisories::InstalledPackage;
use chrono::{DateTime, Utc};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

/// A package of the dictionary: one version of it, as some hosts have it.
#[derive(Debug, Clone)]
pub struct PackageRow {
    pub no: i32,
    pub os: String,
    pub body: Json<InstalledPackage>,
}

pub async fn list_packages(conn: &mut PgConnection, name: &str, limit: i64) -> ApiResult<Vec<PackageRow>> {
    let rows = sqlx::query_as!(
        PackageRow,
        r#"SELECT no, os, body AS "body: Json<InstalledPackage>" FROM patch.packages WHERE body ->> 'name' = $1 LIMIT $2"#,
        name,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Set and number of a host.
pub type InstalledPlace = (i32, i32);

/// A host that has a package.
#[derive(Debug, Clone)]
pub struct HostWithPackage {
    pub set_no: i32,
    pub host_id: i32,
    pub ci_id: String,
    pub env: String,
    pub last_scanned: Option<DateTime<Utc>>,
}

/// The next active hosts that have one of these packages, in the order of their sets and numbers.
pub async fn list_hosts_with(
    conn: &mut PgConnection,
    packages: &[i32],
    after: InstalledPlace,
    limit: i64,
) -> ApiResult<Vec<HostWithPackage>> {
    let rows = sqlx::query_as!(
        HostWithPackage,
        r#"SELECT in_set AS "set_no!", host AS "host_id!", name AS "ci_id!", host_env AS "env!", scanned AS last_scanned
           FROM patch.list_hosts_with($1, $2, $3, $4)"#,
        packages,
        after.0,
        after.1,
        i32::try_from(limit).unwrap_or(i32::MAX)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The release and the package numbers of these sets.
pub async fn list_sets(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<(i32, String, Vec<i32>)>> {
    let rows = sqlx::query!("SELECT no, os, package_nos FROM patch.package_sets WHERE no = ANY($1)", sets)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.no, row.os, row.package_nos)).collect())
}

/// Sorts new sets into the index on packages; until then each search reads them one by one. Returns how many pages of them
/// there were.
pub async fn sort_new_sets(conn: &mut PgConnection) -> ApiResult<i64> {
    let pages =
        sqlx::query_scalar!(r#"SELECT gin_clean_pending_list('patch.package_sets_searchable') AS "pages!""#)
            .fetch_one(conn)
            .await?;
    Ok(pages)
}
