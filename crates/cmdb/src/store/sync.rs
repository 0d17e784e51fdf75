//! The one row of `cmdb.sync`, and the tags the sim-engine named last.

use std::collections::BTreeMap;

use api_types::cmdb::Sync;
use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Tags};
use serde_json::Value;
use service_kit::text_enum::{from_text, to_text};
use sqlx::{PgConnection, types::Json};

use super::to_json;

/// The last synchronisation, and the time after which it counts as dead.
pub async fn get_sync(connection: &mut PgConnection) -> sqlx::Result<(Sync, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        "SELECT status, started_at, finished_at, created, updated, unchanged, missing, error, deadline FROM cmdb.sync"
    )
    .fetch_one(connection)
    .await?;
    let sync = Sync {
        status: from_text(row.status)?,
        started_at: row.started_at,
        finished_at: row.finished_at,
        created: row.created,
        updated: row.updated,
        unchanged: row.unchanged,
        missing: row.missing.into_iter().map(from_text).collect::<Result<_, _>>()?,
        error: row.error,
    };
    Ok((sync, row.deadline))
}

/// Begins a synchronisation and returns its number; `None` while another one runs within its deadline.
pub async fn begin_sync(
    connection: &mut PgConnection,
    who: &str,
    now: DateTime<Utc>,
    deadline: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "UPDATE cmdb.sync SET status = 'running', attempt = attempt + 1, started_by = $1, started_at = $2, deadline = $3,
           finished_at = NULL, created = 0, updated = 0, unchanged = 0, missing = '{}', error = NULL
         WHERE status <> 'running' OR deadline <= $2 RETURNING attempt",
        who,
        now,
        deadline
    )
    .fetch_optional(connection)
    .await
}

/// Locks the row when synchronisation `attempt` is still the one that runs.
pub async fn lock_sync(connection: &mut PgConnection, attempt: i64) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "SELECT attempt FROM cmdb.sync WHERE attempt = $1 AND status = 'running' FOR UPDATE",
        attempt
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Ends synchronisation `attempt` with its outcome; one that was taken over changes nothing.
pub async fn finish_sync(connection: &mut PgConnection, attempt: i64, outcome: &Sync) -> sqlx::Result<()> {
    let missing: Vec<String> = outcome.missing.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "UPDATE cmdb.sync SET status = $2, finished_at = $3, created = $4, updated = $5, unchanged = $6, missing = $7,
           error = $8
         WHERE attempt = $1 AND status = 'running'",
        attempt,
        to_text(&outcome.status)?,
        outcome.finished_at,
        outcome.created,
        outcome.updated,
        outcome.unchanged,
        &missing,
        outcome.error,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tags as the sim-engine named them last, for those of `ids` that were synchronised before.
pub async fn list_synced_tags(
    connection: &mut PgConnection,
    ids: &[String],
) -> sqlx::Result<BTreeMap<String, Tags>> {
    let rows = sqlx::query!(
        r#"SELECT id, synced_tags AS "tags!: Json<Tags>" FROM cmdb.cis WHERE id = ANY($1) AND synced_tags IS NOT NULL"#,
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.tags.0)).collect())
}

pub async fn update_synced_tags(
    connection: &mut PgConnection,
    tags: &BTreeMap<CiId, Tags>,
) -> sqlx::Result<()> {
    let ids: Vec<String> = tags.keys().map(ToString::to_string).collect();
    let values: Vec<Value> = tags.values().map(to_json).collect::<Result<_, _>>()?;
    sqlx::query!(
        "UPDATE cmdb.cis AS ci SET synced_tags = new.tags FROM unnest($1::text[], $2::jsonb[]) AS new (id, tags)
         WHERE ci.id = new.id AND ci.synced_tags IS DISTINCT FROM new.tags",
        &ids,
        &values
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Active CIs that stand for a machine of the sim-engine and are not among `present`.
pub async fn list_missing(connection: &mut PgConnection, present: &[String]) -> sqlx::Result<Vec<CiId>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM cmdb.cis
         WHERE status = 'active' AND ci_type IN ('host', 'vm') AND (synced_tags IS NOT NULL OR attributes->>'driver' = 'model')
           AND NOT id = ANY($1)
         ORDER BY id",
        present
    )
    .fetch_all(connection)
    .await?;
    ids.into_iter().map(from_text).collect()
}
