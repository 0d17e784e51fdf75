//! Package sets and what each of them lacks.

use advisories::{InstalledPackage, Inventory, OsRelease};
use chrono::{DateTime, Utc};
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

/// A set to store.
#[derive(Debug, Clone)]
pub struct NewSet {
    pub digest: Vec<u8>,
    pub package_digest: String,
    pub inventory: Inventory,
    pub names: Vec<String>,
}

/// A set to evaluate.
#[derive(Debug, Clone)]
pub struct StoredSet {
    pub no: i32,
    pub inventory: Inventory,
    pub names: Vec<String>,
}

/// A fix that a set lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingRow {
    pub set_no: i32,
    pub advisory_no: i32,
    pub package: String,
    pub fixed: String,
    pub installed: String,
    pub candidate: Option<String>,
    pub target: Option<String>,
    pub state: String,
    pub rule: String,
    pub published: DateTime<Utc>,
    pub is_first: bool,
}

/// Numbers of the sets that are stored already, by digest.
pub async fn find_sets(conn: &mut PgConnection, digests: &[Vec<u8>]) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let rows = sqlx::query!("SELECT digest, no FROM patch.package_sets WHERE digest = ANY($1)", digests)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// Stores a set that is not stored yet; it still has to be evaluated.
pub async fn insert_set(conn: &mut PgConnection, set: &NewSet) -> ApiResult<i32> {
    let no = sqlx::query_scalar!(
        "INSERT INTO patch.package_sets (digest, package_digest, os, running_kernel, packages, names)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING no",
        set.digest,
        set.package_digest,
        set.inventory.facts.os.to_string(),
        set.inventory.facts.running_kernel,
        serde_json::to_value(&set.inventory.packages)?,
        &set.names,
    )
    .fetch_one(conn)
    .await?;
    Ok(no)
}

/// Sets whose evaluation is due, the first ones by number.
pub async fn list_due(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<StoredSet>> {
    struct Row {
        no: i32,
        os: String,
        running_kernel: Option<String>,
        packages: Value,
        names: Vec<String>,
    }
    let rows = sqlx::query_as!(
        Row,
        "SELECT no, os, running_kernel, packages, names FROM patch.package_sets WHERE is_due ORDER BY no LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    let set = |row: Row| -> ApiResult<StoredSet> {
        let os: OsRelease = row.os.parse().map_err(ApiError::internal)?;
        let packages: Vec<InstalledPackage> = serde_json::from_value(row.packages)?;
        let mut facts = advisories::HostFacts::new(os);
        facts.running_kernel = row.running_kernel;
        Ok(StoredSet { no: row.no, inventory: Inventory { facts, packages }, names: row.names })
    };
    rows.into_iter().map(set).collect()
}

/// Makes every set due that has one of these packages on one of these releases.
pub async fn mark_due(conn: &mut PgConnection, releases: &[String], names: &[String]) -> ApiResult<u64> {
    let marked = sqlx::query!(
        "UPDATE patch.package_sets SET is_due = true WHERE NOT is_due AND os = ANY($1) AND names && $2",
        releases,
        names
    )
    .execute(conn)
    .await?;
    Ok(marked.rows_affected())
}

pub async fn mark_evaluated(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.package_sets SET is_due = false WHERE no = ANY($1) AND is_due", sets)
        .execute(conn)
        .await?;
    Ok(())
}

/// Drops sets that no host has any more.
pub async fn delete_unused(conn: &mut PgConnection, limit: i64) -> ApiResult<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM patch.package_sets WHERE no IN (
             SELECT no FROM patch.package_sets s
             WHERE s.hosts = 0 AND NOT EXISTS (SELECT FROM patch.hosts h WHERE h.set_no = s.no) LIMIT $1)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

/// In the order of the rows themselves.
pub async fn list_pending_rows(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<PendingRow>> {
    let mut rows = sqlx::query_as!(
        PendingRow,
        "SELECT set_no, advisory_no, package, fixed, installed, candidate, target, state, rule, published, is_first
         FROM patch.set_pending WHERE set_no = ANY($1)",
        sets
    )
    .fetch_all(conn)
    .await?;
    rows.sort();
    Ok(rows)
}

/// Replaces what these sets lack.
pub async fn replace_pending(conn: &mut PgConnection, sets: &[i32], rows: &[PendingRow]) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.set_pending WHERE set_no = ANY($1)", sets).execute(&mut *conn).await?;
    let text = |field: fn(&PendingRow) -> &str| -> Vec<String> {
        rows.iter().map(|row| field(row).to_owned()).collect()
    };
    let optional = |field: fn(&PendingRow) -> &Option<String>| -> Vec<Option<String>> {
        rows.iter().map(|row| field(row).clone()).collect()
    };
    sqlx::query!(
        "INSERT INTO patch.set_pending
             (set_no, advisory_no, package, fixed, installed, candidate, target, state, rule, published, is_first)
         SELECT * FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::text[], $9::text[], $10::timestamptz[], $11::boolean[])",
        &rows.iter().map(|row| row.set_no).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.advisory_no).collect::<Vec<_>>(),
        &text(|row| &row.package),
        &text(|row| &row.fixed),
        &text(|row| &row.installed),
        &optional(|row| &row.candidate) as &[Option<String>],
        &optional(|row| &row.target) as &[Option<String>],
        &text(|row| &row.state),
        &text(|row| &row.rule),
        &rows.iter().map(|row| row.published).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.is_first).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The packages of active hosts among these, by CI.
pub async fn list_sets_of(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<Vec<(String, Inventory)>> {
    let rows = sqlx::query!(
        "SELECT h.ci_id, s.os, s.packages FROM patch.hosts h JOIN patch.package_sets s ON s.no = h.set_no
         WHERE h.active AND h.ci_id = ANY($1) ORDER BY h.ci_id",
        ci_ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let facts = advisories::HostFacts::new(row.os.parse().map_err(ApiError::internal)?);
            Ok((row.ci_id, Inventory { facts, packages: serde_json::from_value(row.packages)? }))
        })
        .collect()
}
