//! The workflow steps of hosts.

use std::collections::BTreeMap;

use api_types::patch::{HostStep, HostStepState};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    workflow::WorkflowStep,
};
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;

/// Limit of the characters of a detail.
const MAX_DETAIL: usize = 1000;

/// The current state of one step on one host.
#[derive(Debug, Clone)]
pub struct StepRecord {
    pub host: CiId,
    pub attempt: u32,
    pub step: WorkflowStep,
    pub state: HostStepState,
    pub tries: u32,
    pub detail: Option<String>,
}

/// Stores the state of a step. A step that starts again after a crash is running again.
pub async fn upsert_host_step(
    conn: &mut PgConnection,
    id: RunId,
    record: &StepRecord,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let position = WorkflowStep::ALL.iter().position(|step| *step == record.step).unwrap_or_default();
    let detail: Option<String> =
        record.detail.as_ref().map(|text| text.chars().filter(|c| *c != '\0').take(MAX_DETAIL).collect());
    sqlx::query!(
        "INSERT INTO patch.run_host_steps AS existing
             (run_id, ci_id, attempt, step, position, state, tries, detail, started_at, ended_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::timestamptz, CASE WHEN $6 = 'running' THEN NULL ELSE $9::timestamptz END)
         ON CONFLICT (run_id, ci_id, attempt, step) DO UPDATE SET state = excluded.state,
             tries = greatest(existing.tries, excluded.tries), detail = coalesce(excluded.detail, existing.detail),
             ended_at = excluded.ended_at",
        id.0,
        record.host.as_str(),
        i32::try_from(record.attempt).unwrap_or(i32::MAX),
        record.step.name(),
        i16::try_from(position).unwrap_or(i16::MAX),
        to_text(&record.state)?,
        i32::try_from(record.tries).unwrap_or(i32::MAX),
        detail,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The steps of the latest attempt on each of these hosts, in their order.
pub async fn list_host_steps(
    conn: &mut PgConnection,
    id: RunId,
    hosts: &[String],
) -> ApiResult<BTreeMap<CiId, Vec<HostStep>>> {
    let rows = sqlx::query!(
        "SELECT steps.ci_id, steps.step, steps.state, steps.tries, steps.detail, steps.started_at, steps.ended_at
         FROM patch.run_host_steps steps JOIN patch.run_hosts hosts
             ON hosts.run_id = steps.run_id AND hosts.ci_id = steps.ci_id AND hosts.attempts = steps.attempt
         WHERE steps.run_id = $1 AND steps.ci_id = ANY($2) ORDER BY steps.ci_id, steps.position",
        id.0,
        hosts,
    )
    .fetch_all(conn)
    .await?;
    let mut steps: BTreeMap<CiId, Vec<HostStep>> = BTreeMap::new();
    for row in rows {
        let host = CiId::new(row.ci_id).map_err(ApiError::internal)?;
        steps.entry(host).or_default().push(HostStep {
            step: from_text(&row.step)?,
            state: from_text(&row.state)?,
            tries: u32::try_from(row.tries).unwrap_or_default(),
            detail: row.detail,
            started_at: row.started_at,
            ended_at: row.ended_at,
        });
    }
    Ok(steps)
}
