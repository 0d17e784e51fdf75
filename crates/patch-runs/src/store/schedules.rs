//! Up to which instant the slots of a policy's schedule were considered.

use chrono::{DateTime, Utc};
use domain::ids::PolicyId;
use service_kit::ApiResult;
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
