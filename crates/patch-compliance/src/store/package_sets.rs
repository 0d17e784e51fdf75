//! Package sets, their missing fixes, and the queue of sets to match.

use advisories::{HostFacts, UnreadPackage};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

/// A set to store.
#[derive(Debug, Clone)]
pub struct NewSet {
    pub digest: Vec<u8>,
    pub facts: HostFacts,
    /// Numbers of its packages in the dictionary.
    pub packages: Vec<i32>,
    /// What could not be read; the first ones, if there are many.
    pub unread: Vec<UnreadPackage>,
}

/// A set to match.
#[derive(Debug, Clone)]
pub struct StoredSet {
    pub no: i32,
    /// `None` if the set was deleted because no host has it.
    pub facts: Option<Json<HostFacts>>,
    pub packages: Vec<i32>,
}

/// Numbers of the stored sets, by digest.
pub async fn find_sets(conn: &mut PgConnection, digests: &[Vec<u8>]) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let rows = sqlx::query!("SELECT digest, no FROM patch.package_sets WHERE digest = ANY($1)", digests)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// Stores sets, without those that another transaction has stored.
pub async fn insert_sets(conn: &mut PgConnection, sets: &[NewSet]) -> ApiResult<Vec<(Vec<u8>, i32)>> {
    let facts = sets.iter().map(|set| serde_json::to_value(&set.facts)).collect::<Result<Vec<_>, _>>()?;
    let unread = sets.iter().map(|set| serde_json::to_value(&set.unread)).collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query!(
        "INSERT INTO patch.package_sets (digest, os, facts, package_nos, unread)
         SELECT digest, os, facts, packages::integer[], unread
         FROM unnest($1::bytea[], $2::text[], $3::jsonb[], $4::text[], $5::jsonb[]) AS t (digest, os, facts, packages, unread) ORDER BY digest
         ON CONFLICT (digest) DO NOTHING RETURNING digest, no",
        &sets.iter().map(|set| set.digest.clone()).collect::<Vec<_>>(),
        &sets.iter().map(|set| set.facts.os.to_string()).collect::<Vec<_>>(),
        &facts,
        &sets.iter().map(|set| array_text(&set.packages)).collect::<Vec<_>>(),
        &unread,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.no)).collect())
}

/// PostgreSQL has no arrays of arrays of different lengths; their texts can be sent.
fn array_text(numbers: &[i32]) -> String {
    let mut text = String::with_capacity(numbers.len() * 7 + 2);
    text.push('{');
    for (position, number) in numbers.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        text.push_str(&number.to_string());
    }
    text.push('}');
    text
}

/// The same for texts that need no quotes.
fn release_array(releases: &[String]) -> String {
    format!("{{{}}}", releases.join(","))
}

/// Findings by set.
pub async fn list_findings(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<(i32, Vec<i32>)>> {
    let rows = sqlx::query!("SELECT set_no, findings FROM patch.set_findings WHERE set_no = ANY($1)", sets)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.set_no, row.findings)).collect())
}

/// A new set and its findings.
#[derive(Debug, Clone)]
pub struct MatchedSet {
    pub no: i32,
    /// Digest of its packages only, for clients that compare hosts.
    pub package_digest: Vec<u8>,
    pub findings: Vec<i32>,
    pub knowledge: SetKnowledge,
}

/// What decides how much the findings of a set say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetKnowledge {
    /// The releases whose advisories apply: `rocky:9`, `ubuntu-pro:22.04`.
    pub releases: Vec<String>,
    pub packages: i32,
    /// Packages of other vendors than the distribution, about which its advisories say nothing.
    pub third_party: i32,
    /// Packages that do not name their vendor.
    pub unknown_vendor: i32,
    /// Packages that could not be read.
    pub unread: i32,
}

