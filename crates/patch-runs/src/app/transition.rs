//! One event, one transaction: the run's new state, its hosts, its evidence, its events and its audit record.

use std::{collections::BTreeMap, sync::Arc};

use api_types::patch::{ComplianceShare, Forecast};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    plan_diff::PlanDrift,
    run::{Answer, Event, HostRun, Pending, Refused, Run, Stage, TestPhase},
};
use serde_json::json;
use service_kit::{ApiError, ApiResult, Caller, audit};
use sqlx::PgConnection;

use super::{notices, run_changes};
use crate::{
    App,
    store::{
        self,
        host_steps::{self, StepRecord},
        predictions, run_diffs,
        run_records::{self, HostFacts, RUN_STATE_CHANGED, RunEvent, SubjectEvent, TestRecord},
        runs::{self, Planned, RunRow},
        subject_locks,
    },
};

/// The plan, with its forecast and the compliance at that time.
#[derive(Debug, Clone)]
pub struct PlanEvidence {
    pub plan: Arc<Plan>,
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

impl Evidence {
    fn append(&mut self, more: Self) {
        self.plan = more.plan.or(self.plan.take());
        self.drift = more.drift.or(self.drift.take());
        self.actual = more.actual.or(self.actual);
        self.steps.extend(more.steps);
        self.host_facts.extend(more.host_facts);
        self.boot_ids.extend(more.boot_ids);
        self.restored.extend(more.restored);
        self.tests = more.tests.or(self.tests.take());
        self.compliance_after = more.compliance_after.or(self.compliance_after);
        self.incident_id = more.incident_id.or(self.incident_id.take());
        self.log.extend(more.log);
        self.subject_events.extend(more.subject_events);
    }
}

/// One thing that happened to a run: an event of its state machine, what is stored about it, or both.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub event: Option<Event>,
    pub evidence: Evidence,
}

