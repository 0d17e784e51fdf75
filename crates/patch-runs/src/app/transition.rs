//! One event, one transaction: the run's new state, its hosts, its evidence, its events and its audit record.

use std::collections::BTreeMap;

use api_types::patch::{ComplianceShare, Forecast};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    plan_diff::PlanDrift,
    run::{Event, Pending, Refused, Run, TestPhase},
};
use leases::{Lease, LeaseError};
use serde_json::json;
use service_kit::{ApiError, ApiResult, Caller, audit, problem_types};
use sqlx::{PgConnection, Postgres, Transaction};

use super::{notices, run_changes};
use crate::{
    App, SERVICE,
    store::{
        self,
        host_steps::{self, StepRecord},
        predictions, run_diffs,
        run_records::{self, HostFacts, SubjectEvent, TestRecord},
        runs::{self, Planned, RunRow},
    },
};

/// The plan, with its forecast and the compliance at that time.
#[derive(Debug, Clone)]
pub struct PlanEvidence {
    pub plan: Plan,
    /// The forecast and its wire form; only for plans of hosts.
    pub forecast: Option<(simulator::Forecast, Forecast)>,
    pub compliance_before: ComplianceShare,
}

/// Log lines of a run; with a CI if a line is about one.
pub type LogLines = Vec<(Option<CiId>, String)>;

/// What is stored with an event in addition to the state machine, in the same transaction.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub plan: Option<PlanEvidence>,
    /// The approved plan compared with the one made before the work.
    pub drift: Option<PlanDrift>,
    /// What happened, to score the prediction.
    pub actual: Option<simulator::Actual>,
    /// Steps of hosts that started or ended.
    pub steps: Vec<StepRecord>,
    pub host_facts: Vec<(CiId, HostFacts)>,
    pub boot_ids: Vec<(CiId, String)>,
    /// Hosts that were rolled back: what was changed on them is undone.
    pub restored: Vec<CiId>,
    pub tests: Option<(TestPhase, Vec<TestRecord>)>,
    pub compliance_after: Option<ComplianceShare>,
    pub incident_id: Option<String>,
    pub log: LogLines,
    pub subject_events: Vec<SubjectEvent>,
}

impl Evidence {
    pub fn logged(text: impl Into<String>) -> Self {
        Self { log: vec![(None, text.into())], ..Self::default() }
    }
}

/// A run with its hosts and its plan.
#[derive(Debug, Clone)]
pub struct LoadedRun {
    pub row: RunRow,
    pub plan: Option<Plan>,
}

#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// The state machine refused the event; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another process owns the run now.
    #[error("another process owns the run")]
    Lost,
    #[error(transparent)]
    Failed(#[from] ApiError),
}

impl From<LeaseError> for TransitionError {
    fn from(error: LeaseError) -> Self {
        if error.is_lost() { Self::Lost } else { Self::Failed(unchecked_lease(error)) }
    }
}

impl From<sqlx::Error> for TransitionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads a run with everything its state machine needs.
pub async fn load(conn: &mut PgConnection, id: RunId) -> ApiResult<LoadedRun> {
    let mut row = runs::get_run(&mut *conn, id).await?;
    row.machine.hosts = runs::list_machine_hosts(&mut *conn, id).await?;
    let plan = runs::find_plan(conn, id).await?;
    Ok(LoadedRun { row, plan })
}

/// Applies an event as the owner of the run. With a stale epoch nothing changes.
pub async fn apply_as_owner(
    app: &App,
    lease: &Lease,
    event: Event,
    evidence: Evidence,
) -> Result<Run, TransitionError> {
    let mut transaction = lease.begin().await?;
    let caller = Caller::internal(SERVICE, "service:patch-manager");
    let run = apply(app, &mut transaction, RunId(*lease.key()), event, evidence, &caller).await?;
    transaction.commit().await?;
    Ok(run)
}

