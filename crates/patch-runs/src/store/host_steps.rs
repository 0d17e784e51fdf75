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

/// Stores the states of steps, given in the order in which they changed. A step that starts again after a crash is running
/// again.
pub async fn upsert_host_steps(
    conn: &mut PgConnection,
    id: RunId,
    records: &[StepRecord],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let latest = latest_of_each(records);
    let hosts: Vec<String> = latest.iter().map(|record| record.host.to_string()).collect();
    let attempts: Vec<i32> = latest.iter().map(|record| signed(record.attempt)).collect();
    let steps: Vec<String> = latest.iter().map(|record| record.step.name().to_owned()).collect();
    let positions: Vec<i16> = latest.iter().map(|record| position(record.step)).collect();
    let states = latest.iter().map(|record| to_text(&record.state)).collect::<Result<Vec<String>, _>>()?;
    let tries: Vec<i32> = latest.iter().map(|record| signed(record.tries)).collect();
    let details: Vec<Option<String>> = latest.iter().map(|record| record.detail.clone()).collect();
    sqlx::query!(
        "INSERT INTO patch.run_host_steps AS existing
             (run_id, ci_id, attempt, step, position, state, tries, detail, started_at, ended_at)
         SELECT $1, ci_id, attempt, step, position, state, tries, detail, $9::timestamptz,
             CASE WHEN state = 'running' THEN NULL ELSE $9::timestamptz END
         FROM unnest($2::text[], $3::int[], $4::text[], $5::smallint[], $6::text[], $7::int[], $8::text[])
             AS given (ci_id, attempt, step, position, state, tries, detail)
         ON CONFLICT (run_id, ci_id, attempt, step) DO UPDATE SET state = excluded.state,
             tries = greatest(existing.tries, excluded.tries), detail = coalesce(excluded.detail, existing.detail),
             ended_at = excluded.ended_at",
        id.0,
        &hosts,
        &attempts,
        &steps,
        &positions,
        &states,
        &tries,
        details.as_slice() as &[Option<String>],
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One record for each step, because a statement changes a row only once: the last state, the most tries, the last detail.
fn latest_of_each(records: &[StepRecord]) -> Vec<StepRecord> {
    let mut latest: BTreeMap<(&CiId, u32, i16), StepRecord> = BTreeMap::new();
    for record in records {
        let mut next = record.clone();
        if let Some(text) = &mut next.detail {
            *text = text.chars().filter(|c| *c != '\0').take(MAX_DETAIL).collect();
        }
        let key = (&record.host, record.attempt, position(record.step));
        if let Some(earlier) = latest.remove(&key) {
            next.tries = next.tries.max(earlier.tries);
            next.detail = next.detail.or(earlier.detail);
        }
        latest.insert(key, next);
    }
    latest.into_values().collect()
}

fn position(step: WorkflowStep) -> i16 {
    let position = WorkflowStep::ALL.iter().position(|other| *other == step).unwrap_or_default();
    i16::try_from(position).unwrap_or(i16::MAX)
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
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

/// A step of any attempt on a host.
#[derive(Debug, Clone)]
pub struct TimedStep {
    pub host: CiId,
    pub step: WorkflowStep,
    pub state: HostStepState,
    pub detail: Option<String>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// The steps of all attempts of a run in the order in which they began.
pub async fn list_steps_in_time(conn: &mut PgConnection, id: RunId) -> ApiResult<Vec<TimedStep>> {
    let rows = sqlx::query!(
        "SELECT ci_id, step, state, detail, started_at, ended_at FROM patch.run_host_steps
         WHERE run_id = $1 ORDER BY started_at, attempt, position, ci_id LIMIT 100000",
        id.0
    )
    .fetch_all(conn)
    .await?;
    let mut steps = Vec::with_capacity(rows.len());
    for row in rows {
        steps.push(TimedStep {
            host: CiId::new(row.ci_id).map_err(ApiError::internal)?,
            step: from_text(&row.step)?,
            state: from_text(&row.state)?,
            detail: row.detail,
            started_at: row.started_at,
            ended_at: row.ended_at,
        });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_step_become_one_record() {
        let record = |host: &str, step, state, tries, detail: Option<&str>| StepRecord {
            host: CiId::new(host).unwrap(),
            attempt: 1,
            step,
            state,
            tries,
            detail: detail.map(str::to_owned),
        };
        let latest = latest_of_each(&[
            record("a", WorkflowStep::Drain, HostStepState::Running, 1, None),
            record("b", WorkflowStep::Drain, HostStepState::Running, 1, None),
            record("a", WorkflowStep::Drain, HostStepState::Failed, 3, Some("it\0 is busy")),
            record("a", WorkflowStep::Update, HostStepState::Running, 1, None),
        ]);
        let shown: Vec<_> =
            latest.iter().map(|r| (r.host.as_str(), r.step, r.state, r.tries, r.detail.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("a", WorkflowStep::Drain, HostStepState::Failed, 3, Some("it is busy")),
                ("a", WorkflowStep::Update, HostStepState::Running, 1, None),
                ("b", WorkflowStep::Drain, HostStepState::Running, 1, None),
            ]
        );
    }
}