/// A run with its hosts and its plan.
#[derive(Debug, Clone)]
pub struct LoadedRun {
    pub row: RunRow,
    pub plan: Option<Arc<Plan>>,
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

impl From<sqlx::Error> for TransitionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads a run with everything its state machine needs.
pub(super) async fn load(conn: &mut PgConnection, id: RunId) -> ApiResult<LoadedRun> {
    let row = runs::get_run(&mut *conn, id).await?;
    load_hosts(conn, row).await
}

/// Reads what a run has for each of its hosts.
pub(super) async fn load_hosts(conn: &mut PgConnection, mut row: RunRow) -> ApiResult<LoadedRun> {
    row.machine.hosts = runs::list_machine_hosts(&mut *conn, row.id).await?;
    let plan = runs::find_plan(conn, row.id).await?.map(Arc::new);
    Ok(LoadedRun { row, plan })
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
    let mut loaded = load(&mut *conn, id).await?;
    let report = Report { event: Some(event), evidence };
    match apply_all(app, conn, &mut loaded, vec![report], caller).await? {
        Some(refused) => Err(refused.into()),
        None => Ok(loaded.row.machine),
    }
}

/// Applies reports in their order, in a transaction that has locked the run. After an error, neither the transaction nor
/// `loaded` may be used any more. Returns why the last of the refused events was refused: nothing of its report is stored, and
/// the others are valid.
pub(super) async fn apply_all(
    app: &App,
    conn: &mut PgConnection,
    loaded: &mut LoadedRun,
    reports: Vec<Report>,
    caller: &Caller,
) -> ApiResult<Option<Refused>> {
    let now = app.clock.now();
    let Played { evidence, mut changes, refused } = play(loaded, reports, now);
    let LoadedRun { row, plan } = loaded;
    let id = row.id;
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
    if changes.is_played {
        row.revision = runs::update_machine(&mut *conn, id, &row.machine, now).await?;
        save_hosts(&mut *conn, row, &changes, plan.as_deref(), now).await?;
    }
    for (step, answer) in &changes.answered {
        run_records::end_action(&mut *conn, id, *step, answer, now).await?;
    }
    for pending in &changes.asked {
        run_records::insert_action(&mut *conn, id, pending).await?;
    }
    save_evidence(&mut *conn, id, &evidence, std::mem::take(&mut changes.events), now).await?;
    for change in &changes.states {
        let record = audit::Record::new("run_state", format!("run/{id}"));
        let record = record.before(&change.before).after(&change.after).reason(change.reason.as_deref());
        audit::record(&mut *conn, caller, record).await?;
    }
    let due = notices::for_transition(app, row, &changes, &evidence);
    store::notices::insert_notices(&mut *conn, &due, now).await?;
    if row.machine.state().is_final() {
        subject_locks::unlock_all(&mut *conn, id).await?;
    }
    leases::notify(conn, run_changes::CHANNEL, &id.to_string()).await?;
    Ok(refused)
}

/// What reports did to a run, before any of it is stored.
struct Played {
    /// That of all reports that were not refused.
    evidence: Evidence,
    changes: Changes,
    refused: Option<Refused>,
}

/// What the events changed, and what is recorded, audited and published of it.
pub(super) struct Changes {
    pub stage_before: Option<Stage>,
    pub was_stopping: bool,
    /// The hosts that changed, as they were before; `None` for a host that the run did not have.
    pub hosts_before: BTreeMap<CiId, Option<HostRun>>,
    had_hosts: bool,
    /// At least one event was accepted.
    is_played: bool,
    answered: Vec<(u64, Answer)>,
    asked: Vec<Pending>,
    events: Vec<RunEvent>,
    states: Vec<StateChange>,
}

/// A change of what a run shows of itself.
struct StateChange {
    before: serde_json::Value,
    after: serde_json::Value,
    reason: Option<String>,
}

fn play(loaded: &mut LoadedRun, reports: Vec<Report>, now: DateTime<Utc>) -> Played {
    let run = &mut loaded.row.machine;
    let mut played = Played { evidence: Evidence::default(), changes: Changes::before(run), refused: None };
    for Report { event, evidence } in reports {
        let plan = evidence.plan.as_ref().map(|made| made.plan.clone()).or(loaded.plan.clone());
        let accepted = match event {
            Some(event) => played.changes.accept(run, plan.as_deref(), event, &evidence.steps, now),
            None => {
                played.changes.events.extend(evidence.steps.iter().map(step_changed));
                Ok(())
            }
        };
        match accepted {
            Ok(()) => {
                loaded.plan = plan;
                played.evidence.append(evidence);
            }
            Err(refused) => played.refused = Some(refused),
        }
    }
    played
}

impl Changes {
    fn before(run: &Run) -> Self {
        Self {
            stage_before: run.stage(),
            was_stopping: run.stop.is_some(),
            hosts_before: BTreeMap::new(),
            had_hosts: !run.hosts.is_empty(),
            is_played: false,
            answered: Vec::new(),
            asked: Vec::new(),
            events: Vec::new(),
            states: Vec::new(),
        }
    }

    /// Applies an event and notes what it changes. A refused event changes nothing.
    fn accept(
        &mut self,
        run: &mut Run,
        plan: Option<&Plan>,
        event: Event,
        steps: &[StepRecord],
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        let answered = match &event {
            Event::Answered { step, answer } => Some((*step, answer.clone())),
            _ => None,
        };
        let hosts_before = HostsBefore::of(run, &event);
        let (state_before, step_before) = (shown(run), run.pending.as_ref().map(|pending| pending.step));
        run.apply(plan, event, now)?;
        self.is_played = true;
        self.answered.extend(answered);
        self.asked.extend(run.pending.clone().filter(|pending| Some(pending.step) != step_before));
        self.events.extend(steps.iter().map(step_changed));
        match hosts_before {
            HostsBefore::One(host, before) => {
                if let Some(after) = run.hosts.get(&host) {
                    self.note_host(&host, before, after);
                }
            }
            HostsBefore::All(mut before) => {
                for (host, after) in &run.hosts {
                    self.note_host(host, before.remove(host), after);
                }
            }
        }
        let state_after = shown(run);
        if state_before != state_after {
            let data = state_after.clone();
            self.events.push(RunEvent { event_type: RUN_STATE_CHANGED, subject: None, data });
            let reason = reason(run).map(str::to_owned);
            self.states.push(StateChange { before: state_before, after: state_after, reason });
        }
        Ok(())
    }

