//! What repeats from host to host, by number: installed packages and missing fixes.
//!
//! Rows are facts and are never changed or deleted: a number means the same forever.

use advisories::InstalledPackage;
use chrono::{DateTime, Utc};
use domain::{
    baseline::{Fix, Published},
    compliance::{Classification, MatchRule, PatchStateOfPackage, Severity},
};
use rustc_hash::FxHashMap;
use serde_json::Value;
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// Identifies the content of a row.
pub type ContentDigest = [u8; 32];

/// A package to number.
#[derive(Debug, Clone)]
pub struct NewPackage {
    pub os: String,
    pub names: Vec<String>,
    pub package: InstalledPackage,
}

/// A missing fix of an installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    pub advisory_no: i32,
    pub package: String,
    pub installed: String,
    pub fixed: String,
    pub candidate: Option<String>,
    pub target: Option<String>,
    pub state: PatchStateOfPackage,
    pub rule: MatchRule,
}

pub async fn find_packages(conn: &mut PgConnection, digests: &[Vec<u8>]) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let rows = sqlx::query!("SELECT digest, no FROM patch.packages WHERE digest = ANY($1)", digests)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// Inserts packages and returns their numbers, without those that another transaction has inserted.
pub async fn insert_packages(
    conn: &mut PgConnection,
    new: &[(ContentDigest, NewPackage)],
) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let bodies = new
        .iter()
        .map(|(_, one)| serde_json::to_value(&one.package))
        .collect::<Result<Vec<Value>, serde_json::Error>>()?;
    let names = new
        .iter()
        .map(|(_, one)| serde_json::to_value(&one.names))
        .collect::<Result<Vec<Value>, serde_json::Error>>()?;
    let rows = sqlx::query!(
        "INSERT INTO patch.packages (digest, os, names, body)
         SELECT digest, os, ARRAY(SELECT jsonb_array_elements_text(names)), body
         FROM unnest($1::bytea[], $2::text[], $3::jsonb[], $4::jsonb[]) AS t (digest, os, names, body) ORDER BY digest
         ON CONFLICT (digest) DO NOTHING RETURNING digest, no",
        &new.iter().map(|(digest, _)| digest.to_vec()).collect::<Vec<_>>(),
        &new.iter().map(|(_, one)| one.os.clone()).collect::<Vec<_>>(),
        &names,
        &bodies,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// What a finding is about.
#[derive(Debug, Clone)]
pub struct FindingKey {
    pub no: i32,
    pub advisory_no: i32,
    pub package: String,
    pub installed: String,
    pub fixed: String,
}

/// All findings of these advisories, of whatever host.
pub async fn list_findings_of_advisories(
    conn: &mut PgConnection,
    advisories: &[i32],
) -> ApiResult<Vec<FindingKey>> {
    let findings = sqlx::query_as!(
        FindingKey,
        "SELECT no, advisory_no, package, installed, fixed FROM patch.findings WHERE advisory_no = ANY($1)",
        advisories
    )
    .fetch_all(conn)
    .await?;
    Ok(findings)
}

pub async fn load_packages(
    conn: &mut PgConnection,
    numbers: &[i32],
) -> ApiResult<Vec<(i32, InstalledPackage)>> {
    let rows = sqlx::query!(
        r#"SELECT no, body AS "body: Json<InstalledPackage>" FROM patch.packages WHERE no = ANY($1)"#,
        numbers
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.no, row.body.0)).collect())
}

pub async fn find_findings(conn: &mut PgConnection, digests: &[Vec<u8>]) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let rows = sqlx::query!("SELECT digest, no FROM patch.findings WHERE digest = ANY($1)", digests)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// Inserts findings and returns their numbers, without those that another transaction has inserted.
pub async fn insert_findings(
    conn: &mut PgConnection,
    new: &[(ContentDigest, NewFinding)],
) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let text = |field: fn(&NewFinding) -> &str| -> Vec<String> {
        new.iter().map(|(_, one)| field(one).to_owned()).collect()
    };
    let optional = |field: fn(&NewFinding) -> &Option<String>| -> Vec<Option<String>> {
        new.iter().map(|(_, one)| field(one).clone()).collect()
    };
    let rows = sqlx::query!(
        "INSERT INTO patch.findings (digest, advisory_no, package, installed, fixed, candidate, target, state, rule)
         SELECT * FROM unnest($1::bytea[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::text[], $9::text[]) AS t (digest) ORDER BY digest
         ON CONFLICT (digest) DO NOTHING RETURNING digest, no",
        &new.iter().map(|(digest, _)| digest.to_vec()).collect::<Vec<_>>(),
        &new.iter().map(|(_, one)| one.advisory_no).collect::<Vec<_>>(),
        &text(|one| &one.package),
        &text(|one| &one.installed),
        &text(|one| &one.fixed),
        &optional(|one| &one.candidate) as &[Option<String>],
        &optional(|one| &one.target) as &[Option<String>],
        &text(|one| one.state.name()),
        &text(|one| one.rule.name()),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// A finding with the current data of its advisory.
#[derive(Debug, Clone)]
pub struct Finding {
    pub no: i32,
    pub advisory_no: i32,
    pub advisory_id: String,
    pub package: String,
    pub installed: String,
    pub fixed: String,
    pub candidate: Option<String>,
    pub target: Option<String>,
    pub state: PatchStateOfPackage,
    pub rule: MatchRule,
    pub classification: Classification,
    pub cves: Vec<String>,
    pub severity: Severity,
    pub exploited: bool,
    /// When it was first imported, if its feed gives no date.
    pub published: DateTime<Utc>,
    /// `None` if the feed gives no date.
    pub due: Option<DateTime<Utc>>,
}

impl Finding {
    /// What the rules of a baseline look at.
    pub fn fix(&self) -> Fix<'_> {
        let published = match self.due {
            Some(_) => Published::At(self.published),
            None => Published::Unknown { first_imported: self.published },
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

pub async fn load_findings(conn: &mut PgConnection, numbers: &[i32]) -> ApiResult<Vec<Finding>> {
    let rows = sqlx::query_as!(
        Finding,
        r#"SELECT f.no, f.advisory_no, a.id AS advisory_id, f.package, f.installed, f.fixed, f.candidate, f.target,
               f.state AS "state: TextColumn<PatchStateOfPackage>", f.rule AS "rule: TextColumn<MatchRule>", a.cves,
               a.kind AS "classification: TextColumn<Classification>",
               a.severity AS "severity: TextColumn<advisories::Severity>", a.exploited, a.published,
               CASE WHEN NOT a.undated THEN a.due END AS due
           FROM patch.findings f JOIN patch.advisories a ON a.no = f.advisory_no WHERE f.no = ANY($1)"#,
        numbers
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Findings with their advisories.
pub async fn list_advisories_of(conn: &mut PgConnection, findings: &[i32]) -> ApiResult<Vec<(i32, i32)>> {
    let rows = sqlx::query!("SELECT no, advisory_no FROM patch.findings WHERE no = ANY($1)", findings)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.no, row.advisory_no)).collect())
}

/// By digest, for look-ups.
pub fn by_digest(rows: Vec<(Vec<u8>, i32)>) -> FxHashMap<ContentDigest, i32> {
    rows.into_iter().filter_map(|(digest, no)| Some((digest.try_into().ok()?, no))).collect()
}
