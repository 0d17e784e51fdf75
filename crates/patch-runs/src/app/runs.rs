//! Starts runs, applies the orders of operators, and reports what runs did.

use std::fmt;

use ansible::Secret;
use api_types::page::Page;
use api_types::patch::{
    Actual, ChangedPackage, HostCounts, HostStatus, RunDetail, RunReport, RunSnapshot, RunSummary,
    RunTrigger, RunWait, StageReport, StartRun, StoredPolicy,
};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Subject,
    run::{Event, Outcome, Pending, Progress, Refused, Rules, Run, RunState, Stop},
    selector::Selector,
};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{installation, left_out::left_out, plans, run_parts, system_patch, work::Work};
use super::{
    run_changes,
    transition::{self, Evidence, TransitionError},
};
use crate::{
    App,
    store::{
        run_hosts,
        run_records::{self, RUN_STATE_CHANGED, RunEvent},
        runs::{self, RunRow},
        snapshots,
    },
    vault::token_file,
};
use patch_compliance::app::policies;

pub(crate) use crate::store::runs::RunFilter;

/// What a run starts from, in addition to the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub of_run: Option<RunId>,
    pub scheduled_for: Option<DateTime<Utc>>,
    /// What the earlier run did, if it is not done by a stored policy.
    pub work: Option<Work>,
}

/// Stores a new run. A process that claims it performs it.
pub(crate) async fn start_run(
    app: &App,
    caller: &Caller,
    request: &StartRun,
    key: &IdempotencyKey,
) -> ApiResult<RunSummary> {
    let trigger = if request.advisory.is_some() { RunTrigger::Advisory } else { RunTrigger::Manual };
    start(app, caller, request, key, trigger, Origin::default()).await
}

/// Starts a run, once for each idempotency key of a caller.
pub(super) async fn start(
    app: &App,
    caller: &Caller,
    request: &StartRun,
    key: &IdempotencyKey,
    trigger: RunTrigger,
    origin: Origin,
) -> ApiResult<RunSummary> {
    if let Some(input) = &request.input {
        system_patch::check(app, request, input)?;
    }
    let (request, token) = without_token(request.clone());
    let selector = match &request.input {
        Some(input) => Some(system_patch::select(app, input).await?),
        None => request.selector.clone(),
    };
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "start_run", key, &request).await? {
        Begun::Replay(summary) => return Ok(summary),
        Begun::New(ticket) => ticket,
    };
    let request = StartRun { selector, ..request };
    let mut work = match origin.work.clone() {
        Some(work) => work,
        None => work_of(&mut transaction, &request).await?,
    };
    if let Some(input) = &request.input {
        system_patch::refuse_wrong_approvers(&mut transaction, caller, input, &work.editors).await?;
        work.policy = system_patch::apply(input, work.policy);
    }
    let mut row = new_run(app, caller, &request, work, trigger, &origin);
    row.holds_vault_token = token.is_some();
    insert(&mut transaction, caller, &row).await?;
    let id = row.id;
    let summary = summary(&mut transaction, row).await?;
    ticket.finish(&mut transaction, &summary).await?;
    if let Some(token) = token {
        token_file::keep(&app.compliance.settings.work_dir, id, token.expose())
            .map_err(ApiError::internal)?;
    }
    if let Err(error) = transaction.commit().await {
        // The run may or may not be stored; housekeeping wipes the token of a run that does not exist.
        return Err(error.into());
    }
    Ok(summary)
}

/// Removes the Vault token from a request, so that nothing after this can store, compare or log it.
fn without_token(mut request: StartRun) -> (StartRun, Option<Secret>) {
    let token = request.input.as_mut().and_then(|input| input.vault_token.take());
    (request, token.map(Secret::new))
}

/// Stores the run of a schedule's slot; `false` if the slot already has a run.
pub(crate) async fn start_scheduled(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    policy: StoredPolicy,
    slot: DateTime<Utc>,
) -> ApiResult<bool> {
    let request = StartRun { policy_id: Some(policy.policy.id.clone()), ..StartRun::default() };
    let origin = Origin { scheduled_for: Some(slot), ..Origin::default() };
    let work = Work::of_policy(policy, &request);
    let row = new_run(app, caller, &request, work, RunTrigger::Schedule, &origin);
    insert(conn, caller, &row).await
}

/// Stores the run of a product release, in the transaction that records the order for it.
pub async fn start_release(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    request: &StartRun,
    work: Work,
    trigger: RunTrigger,
) -> ApiResult<RunSummary> {
    let row = new_run(app, caller, request, work, trigger, &Origin::default());
    insert(&mut *conn, caller, &row).await?;
    summary(conn, row).await
}

