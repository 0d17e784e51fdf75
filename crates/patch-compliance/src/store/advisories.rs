//! Advisories: stored whole, and their packages in a table of their own for look-ups.

use std::collections::{BTreeMap, HashMap};

use advisories::{Advisory, AffectedPackage, OsRelease, module_stream::ModuleStream};
use api_types::patch::AdvisorySummary;
use chrono::{DateTime, Utc};
use domain::compliance::Severity;
use serde_json::Value;
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;

use super::text_column::TextColumn;

/// An advisory to store.
#[derive(Debug, Clone)]
pub struct NewAdvisory {
    pub advisory: Advisory,
    pub digest: Vec<u8>,
    pub due: DateTime<Utc>,
}

/// The stored version of an advisory.
#[derive(Debug, Clone)]
pub struct KnownAdvisory {
    pub id: String,
    pub modified: DateTime<Utc>,
    pub digest: Vec<u8>,
}

pub async fn find_known(conn: &mut PgConnection, ids: &[String]) -> ApiResult<Vec<KnownAdvisory>> {
    let known = sqlx::query_as!(
        KnownAdvisory,
        "SELECT id, modified, digest FROM patch.advisories WHERE id = ANY($1)",
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(known)
}

/// Id and publisher of those of these advisories that are stored.
pub async fn find_publishers(conn: &mut PgConnection, ids: &[String]) -> ApiResult<Vec<(String, String)>> {
    let rows = sqlx::query!("SELECT id, source FROM patch.advisories WHERE id = ANY($1)", ids)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.source)).collect())
}

/// Stores advisories and replaces known ones. Each id may occur once.
pub async fn upsert_advisories(conn: &mut PgConnection, new: &[NewAdvisory]) -> ApiResult<()> {
    let text = |field: fn(&Advisory) -> String| -> Vec<String> {
        new.iter().map(|one| field(&one.advisory)).collect()
    };
    let json = |field: fn(&NewAdvisory) -> Result<Value, serde_json::Error>| -> Result<Vec<Value>, _> {
        new.iter().map(field).collect()
    };
    let numbers = sqlx::query!(
        "INSERT INTO patch.advisories
             (id, source, kind, severity, summary, cves, published, modified, withdrawn, in_force, exploited, due, digest, body)
         SELECT id, source, kind, severity, summary, ARRAY(SELECT jsonb_array_elements_text(cves)), published, modified,
             withdrawn, in_force, exploited, due, digest, body
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::timestamptz[],
             $8::timestamptz[], $9::timestamptz[], $10::boolean[], $11::boolean[], $12::timestamptz[], $13::bytea[], $14::jsonb[])
             AS t (id, source, kind, severity, summary, cves, published, modified, withdrawn, in_force, exploited, due, digest, body)
         ON CONFLICT (id) DO UPDATE SET source = excluded.source, kind = excluded.kind, severity = excluded.severity,
             summary = excluded.summary, cves = excluded.cves, published = excluded.published, modified = excluded.modified,
             withdrawn = excluded.withdrawn, in_force = excluded.in_force, exploited = excluded.exploited, due = excluded.due,
             digest = excluded.digest, body = excluded.body
         RETURNING no, id",
        &text(|a| a.id.clone()),
        &text(|a| a.source.clone()),
        &text(|a| a.kind.as_str().to_owned()),
        &text(|a| a.severity.as_str().to_owned()),
        &text(|a| a.summary.clone()),
        &json(|one| serde_json::to_value(&one.advisory.cves))?,
        &new.iter().map(|one| one.advisory.published).collect::<Vec<_>>(),
        &new.iter().map(|one| one.advisory.modified).collect::<Vec<_>>(),
        &new.iter().map(|one| one.advisory.withdrawn).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &new.iter().map(|one| one.advisory.is_in_force()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.advisory.exploited).collect::<Vec<_>>(),
        &new.iter().map(|one| one.due).collect::<Vec<_>>(),
        &new.iter().map(|one| one.digest.clone()).collect::<Vec<_>>(),
        &json(|one| serde_json::to_value(&one.advisory))?,
    )
    .fetch_all(&mut *conn)
    .await?;
    let number_of: HashMap<String, i32> = numbers.into_iter().map(|row| (row.id, row.no)).collect();
    let numbers: Vec<i32> = number_of.values().copied().collect();
    sqlx::query!("DELETE FROM patch.advisory_packages WHERE advisory_no = ANY($1)", &numbers)
        .execute(&mut *conn)
        .await?;
    let packages: Vec<(i32, i32, &AffectedPackage)> = new
        .iter()
        .flat_map(|one| {
            let no = number_of.get(&one.advisory.id).copied().unwrap_or_default();
            (0..).zip(&one.advisory.affected).map(move |(position, package)| (no, position, package))
        })
        .collect();
    insert_packages(conn, &packages).await
}

