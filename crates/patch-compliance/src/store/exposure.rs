//! Open vulnerabilities and due dates of hosts by their tags.

use chrono::{DateTime, Utc};
use domain::selector::Tags;
use serde_json::Value;
use service_kit::ApiResult;
use sqlx::PgConnection;

/// Hosts of one scope, those with the same due date together.
#[derive(Debug)]
pub struct ExposureRow {
    /// Of the scope, from 1.
    pub position: i64,
    /// Their next due date, if they are known and it is still ahead.
    pub due: Option<DateTime<Utc>>,
    pub hosts: i64,
    pub unknown_hosts: i64,
    /// Of the known ones.
    pub open_cves: i64,
}

/// Reads every host of each scope. A host counts once, by its strictest policy.
pub async fn list_exposures(
    conn: &mut PgConnection,
    scopes: &[Tags],
    now: DateTime<Utc>,
) -> ApiResult<Vec<ExposureRow>> {
    let scopes = scopes.iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>()?;
    let rows = sqlx::query_as!(
        ExposureRow,
        r#"WITH scoped AS (
               SELECT s.position, h.id FROM unnest($1::jsonb[]) WITH ORDINALITY AS s (tags, position)
               JOIN patch.hosts h ON h.active AND h.tags @> s.tags),
           known AS (
               SELECT host_id, max(open_cves) AS open_cves, min(next_due) AS due FROM patch.compliance
               GROUP BY host_id HAVING NOT bool_or(status = 'unknown'))
           SELECT s.position AS "position!", CASE WHEN k.due >= $2 THEN k.due END AS due, count(*) AS "hosts!",
               count(*) FILTER (WHERE k.host_id IS NULL) AS "unknown_hosts!", coalesce(sum(k.open_cves), 0)::bigint AS "open_cves!"
           FROM scoped s LEFT JOIN known k ON k.host_id = s.id
           GROUP BY 1, 2"#,
        &scopes,
        now
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