pub async fn get_summary(conn: &mut PgConnection, id: RunId) -> ApiResult<RunSummary> {
    let row = runs::get_run(&mut *conn, id).await?;
    summary(conn, row).await
}

async fn work_of(conn: &mut PgConnection, request: &StartRun) -> ApiResult<Work> {
    if let Some(reason) = request.strategy.and_then(domain::strategy::Strategy::refusal_for_hosts) {
        return Err(ApiError::invalid("/strategy", reason));
    }
    if request.selector.as_ref().is_some_and(|selector| *selector == Selector::default()) {
        return Err(ApiError::invalid("/selector", "selects nothing; set `tags`, `ids` or `all`"));
    }
    if let Some(advisory) = &request.advisory {
        patch_compliance::app::advisories::ensure_known(&mut *conn, advisory).await?;
    }
    match &request.policy_id {
        Some(id) => match policies::find_policy(conn, id).await? {
            Some(stored) => Ok(Work::of_policy(stored, request)),
            None => Err(ApiError::invalid("/policy_id", format!("policy `{id}` does not exist"))),
        },
        None if request.advisory.is_some() || request.selector.is_some() => {
            Ok(Work { policy: plans::ad_hoc_policy()?, editors: Vec::new(), pre_approval: None })
        }
        None => Err(ApiError::invalid("", "must have a `policy_id`, an `advisory` or a `selector`")),
    }
}

fn new_run(
    app: &App,
    caller: &Caller,
    request: &StartRun,
    work: Work,
    trigger: RunTrigger,
    origin: &Origin,
) -> RunRow {
    let now = app.clock.now();
    let Work { policy, editors, pre_approval } = work;
    let approval_seconds = policy.change.approval_timeout_hours.saturating_mul(3600);
    let slot = origin.scheduled_for.filter(|slot| *slot > now);
    let replan_after_seconds = match trigger {
        // What was patched is what is rolled back, and a release deploys what it names.
        RunTrigger::Rollback | RunTrigger::Release => None,
        _ if slot.is_some() => Some(0),
        _ => Some(policy.max_scan_age_hours.saturating_mul(3600)),
    };
    let rules =
        Rules { dry_run: request.dry_run, approval_seconds, slot, replan_after_seconds, ..Rules::default() };
    let mut machine = Run::new(rules, now);
    if let Some(change_id) = &request.change_id {
        machine = machine.under_change(change_id.clone());
    }
    RunRow {
        id: RunId(Uuid::now_v7()),
        trigger,
        subject: if trigger == RunTrigger::Release { Subject::Customer } else { Subject::Host },
        policy_id: request.policy_id.clone(),
        advisory: request.advisory.clone(),
        selector: request.selector.clone(),
        strategy: request.strategy,
        dry_run: request.dry_run,
        emergency: request.emergency,
        of_run: origin.of_run,
        scheduled_for: origin.scheduled_for,
        requested_by: caller.subject.clone(),
        editors,
        policy,
        pre_approval,
        state: machine.state(),
        stage: machine.stage(),
        machine,
        reason: None,
        plan_hash: None,
        prediction: None,
        compliance_before: None,
        compliance_after: None,
        incident_id: None,
        max_hosts_down: 0,
        holds_vault_token: false,
        created_at: now,
        started_at: None,
        ended_at: None,
        revision: 0,
    }
}

async fn insert(conn: &mut PgConnection, caller: &Caller, row: &RunRow) -> ApiResult<bool> {
    installation::refuse_while_held(&mut *conn).await?;
    if !runs::insert_run(&mut *conn, row).await? {
        return Ok(false);
    }
    if let Some(pending) = &row.machine.pending {
        run_records::insert_action(&mut *conn, row.id, pending).await?;
    }
    let data = serde_json::json!({ "state": row.state, "stage": row.stage, "trigger": row.trigger, "requested_by": row.requested_by });
    let created = RunEvent { event_type: RUN_STATE_CHANGED, subject: None, data: data.clone() };
    run_records::insert_events(&mut *conn, row.id, &[created], row.created_at).await?;
    audit::record(
        &mut *conn,
        caller,
        audit::Record::new("start_run", format!("run/{}", row.id)).after(&data),
    )
    .await?;
    leases::notify(conn, run_changes::CHANNEL, &row.id.to_string()).await?;
    Ok(true)
}