async fn insert_packages(
    conn: &mut PgConnection,
    packages: &[(i32, i32, &AffectedPackage)],
) -> ApiResult<()> {
    let modules = packages.iter().map(|(.., package)| serde_json::to_value(&package.modules));
    let optional = |field: fn(&AffectedPackage) -> &Option<String>| -> Vec<Option<String>> {
        packages.iter().map(|(.., package)| field(package).clone()).collect()
    };
    sqlx::query!(
        "INSERT INTO patch.advisory_packages
             (advisory_no, position, os, package, package_kind, introduced, fixed, arch, modules, no_fix, last_affected)
         SELECT advisory_no, position, os, package, kind, introduced, fixed, arch, ARRAY(SELECT jsonb_array_elements_text(modules)), no_fix,
             last_affected
         FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::jsonb[], $10::text[],
             $11::text[]) AS t (advisory_no, position, os, package, kind, introduced, fixed, arch, modules, no_fix, last_affected)",
        &packages.iter().map(|(no, ..)| *no).collect::<Vec<_>>(),
        &packages.iter().map(|(_, position, _)| *position).collect::<Vec<_>>(),
        &packages.iter().map(|(.., package)| package.os.to_string()).collect::<Vec<_>>(),
        &packages.iter().map(|(.., package)| package.package.clone()).collect::<Vec<_>>(),
        &packages.iter().map(|(.., package)| to_text(&package.package_kind)).collect::<Result<Vec<_>, _>>()?,
        &optional(|package| &package.introduced) as &[Option<String>],
        &optional(|package| &package.fixed) as &[Option<String>],
        &optional(|package| &package.arch) as &[Option<String>],
        &modules.collect::<Result<Vec<_>, _>>()?,
        &packages.iter().map(|(.., package)| package.no_fix.map(|state| state.name().to_owned())).collect::<Vec<_>>()
            as &[Option<String>],
        &optional(|package| &package.last_affected) as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases and package names in the stored advisories with these ids.
pub async fn list_affected_packages(
    conn: &mut PgConnection,
    ids: &[String],
) -> ApiResult<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "SELECT DISTINCT p.os, p.package FROM patch.advisory_packages p JOIN patch.advisories a ON a.no = p.advisory_no
         WHERE a.id = ANY($1)",
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.os, row.package)).collect())
}

/// A package of an advisory in force.
struct FixRow {
    no: i32,
    id: String,
    published: DateTime<Utc>,
    modified: DateTime<Utc>,
    os: String,
    package: String,
    package_kind: String,
    introduced: Option<String>,
    fixed: Option<String>,
    arch: Option<String>,
    modules: Vec<String>,
}

/// Advisories in force, as far as matching needs them, and their numbers by id.
pub async fn load_fixes(
    conn: &mut PgConnection,
    releases: &[String],
    names: &[String],
) -> ApiResult<(Vec<Advisory>, HashMap<String, i32>)> {
    // Loads all packages of a matching advisory on the release: other packages show which module stream a fix is for.
    let rows = sqlx::query_as!(
        FixRow,
        "SELECT a.no, a.id, a.published, a.modified, p.os, p.package, p.package_kind, p.introduced, p.fixed, p.arch, p.modules
         FROM patch.advisory_packages p JOIN patch.advisories a ON a.no = p.advisory_no
         WHERE a.in_force AND p.fixed IS NOT NULL AND p.os = ANY($1) AND p.advisory_no IN (
             SELECT q.advisory_no FROM patch.advisory_packages q WHERE q.os = ANY($1) AND q.package = ANY($2))
         ORDER BY a.no, p.position",
        releases,
        names
    )
    .fetch_all(conn)
    .await?;
    fixes_of(rows)
}

