//! One event, one transaction: the run's new memory, its hosts, its evidence, its events and its audit record.

use std::collections::BTreeMap;

use api_types::patch::{ComplianceShare, Forecast};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
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
        predictions,
        run_records::{self, HostFacts, SubjectEvent, TestRecord},
        runs::{self, Planned, RunRow},
    },
};

/// The plan, with what was known and said when it was made.
#[derive(Debug, Clone)]
pub struct PlanEvidence {
    pub plan: Plan,
    /// What is expected of it, and the same as it is shown; of hosts alone.
    pub forecast: Option<(simulator::Forecast, Forecast)>,
    pub compliance_before: ComplianceShare,
}

/// What an event leaves beside the machine's own memory, written in the same transaction.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub plan: Option<PlanEvidence>,
    /// What came of the prediction.
    pub actual: Option<simulator::Actual>,
    /// Steps of hosts that began or ended.
    pub steps: Vec<StepRecord>,
    pub host_facts: Vec<(CiId, HostFacts)>,
    pub boot_ids: Vec<(CiId, String)>,
    /// Hosts back at their snapshots: what was changed on them is undone.
    pub restored: Vec<CiId>,
    pub tests: Option<(TestPhase, Vec<TestRecord>)>,
    pub compliance_after: Option<ComplianceShare>,
    pub incident_id: Option<String>,
    pub log: Vec<(Option<CiId>, String)>,
    pub subject_events: Vec<SubjectEvent>,
}

impl Evidence {
    pub fn logged(text: impl Into<String>) -> Self {
        Self { log: vec![(None, text.into())], ..Self::default() }
    }
}

/// A run with its hosts and its plan.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub row: RunRow,
    pub plan: Option<Plan>,
}

#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// The machine says no; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Somebody else has the run now.
    #[error("the run is in other hands")]
    Lost,
    #[error(transparent)]
    Failed(#[from] ApiError),
}

impl From<LeaseError> for TransitionError {
    fn from(error: LeaseError) -> Self {
        match error.is_lost() {
            true => Self::Lost,
            false => Self::Failed(
                ApiError::new(problem_types::LEASE, "the lease cannot be checked").with_source(error),
            ),
        }
    }
}

impl From<sqlx::Error> for TransitionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads a run with all that its machine needs.
pub async fn load(connection: &mut PgConnection, id: RunId) -> ApiResult<Loaded> {
    let mut row = runs::get_run(&mut *connection, id).await?;
    row.machine.hosts = runs::list_machine_hosts(&mut *connection, id).await?;
    let plan = runs::find_plan(connection, id).await?;
    Ok(Loaded { row, plan })
}

/// Applies an event as the run's owner: with a stale epoch nothing is changed.
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

/// Begins a transaction as the run's owner. When that cannot be, the work is done again later, by whoever owns the run then.
pub async fn begin_as_owner(lease: &Lease) -> ApiResult<Transaction<'static, Postgres>> {
    let unchecked = |error: LeaseError| {
        ApiError::new(problem_types::LEASE, "the lease cannot be checked").with_source(error)
    };
    lease.begin().await.map_err(unchecked)
}