/// What an operator orders a run to do.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Cancel,
    Pause,
    Resume,
    RetryFailed,
    RollBack,
    SkipHost(CiId),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancel => f.write_str("cancel"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::RetryFailed => f.write_str("retry failed hosts"),
            Self::RollBack => f.write_str("roll back"),
            Self::SkipHost(host) => write!(f, "skip `{host}`"),
        }
    }
}

/// Applies an operator's order to an open run.
pub(crate) async fn steer_run(
    app: &App,
    caller: &Caller,
    id: RunId,
    order: Order,
    reason: &str,
) -> ApiResult<RunSummary> {
    if reason.chars().count() > 1000 {
        return Err(ApiError::invalid("/reason", "must be at most 1000 characters"));
    }
    let reason = match reason.trim() {
        "" => format!("by {}", caller.subject),
        reason => format!("{reason} (by {})", caller.subject),
    };
    let log = format!("order to {order}: {reason}");
    let event = match order {
        Order::Cancel => Event::Cancel { reason },
        Order::Pause => Event::Pause { reason },
        Order::Resume => Event::Resume,
        Order::RetryFailed => Event::RetryFailed,
        Order::RollBack => Event::RollBack { reason },
        Order::SkipHost(host) => Event::SkipHost { host, reason: format!("skipped: {reason}") },
    };
    let mut transaction = app.pool.begin().await?;
    installation::refuse_while_held(&mut transaction).await?;
    runs::lock_run(&mut transaction, id).await?;
    let evidence = Evidence::logged(log);
    match transition::apply(app, &mut transaction, id, event, evidence, caller).await {
        Ok(_) => {}
        Err(TransitionError::Refused(refused)) => return Err(refuse(refused)),
        Err(TransitionError::Failed(error)) => return Err(error),
        Err(TransitionError::Lost) => {
            return Err(ApiError::new(
                problem_types::LOST,
                "another process is taking over the run; try again",
            ));
        }
    }
    let row = runs::get_run(&mut transaction, id).await?;
    let summary = summary(&mut transaction, row).await?;
    transaction.commit().await?;
    Ok(summary)
}

fn refuse(refused: Refused) -> ApiError {
    ApiError::new(problem_types::RUN_STATE, refused.to_string())
}

pub(crate) async fn list_runs(
    app: &App,
    filter: &RunFilter,
    request: &PageRequest,
) -> ApiResult<Page<RunSummary>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let rows = runs::list_runs(&mut conn, filter, after, limit + 1).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let mut counts = run_hosts::count_hosts(&mut conn, &ids).await?;
    let summaries = rows.into_iter().map(|row| {
        let counts = counts.remove(&row.id).unwrap_or_default();
        summarize(row, counts)
    });
    Ok(page(summaries.collect(), limit, |run| run.id.0))
}

pub(crate) async fn get_run(app: &App, id: RunId) -> ApiResult<RunDetail> {
    let mut conn = app.pool.acquire().await?;
    let row = runs::get_run(&mut conn, id).await?;
    Ok(RunDetail {
        tests: run_records::get_test_totals(&mut conn, id).await?,
        prediction: row.prediction.clone(),
        summary: summary(&mut conn, row).await?,
    })
}

async fn summary(conn: &mut PgConnection, row: RunRow) -> ApiResult<RunSummary> {
    let mut counts = run_hosts::count_hosts(conn, &[row.id.0]).await?;
    let counts = counts.remove(&row.id).unwrap_or_default();
    Ok(summarize(row, counts))
}

fn summarize(row: RunRow, hosts: HostCounts) -> RunSummary {
    RunSummary {
        id: row.id,
        trigger: row.trigger,
        policy_id: row.policy_id,
        advisory: row.advisory,
        strategy: row.strategy,
        state: row.state,
        stage: row.stage,
        reason: row.reason,
        pause_cause: row.machine.paused.as_ref().and_then(|pause| pause.cause),
        wait: wait_of(&row.machine),
        requested_by: row.requested_by,
        change_id: row.machine.change_id,
        plan_hash: row.plan_hash,
        dry_run: row.dry_run,
        emergency: row.emergency,
        of_run: row.of_run,
        scheduled_for: row.scheduled_for,
        hosts,
        created_at: row.created_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        deadline: row.machine.deadline,
    }
}

fn wait_of(machine: &Run) -> Option<RunWait> {
    let Pending { not_before, hold, .. } = machine.pending.as_ref()?;
    let hold = hold.as_ref()?;
    Some(RunWait { cause: hold.cause, reason: hold.reason.clone(), until: *not_before })
}

