//! Runs, their hosts and their plans.

use std::{collections::BTreeMap, sync::Arc};

use api_types::patch::{ComplianceShare, Forecast, RunTrigger};
use chrono::{DateTime, Utc};
use domain::{
    ids::{ChangeId, CiId, PolicyId, RunId},
    plan::{Plan, PlanHash, Subject},
    policy::Policy,
    pre_approval::PreApproval,
    run::{HostRun, Run, RunState, Stage},
    selector::Selector,
    strategy::Strategy,
};
use serde::de::DeserializeOwned;
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// A run as it is stored, without its hosts and its plan.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: RunId,
    pub trigger: RunTrigger,
    pub subject: Subject,
    pub policy_id: Option<PolicyId>,
    pub advisory: Option<String>,
    pub selector: Option<Selector>,
    pub strategy: Option<Strategy>,
    pub dry_run: bool,
    pub emergency: bool,
    pub of_run: Option<RunId>,
    pub scheduled_for: Option<DateTime<Utc>>,
    pub requested_by: String,
    /// Who wrote what the run does: the policy, the release configuration. They cannot approve it.
    pub editors: Vec<String>,
    pub policy: Policy,
    /// Whether the template of the policy approves it; `None` if the policy names none.
    pub pre_approval: Option<PreApproval>,
    pub machine: Run,
    pub state: RunState,
    pub stage: Option<Stage>,
    pub reason: Option<String>,
    pub plan_hash: Option<PlanHash>,
    pub prediction: Option<Forecast>,
    pub compliance_before: Option<ComplianceShare>,
    pub compliance_after: Option<ComplianceShare>,
    pub incident_id: Option<String>,
    pub max_hosts_down: i32,
    /// It has its own Vault token, in a file on the machine that accepted it.
    pub holds_vault_token: bool,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Counts the changes of the run's state machine.
    pub revision: i64,
}

impl RunRow {
    /// Whether its hosts start only within the policy's window and outside freezes. An emergency and a rollback do not wait.
    pub fn waits_for_openings(&self) -> bool {
        self.subject == Subject::Host && !self.emergency && self.trigger != RunTrigger::Rollback
    }
}

/// The columns of `patch.runs`.
struct RawRun {
    id: Uuid,
    trigger: String,
    subject: String,
    policy_id: Option<String>,
    advisory: Option<String>,
    selector: Option<serde_json::Value>,
    strategy: Option<String>,
    dry_run: bool,
    emergency: bool,
    of_run: Option<Uuid>,
    scheduled_for: Option<DateTime<Utc>>,
    requested_by: String,
    editors: Vec<String>,
    policy: serde_json::Value,
    pre_approval: Option<serde_json::Value>,
    machine: serde_json::Value,
    state: String,
    stage: Option<String>,
    reason: Option<String>,
    plan_hash: Option<String>,
    prediction: Option<serde_json::Value>,
    compliance_before: Option<serde_json::Value>,
    compliance_after: Option<serde_json::Value>,
    incident_id: Option<String>,
    max_hosts_down: i32,
    holds_vault_token: bool,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    revision: i64,
}

impl TryFrom<RawRun> for RunRow {
    type Error = ApiError;

    fn try_from(raw: RawRun) -> ApiResult<Self> {
        Ok(Self {
            id: RunId(raw.id),
            trigger: from_text(&raw.trigger)?,
            subject: from_text(&raw.subject)?,
            policy_id: raw.policy_id.map(PolicyId::new).transpose().map_err(ApiError::internal)?,
            advisory: raw.advisory,
            selector: optional(raw.selector)?,
            strategy: raw.strategy.as_deref().map(from_text).transpose()?,
            dry_run: raw.dry_run,
            emergency: raw.emergency,
            of_run: raw.of_run.map(RunId),
            scheduled_for: raw.scheduled_for,
            requested_by: raw.requested_by,
            editors: raw.editors,
            pre_approval: optional(raw.pre_approval)?,
            policy: serde_json::from_value(raw.policy)?,
            machine: serde_json::from_value(raw.machine)?,
            state: from_text(&raw.state)?,
            stage: raw.stage.as_deref().map(from_text).transpose()?,
            reason: raw.reason,
            plan_hash: raw.plan_hash.map(PlanHash::try_from).transpose().map_err(ApiError::internal)?,
            prediction: optional(raw.prediction)?,
            compliance_before: optional(raw.compliance_before)?,
            compliance_after: optional(raw.compliance_after)?,
            incident_id: raw.incident_id,
            max_hosts_down: raw.max_hosts_down,
            holds_vault_token: raw.holds_vault_token,
            created_at: raw.created_at,
            started_at: raw.started_at,
            ended_at: raw.ended_at,
            revision: raw.revision,
        })
    }
}