/// [`load_fixes`] of these advisories only, without those no longer in force.
pub async fn load_fixes_of(
    conn: &mut PgConnection,
    advisories: &[i32],
) -> ApiResult<(Vec<Advisory>, HashMap<String, i32>)> {
    let rows = sqlx::query_as!(
        FixRow,
        "SELECT a.no, a.id, a.published, a.modified, p.os, p.package, p.package_kind, p.introduced, p.fixed, p.arch, p.modules
         FROM patch.advisory_packages p JOIN patch.advisories a ON a.no = p.advisory_no
         WHERE a.in_force AND p.fixed IS NOT NULL AND a.no = ANY($1) ORDER BY a.no, p.position",
        advisories
    )
    .fetch_all(conn)
    .await?;
    fixes_of(rows)
}

fn fixes_of(rows: Vec<FixRow>) -> ApiResult<(Vec<Advisory>, HashMap<String, i32>)> {
    let mut found: BTreeMap<i32, Advisory> = BTreeMap::new();
    let mut numbers = HashMap::new();
    for row in rows {
        let os: OsRelease = row.os.parse().map_err(ApiError::internal)?;
        let modules = row.modules.iter().filter_map(|module| module.parse::<ModuleStream>().ok()).collect();
        numbers.insert(row.id.clone(), row.no);
        let advisory = found.entry(row.no).or_insert_with(|| bare(row.id, row.published, row.modified));
        advisory.affected.push(AffectedPackage {
            os,
            package: row.package,
            package_kind: from_text(row.package_kind)?,
            introduced: row.introduced,
            fixed: row.fixed,
            arch: row.arch,
            modules,
            no_fix: None,
            last_affected: None,
        });
    }
    Ok((found.into_values().collect(), numbers))
}

/// An advisory without the texts that matching does not read.
fn bare(id: String, published: DateTime<Utc>, modified: DateTime<Utc>) -> Advisory {
    Advisory { modified, ..Advisory::new(id, published) }
}

struct Row {
    no: i32,
    id: String,
    source: String,
    summary: String,
    severity: Severity,
    exploited: bool,
    cves: Vec<String>,
    published: DateTime<Utc>,
    modified: DateTime<Utc>,
    withdrawn: Option<DateTime<Utc>>,
    hosts: i64,
}

impl Row {
    fn into_summary(self) -> (i32, AdvisorySummary) {
        let summary = AdvisorySummary {
            id: self.id,
            source: self.source,
            summary: self.summary,
            severity: self.severity,
            exploited: self.exploited,
            cve_ids: self.cves,
            published: self.published,
            modified: self.modified,
            withdrawn: self.withdrawn,
            affected_cis: self.hosts,
        };
        (self.no, summary)
    }
}

#[derive(Debug, Clone, Default)]
pub struct AdvisoryFilter {
    /// Empty for all.
    pub severities: Vec<Severity>,
    pub exploited: Option<bool>,
    pub os: Option<String>,
    pub package: Option<String>,
    /// Part of an id, a CVE or the summary, in any case.
    pub text: Option<String>,
    pub affected_only: bool,
}

