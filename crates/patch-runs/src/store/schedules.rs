//! Up to which instant the slots of a policy's schedule were considered, and which slots have runs.

use chrono::{DateTime, Utc};
use domain::ids::{PolicyId, RunId};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

/// Locks a schedule. Returns the instant up to which its slots were considered: `now` for a new one.
pub async fn lock_schedule(
    conn: &mut PgConnection,
    id: &PolicyId,
    now: DateTime<Utc>,
) -> ApiResult<DateTime<Utc>> {
    sqlx::query!(
        "INSERT INTO patch.schedules (policy_id, considered_until) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        id.as_str(),
        now
    )
    .execute(&mut *conn)
    .await?;
    let until = sqlx::query_scalar!(
        "SELECT considered_until FROM patch.schedules WHERE policy_id = $1 FOR UPDATE",
        id.as_str()
    )
    .fetch_one(conn)
    .await?;
    Ok(until)
}

pub async fn update_schedule(conn: &mut PgConnection, id: &PolicyId, until: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.schedules SET considered_until = greatest(considered_until, $2) WHERE policy_id = $1",
        id.as_str(),
        until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The slots among these that have a run.
pub async fn list_taken_slots(
    conn: &mut PgConnection,
    id: &PolicyId,
    slots: &[DateTime<Utc>],
) -> ApiResult<Vec<DateTime<Utc>>> {
    let taken = sqlx::query_scalar!(
        r#"SELECT scheduled_for AS "slot!" FROM patch.runs WHERE policy_id = $1 AND scheduled_for = ANY($2)"#,
        id.as_str(),
        slots
    )
    .fetch_all(conn)
    .await?;
    Ok(taken)
}

/// Open runs of a schedule whose slot is still to come.
pub async fn list_planned_ahead(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> ApiResult<Vec<(RunId, PolicyId, DateTime<Utc>)>> {
    let rows = sqlx::query!(
        r#"SELECT id, policy_id AS "policy_id!", scheduled_for AS "slot!" FROM patch.runs
           WHERE ended_at IS NULL AND trigger = 'schedule' AND policy_id IS NOT NULL AND scheduled_for > $1
           ORDER BY scheduled_for LIMIT 10000"#,
        now
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| Ok((RunId(row.id), PolicyId::new(row.policy_id).map_err(ApiError::internal)?, row.slot)))
        .collect()
}