fn optional<T: DeserializeOwned>(value: Option<serde_json::Value>) -> ApiResult<Option<T>> {
    Ok(value.map(serde_json::from_value).transpose()?)
}

/// Stores a new run. `false` if its slot of the schedule already has a run.
pub async fn insert_run(conn: &mut PgConnection, run: &RunRow) -> ApiResult<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO patch.runs (id, trigger, subject, policy_id, advisory, selector, strategy, dry_run, emergency, of_run,
             scheduled_for, requested_by, policy, machine, state, stage, deadline, change_id, created_at,
             holds_vault_token, editors, pre_approval)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
         ON CONFLICT (policy_id, scheduled_for) DO NOTHING",
        run.id.0,
        to_text(&run.trigger)?,
        to_text(&run.subject)?,
        run.policy_id.as_ref().map(PolicyId::as_str),
        run.advisory,
        run.selector.as_ref().map(serde_json::to_value).transpose()?,
        run.strategy.map(Strategy::name),
        run.dry_run,
        run.emergency,
        run.of_run.map(|run| run.0),
        run.scheduled_for,
        run.requested_by,
        serde_json::to_value(&run.policy)?,
        serde_json::to_value(&run.machine)?,
        run.machine.state().name(),
        run.machine.stage().map(|stage| to_text(&stage)).transpose()?,
        run.machine.deadline,
        run.machine.change_id.as_ref().map(ChangeId::as_str),
        run.created_at,
        run.holds_vault_token,
        &run.editors,
        run.pre_approval.as_ref().map(serde_json::to_value).transpose()?,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn find_run(conn: &mut PgConnection, id: RunId) -> ApiResult<Option<RunRow>> {
    let raw = sqlx::query_as!(
        RawRun,
        "SELECT id, trigger, subject, policy_id, advisory, selector, strategy, dry_run, emergency, of_run, scheduled_for,
             requested_by, editors, policy, pre_approval, machine, state, stage, reason, plan_hash, prediction, compliance_before,
             compliance_after, incident_id, max_hosts_down, holds_vault_token, created_at, started_at, ended_at, revision
         FROM patch.runs WHERE id = $1",
        id.0
    )
    .fetch_optional(conn)
    .await?;
    raw.map(RunRow::try_from).transpose()
}

pub async fn get_run(conn: &mut PgConnection, id: RunId) -> ApiResult<RunRow> {
    find_run(conn, id).await?.ok_or_else(|| ApiError::not_found(format!("run `{id}`")))
}