    fn note_host(&mut self, host: &CiId, before: Option<HostRun>, after: &HostRun) {
        if before.as_ref() == Some(after) {
            return;
        }
        if before.as_ref().map(|old| old.state) != Some(after.state) {
            self.events.push(host_state_changed(host, after));
        }
        self.hosts_before.entry(host.clone()).or_insert(before);
    }
}

/// The hosts that an event may change, before it.
enum HostsBefore {
    One(CiId, Option<HostRun>),
    All(BTreeMap<CiId, HostRun>),
}

impl HostsBefore {
    fn of(run: &Run, event: &Event) -> Self {
        match event {
            // Thousands of these come for one of the others.
            Event::HostProgressed { host, .. }
            | Event::HostFinished { host, .. }
            | Event::SkipHost { host, .. } => Self::One(host.clone(), run.hosts.get(host).cloned()),
            _ => Self::All(run.hosts.clone()),
        }
    }
}

fn host_state_changed(host: &CiId, run: &HostRun) -> RunEvent {
    let data = json!({ "ci_id": host, "state": run.state, "attempts": run.attempts, "error": run.error });
    RunEvent { event_type: "patch.host.state_changed.v1", subject: Some(host.to_string()), data }
}

fn step_changed(record: &StepRecord) -> RunEvent {
    let data = json!({ "ci_id": record.host, "step": record.step, "state": record.state,
        "attempt": record.attempt, "tries": record.tries, "detail": record.detail });
    RunEvent { event_type: "patch.host.step_changed.v1", subject: Some(record.host.to_string()), data }
}

fn shown(run: &Run) -> serde_json::Value {
    json!({ "state": run.state(), "stage": run.stage(), "wave": run.wave, "reason": reason(run) })
}

async fn save_hosts(
    conn: &mut PgConnection,
    row: &RunRow,
    changes: &Changes,
    plan: Option<&Plan>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let waves: BTreeMap<&CiId, i32> = match plan.filter(|_| !changes.had_hosts) {
        Some(plan) => plan
            .waves
            .iter()
            .zip(0..)
            .flat_map(|(wave, index)| wave.hosts.iter().map(move |host| (host, index)))
            .collect(),
        None => BTreeMap::new(),
    };
    let changed: Vec<_> = changes
        .hosts_before
        .keys()
        .filter_map(|host| Some((host, row.machine.hosts.get(host)?, waves.get(host).copied())))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    runs::upsert_machine_hosts(conn, row.id, &changed, now).await
}

async fn save_evidence(
    conn: &mut PgConnection,
    id: RunId,
    evidence: &Evidence,
    mut events: Vec<RunEvent>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if let Some(drift) = &evidence.drift {
        run_diffs::upsert_run_diff(&mut *conn, id, drift, now).await?;
    }
    if !evidence.boot_ids.is_empty() {
        run_records::keep_boot_ids(&mut *conn, id, &evidence.boot_ids).await?;
    }
    if !evidence.steps.is_empty() {
        host_steps::upsert_host_steps(&mut *conn, id, &evidence.steps, now).await?;
    }
    if !evidence.host_facts.is_empty() {
        run_records::update_host_facts(&mut *conn, id, &evidence.host_facts).await?;
    }
    if !evidence.restored.is_empty() {
        run_records::clear_host_facts(&mut *conn, id, &evidence.restored).await?;
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
    let lines = run_records::insert_log(&mut *conn, id, &evidence.log, now).await?;
    events.extend(lines.into_iter().map(|(host, text)| RunEvent {
        event_type: "patch.run.log.v1",
        data: json!({ "text": text, "ci_id": host }),
        subject: host.map(|host| host.to_string()),
    }));
    run_records::insert_events(&mut *conn, id, &events, now).await?;
    for event in &evidence.subject_events {
        run_records::insert_subject_event(&mut *conn, id, event, now).await?;
    }
    Ok(())
}

fn reason(run: &Run) -> Option<&str> {
    let paused = run.paused.as_ref().map(|pause| pause.reason.as_str());
    paused.or(run.stop.as_ref().map(|stop| stop.reason())).or(run.hold().map(|hold| hold.reason.as_str()))
}