/// Stores the findings of new sets.
pub async fn insert_findings(conn: &mut PgConnection, sets: &[MatchedSet]) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.set_findings (set_no, package_digest, findings, releases, packages, third_party, unknown_vendor, unread)
         SELECT set_no, package_digest, findings::integer[], releases::text[], packages, third_party, unknown_vendor, unread
         FROM unnest($1::integer[], $2::bytea[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::integer[], $8::integer[])
             AS t (set_no, package_digest, findings, releases, packages, third_party, unknown_vendor, unread)",
        &sets.iter().map(|set| set.no).collect::<Vec<_>>(),
        &sets.iter().map(|set| set.package_digest.clone()).collect::<Vec<_>>(),
        &sets.iter().map(|set| array_text(&set.findings)).collect::<Vec<_>>(),
        &sets.iter().map(|set| release_array(&set.knowledge.releases)).collect::<Vec<_>>(),
        &sets.iter().map(|set| set.knowledge.packages).collect::<Vec<_>>(),
        &sets.iter().map(|set| set.knowledge.third_party).collect::<Vec<_>>(),
        &sets.iter().map(|set| set.knowledge.unknown_vendor).collect::<Vec<_>>(),
        &sets.iter().map(|set| set.knowledge.unread).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces the findings of sets.
pub async fn upsert_findings(conn: &mut PgConnection, findings: &[(i32, Vec<i32>)]) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.set_findings (set_no, findings)
         SELECT set_no, findings::integer[] FROM unnest($1::integer[], $2::text[]) AS t (set_no, findings)
         ON CONFLICT (set_no) DO UPDATE SET findings = excluded.findings",
        &findings.iter().map(|(no, _)| *no).collect::<Vec<_>>(),
        &findings.iter().map(|(_, findings)| array_text(findings)).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues every set that has one of these packages on one of these releases.
pub async fn mark_due(conn: &mut PgConnection, releases: &[String], names: &[String]) -> ApiResult<u64> {
    // Numbers first: the index on sets is used only for numbers that are known when the query is planned.
    let packages = sqlx::query_scalar!(
        "SELECT no FROM patch.packages WHERE os = ANY($1) AND names && $2",
        releases,
        names
    )
    .fetch_all(&mut *conn)
    .await?;
    if packages.is_empty() {
        return Ok(0);
    }
    let marked = sqlx::query!(
        "INSERT INTO patch.due_sets SELECT no FROM patch.package_sets WHERE patch.searchable(no, package_nos) && $1 ON CONFLICT DO NOTHING",
        &packages
    )
    .execute(conn)
    .await?;
    Ok(marked.rows_affected())
}

/// Whether a set is due, or changed advisories are recorded for sets that were.
pub async fn any_due(conn: &mut PgConnection) -> ApiResult<bool> {
    let any = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM patch.due_sets) OR EXISTS (SELECT FROM patch.changed_advisories) AS "any!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(any)
}

/// The due sets after a number, in order.
pub async fn list_due(conn: &mut PgConnection, after: i32, limit: i64) -> ApiResult<Vec<StoredSet>> {
    let sets = sqlx::query_as!(
        StoredSet,
        r#"SELECT due.set_no AS no, s.facts AS "facts?: Json<HostFacts>", coalesce(s.package_nos, '{}') AS "packages!"
           FROM (SELECT set_no FROM patch.due_sets WHERE set_no > $1 ORDER BY set_no LIMIT $2) due
           LEFT JOIN patch.package_sets s ON s.no = due.set_no ORDER BY due.set_no"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(sets)
}

/// Removes sets from the queue. Returns those that were in it and still exist, with their findings so far.
pub async fn take_due(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<(i32, Vec<i32>)>> {
    let rows = sqlx::query!(
        r#"WITH taken AS (DELETE FROM patch.due_sets WHERE set_no = ANY($1) RETURNING set_no)
           SELECT s.no, coalesce(f.findings, '{}') AS "findings!"
           FROM taken t JOIN patch.package_sets s ON s.no = t.set_no LEFT JOIN patch.set_findings f ON f.set_no = s.no"#,
        sets
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.no, row.findings)).collect())
}