/// The state machine of a run, without its hosts.
pub async fn get_machine(conn: &mut PgConnection, id: RunId) -> ApiResult<Run> {
    let machine = sqlx::query_scalar!("SELECT machine FROM patch.runs WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("run `{id}`")))?;
    Ok(serde_json::from_value(machine)?)
}

/// Locks the row of a run, so that it does not change until the commit.
pub async fn lock_run(conn: &mut PgConnection, id: RunId) -> ApiResult<()> {
    sqlx::query!("SELECT id FROM patch.runs WHERE id = $1 FOR NO KEY UPDATE", id.0)
        .fetch_optional(conn)
        .await?
        .map(drop)
        .ok_or_else(|| ApiError::not_found(format!("run `{id}`")))
}

/// The filter of a list of runs.
#[derive(Debug, Default)]
pub struct RunFilter {
    pub policy_id: Option<String>,
    pub state: Option<String>,
    pub advisory: Option<String>,
    /// Only runs that have not ended, or only those that have.
    pub open: Option<bool>,
}

/// Runs, newest first, after the run with id `after`.
pub async fn list_runs(
    conn: &mut PgConnection,
    filter: &RunFilter,
    after: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<RunRow>> {
    let rows = sqlx::query_as!(
        RawRun,
        "SELECT id, trigger, subject, policy_id, advisory, selector, strategy, dry_run, emergency, of_run, scheduled_for,
             requested_by, editors, policy, pre_approval, machine, state, stage, reason, plan_hash, prediction, compliance_before,
             compliance_after, incident_id, max_hosts_down, holds_vault_token, created_at, started_at, ended_at, revision
         FROM patch.runs
         WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR policy_id = $2)
             AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR advisory = $4)
             AND ($5::boolean IS NULL OR (ended_at IS NULL) = $5)
         ORDER BY id DESC LIMIT $6",
        after,
        filter.policy_id,
        filter.state,
        filter.advisory,
        filter.open,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(RunRow::try_from).collect()
}

/// Stores the state machine and the columns derived from it. Returns the new revision.
pub async fn update_machine(
    conn: &mut PgConnection,
    id: RunId,
    machine: &Run,
    now: DateTime<Utc>,
) -> ApiResult<i64> {
    let state = machine.state();
    let reason = machine.paused.as_ref().map(|pause| pause.reason.as_str());
    let reason = reason
        .or(machine.stop.as_ref().map(|stop| stop.reason()))
        .or(machine.hold().map(|hold| hold.reason.as_str()));
    let down = machine.hosts.values().filter(|host| host.state.may_be_down()).count();
    sqlx::query_scalar!(
        "UPDATE patch.runs SET revision = revision + 1, machine = $2, state = $3, stage = coalesce($4, stage), reason = $5, deadline = $6,
             change_id = $7, max_hosts_down = greatest(max_hosts_down, $8),
             started_at = CASE WHEN $3 = 'executing' THEN coalesce(started_at, $9) ELSE started_at END,
             ended_at = CASE WHEN $10 THEN $9 END
         WHERE id = $1 RETURNING revision",
        id.0,
        serde_json::to_value(machine)?,
        state.name(),
        machine.stage().map(|stage| to_text(&stage)).transpose()?,
        reason,
        machine.deadline,
        machine.change_id.as_ref().map(ChangeId::as_str),
        i32::try_from(down).unwrap_or(i32::MAX),
        now,
        state.is_final(),
    )
    .fetch_optional(conn)
    .await?
    .ok_or_else(|| ApiError::not_found(format!("run `{id}`")))
}

/// How often the run's state machine has changed.
pub async fn get_revision(conn: &mut PgConnection, id: RunId) -> ApiResult<i64> {
    sqlx::query_scalar!("SELECT revision FROM patch.runs WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("run `{id}`")))
}

/// The result of PLAN.
pub struct Planned<'a> {
    pub plan: &'a Arc<Plan>,
    pub prediction: Option<&'a Forecast>,
    pub compliance_before: ComplianceShare,
}

/// Stores the plan of a run, once.
pub async fn insert_plan(
    conn: &mut PgConnection,
    id: RunId,
    planned: &Planned<'_>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let plan = Arc::clone(planned.plan);
    // The plan of thousands of hosts is too much work for a thread that serves others.
    let written = spawn_blocking(move || (plan.hash(), serde_json::to_string(&*plan)));
    let (hash, text) = written.await.map_err(ApiError::internal)?;
    sqlx::query!(
        "INSERT INTO patch.plans (run_id, hash, plan, created_at) VALUES ($1, $2, $3::text::jsonb, $4)",
        id.0,
        hash.as_str(),
        text?,
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE patch.runs SET plan_hash = $2, prediction = $3, compliance_before = $4, strategy = $5 WHERE id = $1",
        id.0,
        hash.as_str(),
        planned.prediction.map(serde_json::to_value).transpose()?,
        serde_json::to_value(planned.compliance_before)?,
        planned.plan.strategy.name(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn find_plan(conn: &mut PgConnection, id: RunId) -> ApiResult<Option<Plan>> {
    let found =
        sqlx::query_scalar!(r#"SELECT plan::text AS "plan!" FROM patch.plans WHERE run_id = $1"#, id.0)
            .fetch_optional(conn)
            .await?;
    let Some(text) = found else { return Ok(None) };
    let plan = spawn_blocking(move || serde_json::from_str(&text)).await.map_err(ApiError::internal)?;
    Ok(Some(plan?))
}

pub async fn update_results(
    conn: &mut PgConnection,
    id: RunId,
    compliance_after: Option<ComplianceShare>,
    incident_id: Option<&str>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.runs SET compliance_after = coalesce($2, compliance_after), incident_id = coalesce($3, incident_id)
         WHERE id = $1",
        id.0,
        compliance_after.map(serde_json::to_value).transpose()?,
        incident_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The hosts of a run as its state machine knows them.
pub async fn list_machine_hosts(conn: &mut PgConnection, id: RunId) -> ApiResult<BTreeMap<CiId, HostRun>> {
    let rows = sqlx::query!(
        r#"SELECT ci_id, state, attempts, snapshot_id, error, failed_step,
               coalesce(update_begun, attempts > 0) AS "update_begun!"
           FROM patch.run_hosts WHERE run_id = $1"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    let mut hosts = BTreeMap::new();
    for row in rows {
        let host = HostRun {
            state: from_text(&row.state)?,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            snapshot: row.snapshot_id,
            update_begun: row.update_begun,
            error: row.error,
            failed_step: row.failed_step.as_deref().map(from_text).transpose()?,
        };
        hosts.insert(CiId::new(row.ci_id).map_err(ApiError::internal)?, host);
    }
    Ok(hosts)
}

/// Stores the hosts that changed, in one statement.
pub async fn upsert_machine_hosts(
    conn: &mut PgConnection,
    id: RunId,
    hosts: &[(&CiId, &HostRun, Option<i32>)],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let ids: Vec<String> = hosts.iter().map(|(ci, ..)| ci.to_string()).collect();
    let waves: Vec<Option<i32>> = hosts.iter().map(|(.., wave)| *wave).collect();
    let states: Vec<String> = hosts.iter().map(|(_, host, _)| host.state.name().to_owned()).collect();
    let attempts: Vec<i32> =
        hosts.iter().map(|(_, host, _)| i32::try_from(host.attempts).unwrap_or(i32::MAX)).collect();
    let snapshots: Vec<Option<Uuid>> = hosts.iter().map(|(_, host, _)| host.snapshot).collect();
    let errors: Vec<Option<String>> = hosts.iter().map(|(_, host, _)| host.error.clone()).collect();
    let failed_steps: Vec<Option<String>> =
        hosts.iter().map(|(_, host, _)| host.failed_step.map(|step| step.name().to_owned())).collect();
    let begun: Vec<bool> = hosts.iter().map(|(_, host, _)| host.update_begun).collect();
    let finals: Vec<bool> = hosts.iter().map(|(_, host, _)| host.state.is_final()).collect();
    sqlx::query!(
        r#"INSERT INTO patch.run_hosts AS existing (run_id, ci_id, wave, state, attempts, snapshot_id, error, failed_step, started_at, ended_at,
             update_begun)
         SELECT $1, ci_id, wave, state, attempts, snapshot_id, error, failed_step,
             CASE WHEN attempts > 0 THEN $9::timestamptz END, CASE WHEN final THEN $9::timestamptz END, update_begun
         FROM unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::uuid[], $7::text[], $8::boolean[], $10::text[], $11::boolean[])
             AS given (ci_id, wave, state, attempts, snapshot_id, error, final, failed_step, update_begun)
         ON CONFLICT (run_id, ci_id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
             snapshot_id = excluded.snapshot_id, error = excluded.error, failed_step = excluded.failed_step,
             started_at = coalesce(existing.started_at, excluded.started_at), ended_at = excluded.ended_at,
             update_begun = excluded.update_begun"#,
        id.0,
        &ids,
        waves.as_slice() as &[Option<i32>],
        &states,
        &attempts,
        snapshots.as_slice() as &[Option<Uuid>],
        errors.as_slice() as &[Option<String>],
        &finals,
        now,
        failed_steps.as_slice() as &[Option<String>],
        &begun,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a run has ended; an error if it does not exist.
pub async fn has_ended(conn: &mut PgConnection, id: RunId) -> ApiResult<bool> {
    sqlx::query_scalar!("SELECT ended_at IS NOT NULL AS \"ended!\" FROM patch.runs WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("run `{id}`")))
}

/// Those of these runs that ended before `before` or do not exist.
pub async fn list_ended(
    conn: &mut PgConnection,
    runs: &[RunId],
    before: DateTime<Utc>,
) -> ApiResult<Vec<RunId>> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
    let ended = sqlx::query_scalar!(
        r#"SELECT given.id AS "id!" FROM unnest($1::uuid[]) AS given (id) LEFT JOIN patch.runs runs USING (id)
           WHERE runs.id IS NULL OR runs.ended_at < $2"#,
        &ids,
        before
    )
    .fetch_all(conn)
    .await?;
    Ok(ended.into_iter().map(RunId).collect())
}
