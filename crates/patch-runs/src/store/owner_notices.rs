//! What owners of hosts were notified of before a run begins.

use chrono::{DateTime, Utc};
use domain::{ids::RunId, owner_notice::Told};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

/// Runs of hosts that are planned and have not begun, and runs whose owners wait for the rest.
pub async fn list_candidates(conn: &mut PgConnection) -> ApiResult<Vec<RunId>> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM patch.runs
           WHERE ended_at IS NULL AND started_at IS NULL AND subject = 'host' AND plan_hash IS NOT NULL AND NOT dry_run
           UNION SELECT run_id FROM patch.owner_notices WHERE NOT closed
           ORDER BY 1"#
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(RunId).collect())
}

/// What owners were notified of, unless that is closed.
pub async fn find_told(conn: &mut PgConnection, id: RunId) -> ApiResult<Option<Told>> {
    let row = sqlx::query!(
        "SELECT begins_at, least_hours FROM patch.owner_notices WHERE run_id = $1 AND NOT closed",
        id.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let least_hours = row.least_hours.map(u32::try_from).transpose().map_err(ApiError::internal)?;
        Ok(Told { begins_at: row.begins_at, least_hours })
    })
    .transpose()
}

pub async fn upsert_told(conn: &mut PgConnection, id: RunId, told: Told) -> ApiResult<()> {
    let begins_at: DateTime<Utc> = told.begins_at;
    sqlx::query!(
        "INSERT INTO patch.owner_notices (run_id, begins_at, least_hours) VALUES ($1, $2, $3)
         ON CONFLICT (run_id) DO UPDATE SET begins_at = excluded.begins_at, least_hours = excluded.least_hours",
        id.0,
        begins_at,
        told.least_hours.map(i32::try_from).transpose().map_err(ApiError::internal)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Nothing follows for the owners of this run.
pub async fn close_told(conn: &mut PgConnection, id: RunId) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.owner_notices SET closed = true WHERE run_id = $1", id.0)
        .execute(conn)
        .await?;
    Ok(())
}
