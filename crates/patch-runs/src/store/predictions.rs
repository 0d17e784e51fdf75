//! Predictions, what happened, and observations from real runs.

use chrono::{DateTime, Utc};
use domain::ids::RunId;
use service_kit::{ApiResult, text_enum::from_text};
use simulator::{Actual, Forecast, HostObservation};
use sqlx::PgConnection;
use uuid::Uuid;

pub async fn insert_prediction(
    conn: &mut PgConnection,
    id: RunId,
    forecast: &Forecast,
    observations: i64,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.predictions (run_id, made_at, forecast, observations) VALUES ($1, $2, $3, $4)",
        id.0,
        now,
        serde_json::to_value(forecast)?,
        observations,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores what happened in a predicted run, once.
pub async fn record_actual(
    conn: &mut PgConnection,
    id: RunId,
    actual: Actual,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.predictions SET actual = $2, recorded_at = $3 WHERE run_id = $1 AND actual IS NULL",
        id.0,
        serde_json::to_value(actual)?,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One prediction with what happened.
pub struct Scored {
    pub run_id: Uuid,
    pub made_at: DateTime<Utc>,
    pub observations: i64,
    pub forecast: Forecast,
    pub actual: Actual,
}

/// Scored predictions, newest first, older than the run `after`. A run that started no host says nothing about its
/// prediction: it is left out.
pub async fn list_scored(conn: &mut PgConnection, after: Option<Uuid>, limit: i64) -> ApiResult<Vec<Scored>> {
    let rows = sqlx::query!(
        r#"SELECT run_id, made_at, observations, forecast, actual AS "actual!" FROM patch.predictions
         WHERE actual IS NOT NULL AND ($1::uuid IS NULL OR run_id < $1)
             AND EXISTS (SELECT FROM patch.run_hosts host
                 WHERE host.run_id = predictions.run_id AND host.attempts > 0)
         ORDER BY run_id DESC LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let mut scored = Vec::with_capacity(rows.len());
    for row in rows {
        scored.push(Scored {
            run_id: row.run_id,
            made_at: row.made_at,
            observations: row.observations,
            forecast: serde_json::from_value(row.forecast)?,
            actual: serde_json::from_value(row.actual)?,
        });
    }
    Ok(scored)
}

/// Observations from the newest attempts on hosts, oldest first. A host that was retried has no duration of a single attempt;
/// a host that rebooted has the duration of its update only if its reboot was timed.
pub async fn list_host_observations(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<HostObservation>> {
    let rows = sqlx::query!(
        r#"SELECT host.state, host.attempts, host.rebooted,
             plan.plan -> 'targets' -> host.ci_id ->> 'os' AS "os!",
             plan.plan -> 'targets' -> host.ci_id -> 'tags' ->> 'role' AS role,
             extract(epoch FROM host.ended_at - host.started_at)::float8 AS seconds,
             (SELECT extract(epoch FROM step.ended_at - step.started_at)::float8 FROM patch.run_host_steps step
              WHERE step.run_id = host.run_id AND step.ci_id = host.ci_id AND step.attempt = host.attempts
                AND step.step = 'reboot' AND step.state = 'succeeded') AS reboot_seconds
         FROM patch.run_hosts host JOIN patch.plans plan USING (run_id) JOIN patch.runs run ON run.id = host.run_id
         WHERE run.subject = 'host' AND host.ended_at IS NOT NULL AND host.started_at IS NOT NULL
         ORDER BY host.ended_at DESC LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await?;
    let mut observations = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let state: domain::run::HostState = from_text(&row.state)?;
        let kinds = row.role.map(|role| format!("{}/{role}", row.os)).into_iter().chain([row.os.clone()]);
        let succeeded_at_once = state == domain::run::HostState::Succeeded && row.attempts == 1;
        let reboot_seconds = row.reboot_seconds.filter(|_| row.rebooted && succeeded_at_once);
        let rebooting = if row.rebooted { reboot_seconds } else { Some(0.0) };
        let update_seconds =
            row.seconds.zip(rebooting).map(|(whole, rebooting)| (whole - rebooting).max(0.0));
        observations.push(HostObservation {
            kinds: kinds.collect(),
            update_seconds: update_seconds.filter(|_| succeeded_at_once),
            reboot_seconds,
            rollback_seconds: None,
            failed: state.is_failure(),
            lost: state == domain::run::HostState::Unreachable,
            rollback_failed: state == domain::run::HostState::RollbackFailed,
        });
    }
    Ok(observations)
}

/// Seconds that the newest actions of these kinds took in runs on hosts, if they were started once.
pub async fn list_action_seconds(
    conn: &mut PgConnection,
    actions: &[String],
    limit: i64,
) -> ApiResult<Vec<f64>> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM ended_at - started_at)::float8 AS "seconds!" FROM patch.run_steps step
         WHERE action = ANY($1) AND ended_at IS NOT NULL AND started_at IS NOT NULL AND attempts = 1
             AND EXISTS (SELECT FROM patch.runs run WHERE run.id = step.run_id AND run.subject = 'host')
         ORDER BY ended_at DESC LIMIT $2"#,
        actions,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(seconds)
}