/// Begins a transaction as the owner of the run. If that fails, the process that owns the run later repeats the work.
pub async fn begin_as_owner(lease: &Lease) -> ApiResult<Transaction<'static, Postgres>> {
    lease.begin().await.map_err(unchecked_lease)
}

fn unchecked_lease(error: LeaseError) -> ApiError {
    ApiError::new(problem_types::LEASE, "cannot check the lease").with_source(error)
}

/// Stores evidence without an event, as the owner of the run.
pub async fn store_as_owner(app: &App, lease: &Lease, evidence: &Evidence) -> ApiResult<()> {
    let mut transaction = begin_as_owner(lease).await?;
    let id = RunId(*lease.key());
    save_evidence(&mut transaction, id, evidence, app.clock.now()).await?;
    if !evidence.steps.is_empty() {
        let row = runs::get_run(&mut transaction, id).await?;
        let due = notices::for_transition(app, &row, &row.machine, evidence);
        store::notices::insert_notices(&mut transaction, &due, app.clock.now()).await?;
    }
    leases::notify(&mut transaction, run_changes::CHANNEL, &id.to_string()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Applies an event in a transaction that has locked the run.
pub async fn apply(
    app: &App,
    conn: &mut PgConnection,
    id: RunId,
    event: Event,
    evidence: Evidence,
    caller: &Caller,
) -> Result<Run, TransitionError> {
    let now = app.clock.now();
    let LoadedRun { row, plan } = load(&mut *conn, id).await?;
    let before = &row.machine;
    let mut run = before.clone();
    let plan = evidence.plan.as_ref().map(|made| &made.plan).or(plan.as_ref());
    let answered = match &event {
        Event::Answered { step, answer } => Some((*step, answer.clone())),
        _ => None,
    };
    run.apply(plan, event, now)?;
    if let Some(made) = &evidence.plan {
        let planned = Planned {
            plan: &made.plan,
            prediction: made.forecast.as_ref().map(|(_, shown)| shown),
            compliance_before: made.compliance_before,
        };
        runs::insert_plan(&mut *conn, id, &planned, now).await?;
        if let Some((forecast, shown)) = &made.forecast {
            predictions::insert_prediction(&mut *conn, id, forecast, shown.observations, now).await?;
        }
    }
    runs::update_machine(&mut *conn, id, &run, now).await?;
    save_hosts(&mut *conn, id, before, &run, plan, now).await?;
    if let Some((step, answer)) = &answered {
        run_records::end_action(&mut *conn, id, *step, answer, now).await?;
    }
    if let Some(pending) = newly_pending(before, &run) {
        run_records::insert_action(&mut *conn, id, pending).await?;
    }
    save_evidence(&mut *conn, id, &evidence, now).await?;
    publish(&mut *conn, id, before, &run, caller, now).await?;
    let due = notices::for_transition(app, &row, &run, &evidence);
    store::notices::insert_notices(&mut *conn, &due, now).await?;
    if run.state().is_final() {
        run_records::unlock_all(&mut *conn, id).await?;
    }
    leases::notify(conn, run_changes::CHANNEL, &id.to_string()).await?;
    Ok(run)
}

fn newly_pending<'a>(before: &Run, after: &'a Run) -> Option<&'a Pending> {
    after
        .pending
        .as_ref()
        .filter(|pending| before.pending.as_ref().is_none_or(|old| old.step != pending.step))
}

async fn save_hosts(
    conn: &mut PgConnection,
    id: RunId,
    before: &Run,
    after: &Run,
    plan: Option<&Plan>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let is_new = before.hosts.is_empty();
    let waves: BTreeMap<&CiId, i32> = match plan.filter(|_| is_new) {
        Some(plan) => plan
            .waves
            .iter()
            .zip(0..)
            .flat_map(|(wave, index)| wave.hosts.iter().map(move |host| (host, index)))
            .collect(),
        None => BTreeMap::new(),
    };
    let changed: Vec<_> = after
        .hosts
        .iter()
        .filter(|(host, run)| before.hosts.get(*host) != Some(*run))
        .map(|(host, run)| (host, run, waves.get(host).copied()))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    runs::upsert_machine_hosts(conn, id, &changed, now).await
}

