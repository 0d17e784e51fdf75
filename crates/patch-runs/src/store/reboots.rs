//! Reboots that one run leaves to another, because both patch a host in one window.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    policy::Policy,
    workflow::Reboot,
};
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;

/// Approved runs that wait for this run to end and will patch and maybe reboot the host, oldest first.
pub async fn list_next_runs(
    conn: &mut PgConnection,
    id: RunId,
    host: &CiId,
) -> ApiResult<Vec<(RunId, Policy)>> {
    let rows = sqlx::query!(
        "SELECT runs.id, runs.policy FROM patch.runs runs JOIN patch.plans plans ON plans.run_id = runs.id
         WHERE runs.ended_at IS NULL AND runs.id <> $1 AND runs.state = 'validating' AND NOT runs.dry_run
             AND plans.plan -> 'targets' ? $2 AND plans.plan ->> 'reboot' <> 'never'
             AND plans.plan -> 'intent' ->> 'kind' = 'patch'
         ORDER BY runs.created_at LIMIT 20",
        id.0,
        host.as_str(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((RunId(row.id), serde_json::from_value(row.policy)?))).collect()
}

/// Leaves the reboot of a host to another run.
pub async fn insert_left(
    conn: &mut PgConnection,
    id: RunId,
    host: &CiId,
    left_to: RunId,
    reboot: Reboot,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.reboots_left (ci_id, run_id, left_to, reboot, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (ci_id, run_id) DO UPDATE SET left_to = excluded.left_to, reboot = excluded.reboot",
        host.as_str(),
        id.0,
        left_to.0,
        to_text(&reboot)?,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What earlier runs have left to this run: the least reboot that each host needs.
pub async fn list_left_to(conn: &mut PgConnection, id: RunId) -> ApiResult<BTreeMap<CiId, Reboot>> {
    let rows = sqlx::query!(
        "SELECT ci_id, CASE WHEN bool_or(reboot = 'always') THEN 'always' ELSE 'if_required' END AS \"reboot!\"
         FROM patch.reboots_left WHERE left_to = $1 GROUP BY ci_id",
        id.0
    )
    .fetch_all(conn)
    .await?;
    let left = |ci_id: String, reboot: String| -> ApiResult<(CiId, Reboot)> {
        Ok((CiId::new(ci_id).map_err(ApiError::internal)?, from_text(&reboot)?))
    };
    rows.into_iter().map(|row| left(row.ci_id, row.reboot)).collect()
}