/// The evidence of a run: what was planned, what happened, what proves it.
pub(crate) async fn get_run_report(app: &App, id: RunId) -> ApiResult<RunReport> {
    let mut conn = app.pool.acquire().await?;
    let row = runs::get_run(&mut conn, id).await?;
    let hosts = run_hosts::list_host_statuses(&mut conn, id).await?;
    let changes = run_records::list_state_changes(&mut conn, id).await?;
    let tests = run_records::get_test_totals(&mut conn, id).await?;
    let waves = run_parts::list_waves(&mut conn, id, &row.machine, None, i64::MAX).await?;
    let taken = hosts.iter().filter_map(|host| host.snapshot_id);
    let expiries = snapshots::list_expiries(&mut conn, taken).await?;
    let snapshots = hosts.iter().filter_map(|host| {
        Some(RunSnapshot {
            ci_id: host.ci_id.clone(),
            snapshot_id: host.snapshot_id?,
            expires_at: expiries.get(&host.snapshot_id?).copied(),
        })
    });
    let plan = runs::find_plan(&mut conn, id).await?;
    let left_out = left_out(plan.as_ref(), &hosts);
    let stages = stages(&changes, row.ended_at);
    let works = [RunState::Snapshotting, RunState::Executing, RunState::Verifying].map(RunState::name);
    let actual = Actual {
        duration_seconds: row.started_at.map(|_| {
            stages
                .iter()
                .filter(|stage| works.contains(&stage.stage.as_str()))
                .map(|stage| stage.seconds)
                .sum()
        }),
        failed_hosts: hosts.iter().filter(|host| host.state.has_failed(host.error.as_deref())).count() as i64,
        halted: matches!(row.machine.progress, Progress::Ended(Outcome::Halted)),
        max_hosts_down: i64::from(row.max_hosts_down),
    };
    Ok(RunReport {
        packages_changed: count_packages(&hosts, |_| true),
        packages_installed: count_packages(&hosts, |package| package.from.is_none()),
        packages_removed: count_packages(&hosts, |package| package.to.is_none()),
        left_out,
        reboots: hosts.iter().filter(|host| host.rebooted).count() as i64,
        pending_restarts: hosts.iter().filter(|host| !host.pending_restart.services().is_empty()).count()
            as i64,
        snapshots: snapshots.collect(),
        compliance_before: row.compliance_before,
        compliance_after: row.compliance_after,
        prediction: row.prediction.clone(),
        incident_id: row.incident_id.clone(),
        run: summary(&mut conn, row).await?,
        stages,
        waves,
        hosts,
        tests,
        actual,
    })
}

fn count_packages(hosts: &[HostStatus], counts: impl Fn(&ChangedPackage) -> bool) -> i64 {
    hosts.iter().flat_map(|host| &host.changed).filter(|package| counts(package)).count() as i64
}

/// What happened, to score the run's prediction, once its hosts are verified. `None` for a run that changed nothing, and for
/// one that people stopped, because it does not test its plan.
pub(crate) async fn get_actual(app: &App, id: RunId) -> ApiResult<Option<simulator::Actual>> {
    let report = get_run_report(app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let machine = runs::get_run(&mut conn, id).await?.machine;
    let halted = matches!(machine.stop, Some(Stop::Halted { .. }));
    if machine.stop.is_some() && !halted || report.run.dry_run {
        return Ok(None);
    }
    Ok(report.actual.duration_seconds.map(|duration_seconds| simulator::Actual {
        duration_seconds,
        failed_hosts: u32::try_from(report.actual.failed_hosts).unwrap_or(u32::MAX),
        halted,
    }))
}

/// How long each state lasted. A state that was entered twice is listed twice.
fn stages(changes: &[(DateTime<Utc>, RunState)], ended_at: Option<DateTime<Utc>>) -> Vec<StageReport> {
    let mut merged = changes.to_vec();
    merged.dedup_by_key(|(_, state)| *state);
    let next = merged.iter().skip(1).map(|(at, _)| Some(*at)).chain([ended_at]);
    let stage =
        |(&(started_at, state), ended_at): (&(DateTime<Utc>, RunState), Option<DateTime<Utc>>)| StageReport {
            stage: state.name().to_owned(),
            started_at,
            ended_at,
            seconds: ended_at.map_or(0.0, |ended| (ended - started_at).as_seconds_f64()),
        };
    merged.iter().zip(next).map(stage).collect()
}
