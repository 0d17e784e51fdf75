//! Ratings of CVEs from other feeds: known to be exploited, likely to be exploited.

use std::collections::HashMap;

use advisories::{
    Advisory, Severity,
    feed::{epss::ExploitPrediction, kev::KnownExploited, nvd::CveNote},
};
use chrono::{DateTime, NaiveDate, Utc};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// How many rows were new and how many changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    pub new: u64,
    pub changed: u64,
}

pub async fn upsert_known_exploited(
    conn: &mut PgConnection,
    entries: &[KnownExploited],
) -> ApiResult<Stored> {
    let bodies = entries.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query_scalar!(
        r#"INSERT INTO patch.known_exploited AS k (cve, date_added, body)
           SELECT * FROM unnest($1::text[], $2::date[], $3::jsonb[])
           ON CONFLICT (cve) DO UPDATE SET date_added = excluded.date_added, body = excluded.body WHERE k.body <> excluded.body
           RETURNING xmax = 0 AS "is_new!""#,
        &entries.iter().map(|entry| entry.cve.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.date_added).collect::<Vec<NaiveDate>>(),
        &bodies,
    )
    .fetch_all(conn)
    .await?;
    Ok(stored(&rows))
}

pub async fn upsert_predictions(conn: &mut PgConnection, entries: &[ExploitPrediction]) -> ApiResult<Stored> {
    let rows = sqlx::query_scalar!(
        r#"INSERT INTO patch.exploit_predictions AS e (cve, probability, percentile)
           SELECT * FROM unnest($1::text[], $2::float8[], $3::float8[])
           ON CONFLICT (cve) DO UPDATE SET probability = excluded.probability, percentile = excluded.percentile
           WHERE (e.probability, e.percentile) IS DISTINCT FROM (excluded.probability, excluded.percentile)
           RETURNING xmax = 0 AS "is_new!""#,
        &entries.iter().map(|entry| entry.cve.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.probability).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.percentile).collect::<Vec<_>>() as &[Option<f64>],
    )
    .fetch_all(conn)
    .await?;
    Ok(stored(&rows))
}

fn stored(rows: &[bool]) -> Stored {
    let new = rows.iter().filter(|is_new| **is_new).count() as u64;
    Stored { new, changed: rows.len() as u64 - new }
}

/// The CVEs among these that are known to be exploited.
pub async fn list_exploited(conn: &mut PgConnection, cves: &[String]) -> ApiResult<Vec<String>> {
    let known = sqlx::query_scalar!("SELECT cve FROM patch.known_exploited WHERE cve = ANY($1)", cves)
        .fetch_all(conn)
        .await?;
    Ok(known)
}

/// An advisory that fixes a known exploited CVE and is not marked yet.
#[derive(Debug)]
pub struct Unmarked {
    pub no: i32,
    pub severity: Severity,
    pub published: DateTime<Utc>,
}

pub async fn list_unmarked(conn: &mut PgConnection, cves: &[String]) -> ApiResult<Vec<Unmarked>> {
    let rows = sqlx::query_as!(
        Unmarked,
        r#"SELECT no, severity AS "severity: TextColumn<Severity>", published FROM patch.advisories WHERE NOT exploited AND cves && $1"#,
        cves
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

pub async fn mark_exploited(
    conn: &mut PgConnection,
    numbers: &[i32],
    due: &[DateTime<Utc>],
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.advisories a SET exploited = true, due = m.due
         FROM unnest($1::integer[], $2::timestamptz[]) AS m (no, due) WHERE a.no = m.no",
        numbers,
        due
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores notes on CVEs, unless a later one is stored.
pub async fn upsert_notes(conn: &mut PgConnection, notes: &[CveNote]) -> ApiResult<Stored> {
    let bodies = notes.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query_scalar!(
        r#"INSERT INTO patch.cve_notes AS n (cve, modified, body)
           SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::jsonb[])
           ON CONFLICT (cve) DO UPDATE SET modified = excluded.modified, body = excluded.body
           WHERE n.body <> excluded.body AND n.modified <= excluded.modified
           RETURNING xmax = 0 AS "is_new!""#,
        &notes.iter().map(|note| note.cve.clone()).collect::<Vec<_>>(),
        &notes.iter().map(|note| note.modified).collect::<Vec<_>>(),
        &bodies,
    )
    .fetch_all(conn)
    .await?;
    Ok(stored(&rows))
}

/// Exploit probabilities by CVE.
pub async fn list_probabilities(conn: &mut PgConnection, cves: &[String]) -> ApiResult<HashMap<String, f64>> {
    let rows =
        sqlx::query!("SELECT cve, probability FROM patch.exploit_predictions WHERE cve = ANY($1)", cves)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|row| (row.cve, row.probability)).collect())
}

/// Notes in the order of their CVEs.
pub async fn list_notes(conn: &mut PgConnection, cves: &[String], limit: i64) -> ApiResult<Vec<CveNote>> {
    let notes = sqlx::query_scalar!(
        r#"SELECT body AS "body: Json<CveNote>" FROM patch.cve_notes WHERE cve = ANY($1) ORDER BY cve LIMIT $2"#,
        cves,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(notes.into_iter().map(|note| note.0).collect())
}

/// Stored advisories that arrive in parts, as merged so far.
pub async fn list_parts(conn: &mut PgConnection, ids: &[String]) -> ApiResult<Vec<Advisory>> {
    let bodies = sqlx::query_scalar!(
        "SELECT body FROM patch.advisories WHERE id = ANY($1) AND body @> '{\"is_part\": true}'",
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(bodies.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?)
}
