//! How the plan of a run differed when its work was to begin.

use chrono::{DateTime, Utc};
use domain::{ids::RunId, plan_diff::PlanDrift};
use service_kit::ApiResult;
use sqlx::PgConnection;

pub async fn upsert_run_diff(
    conn: &mut PgConnection,
    id: RunId,
    drift: &PlanDrift,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.run_diffs (run_id, comparison, compared_at) VALUES ($1, $2, $3)
         ON CONFLICT (run_id) DO UPDATE SET comparison = excluded.comparison, compared_at = excluded.compared_at",
        id.0,
        serde_json::to_value(drift)?,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The comparison, and when it was made.
pub async fn find_run_diff(
    conn: &mut PgConnection,
    id: RunId,
) -> ApiResult<Option<(PlanDrift, DateTime<Utc>)>> {
    let row = sqlx::query!("SELECT comparison, compared_at FROM patch.run_diffs WHERE run_id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok((serde_json::from_value(row.comparison)?, row.compared_at))).transpose()
}