/// Advisories that have changed since all sets were matched.
pub async fn list_changed_advisories(conn: &mut PgConnection) -> ApiResult<Vec<i32>> {
    let numbers =
        sqlx::query_scalar!("SELECT advisory_no FROM patch.changed_advisories").fetch_all(conn).await?;
    Ok(numbers)
}

/// Deletes them if no set is due. Returns whether that is so.
pub async fn clear_changed_advisories(conn: &mut PgConnection) -> ApiResult<bool> {
    let is_none_due = sqlx::query_scalar!(
        r#"WITH forgotten AS (DELETE FROM patch.changed_advisories WHERE NOT EXISTS (SELECT FROM patch.due_sets))
           SELECT NOT EXISTS (SELECT FROM patch.due_sets) AS "is_none_due!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(is_none_due)
}

/// Records sets that hosts no longer have.
pub async fn insert_left_sets(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<()> {
    sqlx::query!("INSERT INTO patch.left_sets SELECT unnest($1::integer[])", sets).execute(conn).await?;
    Ok(())
}

pub async fn any_left_sets(conn: &mut PgConnection) -> ApiResult<bool> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM patch.left_sets) AS "any!""#)
        .fetch_one(conn)
        .await?;
    Ok(any)
}

/// Deletes recorded sets that no host has. Returns how many were checked. No inventory may be stored at the same time: a
/// host could be about to get such a set.
pub async fn delete_unused(conn: &mut PgConnection, limit: i64) -> ApiResult<u64> {
    let left = sqlx::query_scalar!(
        "DELETE FROM patch.left_sets WHERE ctid = ANY(ARRAY(SELECT ctid FROM patch.left_sets LIMIT $1)) RETURNING set_no",
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query!(
        "WITH unused AS (
             DELETE FROM patch.package_sets s
             WHERE s.no = ANY($1) AND NOT EXISTS (SELECT FROM patch.host_scans h WHERE h.set_no = s.no) RETURNING no)
         DELETE FROM patch.set_findings f USING unused WHERE f.set_no = unused.no",
        &left
    )
    .execute(conn)
    .await?;
    Ok(left.len() as u64)
}

/// What could not be read of the host's last inventory.
pub async fn list_unread(conn: &mut PgConnection, ci_id: &str) -> ApiResult<Vec<UnreadPackage>> {
    let unread = sqlx::query_scalar!(
        r#"SELECT p.unread AS "unread: Json<Vec<UnreadPackage>>" FROM patch.hosts h
           JOIN patch.host_scans s ON s.host_id = h.id JOIN patch.package_sets p ON p.no = s.set_no WHERE h.ci_id = $1"#,
        ci_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(unread.map(|unread| unread.0).unwrap_or_default())
}

/// Package numbers of active hosts among these, with their facts, by CI.
pub async fn list_sets_of(
    conn: &mut PgConnection,
    ci_ids: &[String],
) -> ApiResult<Vec<(String, HostFacts, Vec<i32>)>> {
    let rows = sqlx::query!(
        r#"SELECT h.ci_id, p.facts AS "facts: Json<HostFacts>", p.package_nos FROM patch.hosts h
           JOIN patch.host_scans s ON s.host_id = h.id JOIN patch.package_sets p ON p.no = s.set_no
           WHERE h.active AND h.ci_id = ANY($1) ORDER BY h.ci_id"#,
        ci_ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.ci_id, row.facts.0, row.package_nos)).collect())
}

/// The facts of active hosts among these, by CI.
pub async fn list_facts_of(
    conn: &mut PgConnection,
    ci_ids: &[String],
) -> ApiResult<Vec<(String, HostFacts)>> {
    let rows = sqlx::query!(
        r#"SELECT h.ci_id, p.facts AS "facts: Json<HostFacts>" FROM patch.hosts h
           JOIN patch.host_scans s ON s.host_id = h.id JOIN patch.package_sets p ON p.no = s.set_no
           WHERE h.active AND h.ci_id = ANY($1)"#,
        ci_ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.ci_id, row.facts.0)).collect())
}