/// Newest first, each with its number.
pub async fn list_advisories(
    conn: &mut PgConnection,
    filter: &AdvisoryFilter,
    after: Option<(DateTime<Utc>, i32)>,
    limit: i64,
) -> ApiResult<Vec<(i32, AdvisorySummary)>> {
    let (after_time, after_no) = after.unzip();
    let pattern = filter.text.as_deref().map(like_pattern);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.no, a.id, a.source, a.summary, a.severity AS "severity: TextColumn<advisories::Severity>", a.exploited, a.cves, a.published, a.modified,
               a.withdrawn, c.hosts AS "hosts!"
           FROM patch.advisories a CROSS JOIN LATERAL (
               SELECT coalesce(sum(n.hosts), 0)::bigint AS hosts FROM patch.advisory_counts n WHERE n.advisory_no = a.no) c
           WHERE ($1::timestamptz IS NULL OR (a.published, a.no) < ($1, $2))
             AND (cardinality($3::text[]) = 0 OR a.severity = ANY($3)) AND ($4::boolean IS NULL OR a.exploited = $4)
             AND (($5::text IS NULL AND $6::text IS NULL) OR EXISTS (
                 SELECT FROM patch.advisory_packages p WHERE p.advisory_no = a.no
                     AND ($5::text IS NULL OR p.os = $5) AND ($6::text IS NULL OR p.package = $6)))
             AND ($7::text IS NULL OR a.id ILIKE $7 OR a.summary ILIKE $7 OR EXISTS (SELECT FROM unnest(a.cves) AS cve WHERE cve ILIKE $7))
             AND (NOT $8 OR c.hosts > 0)
           ORDER BY a.published DESC, a.no DESC LIMIT $9"#,
        after_time,
        after_no,
        &stored_severities(&filter.severities),
        filter.exploited,
        filter.os,
        filter.package,
        pattern,
        filter.affected_only,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Row::into_summary).collect())
}

fn stored_severities(severities: &[Severity]) -> Vec<String> {
    severities.iter().map(|severity| severity.name().to_owned()).collect()
}

fn like_pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// Ids and severities of those that are stored.
pub async fn list_severities(conn: &mut PgConnection, ids: &[String]) -> ApiResult<Vec<(String, Severity)>> {
    let rows = sqlx::query!(
        r#"SELECT id, severity AS "severity: TextColumn<advisories::Severity>" FROM patch.advisories WHERE id = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.severity.into())).collect())
}

/// A stored advisory. `summary.affected_cis` is not set.
#[derive(Debug)]
pub struct FoundAdvisory {
    pub no: i32,
    pub summary: AdvisorySummary,
    pub body: Advisory,
}

/// Whether an advisory or a CVE has this id.
pub async fn is_known(conn: &mut PgConnection, id: &str) -> ApiResult<bool> {
    let is_known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM patch.advisories WHERE id = $1)
               OR EXISTS (SELECT FROM patch.advisories WHERE cves @> ARRAY[$1::text]) AS "is_known!""#,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok(is_known)
}

/// Advisories with this id, or that fix this CVE, at most `limit`, newest first; and the revision they belong to.
pub async fn find_advisories(
    conn: &mut PgConnection,
    id: &str,
    limit: i64,
) -> ApiResult<(i64, Vec<FoundAdvisory>)> {
    // Finds them first: ordering by publication would read every advisory.
    let rows = sqlx::query!(
        r#"SELECT e.number AS revision, a.no, a.id, a.source, a.summary, a.severity AS "severity: TextColumn<advisories::Severity>", a.exploited,
             a.cves, a.published, a.modified, a.withdrawn, a.body
         FROM patch.edition e CROSS JOIN patch.advisories a WHERE a.no = ANY(ARRAY(
             SELECT no FROM patch.advisories WHERE id = $1 UNION SELECT no FROM patch.advisories WHERE cves @> ARRAY[$1::text]))
         ORDER BY a.published DESC, a.no DESC LIMIT $2"#,
        id,
        limit
    )
    .fetch_all(conn)
    .await?;
    let revision = rows.first().map_or(0, |row| row.revision);
    let found = rows.into_iter().map(|row| {
        let body: Advisory = serde_json::from_value(row.body)?;
        let (no, summary) = Row {
            no: row.no,
            id: row.id,
            source: row.source,
            summary: row.summary,
            severity: row.severity.into(),
            exploited: row.exploited,
            cves: row.cves,
            published: row.published,
            modified: row.modified,
            withdrawn: row.withdrawn,
            hosts: 0,
        }
        .into_summary();
        Ok(FoundAdvisory { no, summary, body })
    });
    Ok((revision, found.collect::<ApiResult<_>>()?))
}