async fn save_evidence(
    conn: &mut PgConnection,
    id: RunId,
    evidence: &Evidence,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if let Some(drift) = &evidence.drift {
        run_diffs::upsert_run_diff(&mut *conn, id, drift, now).await?;
    }
    for (host, boot_id) in &evidence.boot_ids {
        run_records::keep_boot_id(&mut *conn, id, host, boot_id).await?;
    }
    for record in &evidence.steps {
        host_steps::upsert_host_step(&mut *conn, id, record, now).await?;
        let data = json!({ "ci_id": record.host, "step": record.step, "state": record.state,
            "attempt": record.attempt, "tries": record.tries, "detail": record.detail });
        let host = Some(record.host.as_str());
        run_records::insert_event(&mut *conn, id, "patch.host.step_changed.v1", host, &data, now).await?;
    }
    for (host, facts) in &evidence.host_facts {
        run_records::update_host_facts(&mut *conn, id, host, facts).await?;
    }
    for host in &evidence.restored {
        run_records::clear_host_facts(&mut *conn, id, host).await?;
    }
    if let Some((phase, results)) = &evidence.tests {
        run_records::upsert_tests(&mut *conn, id, *phase, results).await?;
    }
    if evidence.compliance_after.is_some() || evidence.incident_id.is_some() {
        runs::update_results(&mut *conn, id, evidence.compliance_after, evidence.incident_id.as_deref())
            .await?;
    }
    if let Some(actual) = evidence.actual {
        predictions::record_actual(&mut *conn, id, actual, now).await?;
    }
    for (host, text) in &evidence.log {
        log(&mut *conn, id, host.as_ref(), text, now).await?;
    }
    for event in &evidence.subject_events {
        run_records::insert_subject_event(&mut *conn, id, event, now).await?;
    }
    Ok(())
}

/// Writes a line of the run's log and publishes it.
async fn log(
    conn: &mut PgConnection,
    id: RunId,
    host: Option<&CiId>,
    text: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if !run_records::insert_log(&mut *conn, id, host, text, now).await? {
        return Ok(());
    }
    let data = json!({ "text": text, "ci_id": host });
    run_records::insert_event(conn, id, "patch.run.log.v1", host.map(CiId::as_str), &data, now).await
}

/// Publishes and audits what changed.
async fn publish(
    conn: &mut PgConnection,
    id: RunId,
    before: &Run,
    after: &Run,
    caller: &Caller,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for (host, run) in after
        .hosts
        .iter()
        .filter(|(host, run)| before.hosts.get(*host).map(|old| old.state) != Some(run.state))
    {
        let data = json!({ "ci_id": host, "state": run.state, "attempts": run.attempts, "error": run.error });
        run_records::insert_event(
            &mut *conn,
            id,
            "patch.host.state_changed.v1",
            Some(host.as_str()),
            &data,
            now,
        )
        .await?;
    }
    let shown = |run: &Run| json!({ "state": run.state(), "stage": run.stage(), "wave": run.wave, "reason": reason(run) });
    if shown(before) == shown(after) {
        return Ok(());
    }
    run_records::insert_event(&mut *conn, id, "patch.run.state_changed.v1", None, &shown(after), now).await?;
    let record =
        audit::Record::new("run_state", format!("run/{id}")).before(&shown(before)).after(&shown(after));
    audit::record(conn, caller, record.reason(reason(after))).await
}

fn reason(run: &Run) -> Option<&str> {
    let paused = run.paused.as_ref().map(|pause| pause.reason.as_str());
    paused.or(run.stop.as_ref().map(|stop| stop.reason())).or(run.hold().map(|hold| hold.reason.as_str()))
}