/// Stores evidence that no event goes with, as the run's owner.
pub async fn store_as_owner(app: &App, lease: &Lease, evidence: &Evidence) -> ApiResult<()> {
    let mut transaction = begin_as_owner(lease).await?;
    let id = RunId(*lease.key());
    save_evidence(&mut transaction, id, evidence, app.clock.now()).await?;
    if !evidence.steps.is_empty() {
        let row = runs::get_run(&mut transaction, id).await?;
        let told = notices::of_transition(app, &row, &row.machine, evidence);
        store::notices::insert_notices(&mut transaction, &told, app.clock.now()).await?;
    }
    leases::notify(&mut transaction, run_changes::CHANNEL, &id.to_string()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Applies an event in a transaction that has locked the run.
pub async fn apply(
    app: &App,
    connection: &mut PgConnection,
    id: RunId,
    event: Event,
    evidence: Evidence,
    caller: &Caller,
) -> Result<Run, TransitionError> {
    let now = app.clock.now();
    let Loaded { row, plan } = load(&mut *connection, id).await?;
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
        runs::insert_plan(&mut *connection, id, &planned, now).await?;
        if let Some((forecast, shown)) = &made.forecast {
            predictions::insert_prediction(&mut *connection, id, forecast, shown.observations, now).await?;
        }
    }
    runs::update_machine(&mut *connection, id, &run, now).await?;
    save_hosts(&mut *connection, id, before, &run, plan, now).await?;
    if let Some((step, answer)) = &answered {
        run_records::end_step(&mut *connection, id, *step, answer, now).await?;
    }
    if let Some(pending) = newly_pending(before, &run) {
        run_records::insert_step(&mut *connection, id, pending).await?;
    }
    save_evidence(&mut *connection, id, &evidence, now).await?;
    publish(&mut *connection, id, before, &run, caller, now).await?;
    let told = notices::of_transition(app, &row, &run, &evidence);
    store::notices::insert_notices(&mut *connection, &told, now).await?;
    if run.state().is_final() {
        run_records::unlock_hosts(&mut *connection, id).await?;
    }
    leases::notify(connection, run_changes::CHANNEL, &id.to_string()).await?;
    Ok(run)
}

fn newly_pending<'a>(before: &Run, after: &'a Run) -> Option<&'a Pending> {
    after
        .pending
        .as_ref()
        .filter(|pending| before.pending.as_ref().is_none_or(|old| old.step != pending.step))
}

async fn save_hosts(
    connection: &mut PgConnection,
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
    runs::upsert_machine_hosts(connection, id, &changed, now).await
}

async fn save_evidence(
    connection: &mut PgConnection,
    id: RunId,
    evidence: &Evidence,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for (host, boot_id) in &evidence.boot_ids {
        run_records::keep_boot_id(&mut *connection, id, host, boot_id).await?;
    }
    for record in &evidence.steps {
        host_steps::upsert_host_step(&mut *connection, id, record, now).await?;
        let data = json!({ "ci_id": record.host, "step": record.step, "state": record.state,
            "attempt": record.attempt, "tries": record.tries, "detail": record.detail });
        let host = Some(record.host.as_str());
        run_records::insert_event(&mut *connection, id, "patch.host.step_changed.v1", host, &data, now)
            .await?;
    }
    for (host, facts) in &evidence.host_facts {
        run_records::update_host_facts(&mut *connection, id, host, facts).await?;
    }
    for host in &evidence.restored {
        run_records::clear_host_facts(&mut *connection, id, host).await?;
    }
    if let Some((phase, results)) = &evidence.tests {
        run_records::upsert_tests(&mut *connection, id, *phase, results).await?;
    }
    if evidence.compliance_after.is_some() || evidence.incident_id.is_some() {
        runs::update_outcome(
            &mut *connection,
            id,
            evidence.compliance_after,
            evidence.incident_id.as_deref(),
        )
        .await?;
    }
    if let Some(actual) = evidence.actual {
        predictions::record_outcome(&mut *connection, id, actual, now).await?;
    }
    for (host, text) in &evidence.log {
        log(&mut *connection, id, host.as_ref(), text, now).await?;
    }
    for event in &evidence.subject_events {
        run_records::insert_subject_event(&mut *connection, id, event, now).await?;
    }
    Ok(())
}

/// Writes a line of the run's log and publishes it.
async fn log(
    connection: &mut PgConnection,
    id: RunId,
    host: Option<&CiId>,
    text: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if !run_records::insert_log(&mut *connection, id, host, text, now).await? {
        return Ok(());
    }
    let data = json!({ "text": text, "ci_id": host });
    run_records::insert_event(connection, id, "patch.run.log.v1", host.map(CiId::as_str), &data, now).await
}

/// Publishes and audits what changed.
async fn publish(
    connection: &mut PgConnection,
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
            &mut *connection,
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
    run_records::insert_event(&mut *connection, id, "patch.run.state_changed.v1", None, &shown(after), now)
        .await?;
    let record =
        audit::Record::new("run_state", format!("run/{id}")).before(&shown(before)).after(&shown(after));
    audit::record(connection, caller, record.reason(reason(after))).await
}

fn reason(run: &Run) -> Option<&str> {
    run.paused.as_ref().map(|pause| pause.reason.as_str()).or(run.stop.as_ref().map(|stop| stop.reason()))
}
