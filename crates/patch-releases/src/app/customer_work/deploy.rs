//! Deploys to the customers of a batch in parallel. Each deployment is recorded before it starts and as soon as it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api_types::patch::{CustomerDeployment, DeploymentState, WatchState};
use chrono::TimeDelta;
use domain::{
    ids::CiId,
    release::{Baseline, CustomerTarget, Deployer, Direction, Judge, Version},
    run::{Action, Answer, Event, HostResult, HostState},
};
use futures::{StreamExt, stream::FuturesUnordered};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use super::{
    Task,
    admit::lock_customer,
    deployer::{self, DeployerReport},
    deployment, playbook,
};
use crate::app::health_check;
use crate::store::{
    customers,
    deployments::{self, NewDeployment},
    health_watches::{self, Watch},
};
use patch_runs::{app::records, app::transition::Evidence};

/// Between two polls of a deployer: short at first, for deployments that end at once.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const LATER_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The version to deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    AsPlanned,
    /// The version before this rollout.
    RollBack,
}

/// The result of one customer's deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeploymentResult {
    Succeeded,
    Failed(String),
    /// The deployer never reported a result.
    Unknown(String),
}

pub(super) async fn deploy(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let machine = &task.loaded.row.machine;
    let at_work =
        hosts.iter().filter(|id| machine.hosts.get(*id).is_some_and(|host| host.state.is_working()));
    let results = deploy_all(task, at_work, Goal::AsPlanned).await?;
    let unfinished = results.into_iter().map(|(id, result)| (id, result.of_host())).collect();
    Ok((Answer::Patched { unfinished }, Evidence::default()))
}

pub(super) async fn roll_back(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let (mut results, mut log) = (BTreeMap::new(), Vec::new());
    for (id, result) in deploy_all(task, hosts, Goal::RollBack).await? {
        let (result, text) = match result {
            DeploymentResult::Succeeded => {
                (Ok(()), "rolled back to the version before this rollout".to_owned())
            }
            DeploymentResult::Failed(reason) | DeploymentResult::Unknown(reason) => {
                (Err(reason.clone()), format!("could not be rolled back: {reason}"))
            }
        };
        log.push((Some(id.clone()), text));
        results.insert(id, result);
    }
    Ok((Answer::RolledBack(results), Evidence { log, ..Evidence::default() }))
}

/// Completes deployments in progress, even if the run has stopped: no customer is left with half a deployment.
pub(super) async fn recover(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let as_result = |result: DeploymentResult| match result {
        DeploymentResult::Succeeded => Ok(()),
        DeploymentResult::Failed(reason) | DeploymentResult::Unknown(reason) => Err(reason),
    };
    let results = deploy_all(task, hosts, Goal::AsPlanned).await?;
    let results = results.into_iter().map(|(id, result)| (id, as_result(result))).collect();
    Ok((Answer::Recovered(results), Evidence::default()))
}

/// Deploys to customers in parallel; those with a playbook share one playbook run.
///
/// Each deployment reports its own result to the run as soon as it is known. If they were reported in one loop, a report that
/// waits for the run's row would stop the others, one of which may have locked it.
async fn deploy_all<'a>(
    task: &Task<'_>,
    ids: impl IntoIterator<Item = &'a CiId>,
    goal: Goal,
) -> ApiResult<BTreeMap<CiId, DeploymentResult>> {
    let customers = &deployment(task)?.customers;
    let has_playbook = |id: &&CiId| {
        customers.get(*id).is_some_and(|target| matches!(target.deployer, Deployer::Playbook { .. }))
    };
    let (by_playbook, polled): (Vec<&CiId>, Vec<&CiId>) = ids.into_iter().partition(has_playbook);
    let polling = async {
        let mut deploying: FuturesUnordered<_> =
            polled.into_iter().map(|id| deploy_one(task, id, goal)).collect();
        let mut results = BTreeMap::new();
        while let Some(result) = deploying.next().await {
            results.extend([result?]);
        }
        Ok(results)
    };
    let (mut results, played) = tokio::try_join!(polling, playbook::deploy_all(task, by_playbook, goal))?;
    results.extend(played);
    Ok(results)
}

/// Deploys to one customer and waits for the result.
async fn deploy_one(task: &Task<'_>, id: &CiId, goal: Goal) -> ApiResult<(CiId, DeploymentResult)> {
    let recorded = begin(task, id, goal).await?;
    let result = match &recorded.result {
        Some(result) => result.clone(),
        None => poll_until_end(task, &recorded.known, recorded.target).await?,
    };
    finish(task, &recorded, &result).await?;
    Ok((id.clone(), result))
}

/// A deployment that is recorded.
pub(super) struct RecordedDeployment<'a> {
    pub known: CustomerDeployment,
    pub target: &'a CustomerTarget,
    /// Known if it ended before a crash.
    pub result: Option<DeploymentResult>,
    baseline: Option<Baseline>,
}

/// Records a deployment before its deployer is called, or finds the recorded one.
pub(super) async fn begin<'a>(task: &Task<'a>, id: &CiId, goal: Goal) -> ApiResult<RecordedDeployment<'a>> {
    let (app, plan) = (&task.app, deployment(task)?);
    let target =
        plan.customers.get(id).ok_or_else(|| ApiError::internal(format!("`{id}` is not in the plan")))?;
    let (from, to) = match goal {
        Goal::AsPlanned => (target.from, target.to),
        Goal::RollBack => (target.to, target.from),
    };
    let direction = if goal == Goal::RollBack { Direction::RollBack } else { plan.direction };
    let baseline = match (target.baseline, direction) {
        (None, Direction::Forward) => measure_baseline(task, id, target).await?,
        (baseline, _) => baseline,
    };
    let attempt = task.loaded.row.machine.hosts.get(id).map_or(1, |host| host.attempts.max(1));
    let new = NewDeployment {
        customer: id,
        run: task.loaded.row.id,
        attempt,
        direction,
        release: plan.version,
        from,
        to,
    };
    let mut transaction = task.owned.begin().await?;
    let known = deployments::begin_deployment(&mut transaction, &new, app.clock.now()).await?;
    let obstacle = lock_or_find_obstacle(&mut transaction, task, &known).await?;
    transaction.commit().await?;
    let result = match (known.state, known.ended_at) {
        (DeploymentState::Requested, None) => obstacle.map(DeploymentResult::Failed),
        (_, None) => None,
        (DeploymentState::Succeeded, _) => Some(DeploymentResult::Succeeded),
        (DeploymentState::Failed, _) => {
            Some(DeploymentResult::Failed(known.detail.clone().unwrap_or_default()))
        }
        (DeploymentState::Unknown, _) => {
            Some(DeploymentResult::Unknown(known.detail.clone().unwrap_or_default()))
        }
        (DeploymentState::Requested | DeploymentState::Running, _) => None,
    };
    Ok(RecordedDeployment { known, target, result, baseline })
}

/// Locks the customer, unless another rollout has locked it or has deployed another version since: a newer version is never
/// undone. Returns the obstacle, if there is one.
async fn lock_or_find_obstacle(
    conn: &mut PgConnection,
    task: &Task<'_>,
    known: &CustomerDeployment,
) -> ApiResult<Option<String>> {
    let (run, id) = (task.loaded.row.id, &known.customer);
    if let Some(other) = lock_customer(&mut *conn, run, id, task.app.clock.now()).await? {
        return Ok(Some(format!("it is locked by run {other}")));
    }
    let Some(stored) = customers::find_customer(conn, id).await? else {
        return Ok(Some("the customer no longer exists".to_owned()));
    };
    // After a failed deployment, it presumably runs the previous version; it is rolled back all the same.
    let is_known = [known.from_version, known.to_version].contains(&stored.customer.current_version);
    Ok((!is_known).then(|| format!("it now runs {}", stored.customer.current_version)))
}

/// Records the result and its consequences, and reports it to the run. A repetition after a crash changes nothing.
pub(super) async fn finish(
    task: &Task<'_>,
    recorded: &RecordedDeployment<'_>,
    result: &DeploymentResult,
) -> ApiResult<()> {
    // The consequences were recorded with the result, except for a webhook, whose callback records only the result.
    let is_recorded = recorded.result == Some(DeploymentResult::Succeeded)
        && !matches!(recorded.target.deployer, Deployer::Webhook { .. });
    if !is_recorded {
        record(task, &recorded.known, result, recorded.baseline).await?;
    }
    if !matches!(task.pending.action, Action::Patch { .. }) {
        return Ok(());
    }
    let text = match result {
        DeploymentResult::Succeeded => "deployed".to_owned(),
        DeploymentResult::Failed(reason) => format!("failed: {reason}"),
        DeploymentResult::Unknown(reason) => format!("unknown: {reason}"),
    };
    let id = recorded.known.customer.clone();
    let event =
        Event::HostFinished { step: task.pending.step, host: id.clone(), result: result.clone().of_host() };
    task.report_event(event, Evidence { log: vec![(Some(id), text)], ..Evidence::default() }).await
}

impl DeploymentResult {
    fn of_host(self) -> HostResult {
        match self {
            Self::Succeeded => HostResult::Succeeded,
            Self::Failed(reason) => HostResult::Failed { reason, step: None },
            Self::Unknown(reason) => HostResult::TimedOut { reason },
        }
    }
}

/// The customer's health before the deployment, used if no baseline was given.
async fn measure_baseline(
    task: &Task<'_>,
    id: &CiId,
    target: &CustomerTarget,
) -> ApiResult<Option<Baseline>> {
    let sample = health_check::check_health(&task.app, id, &target.health).await;
    Ok(sample.failure.is_none().then(|| Baseline::of(&sample)).filter(|baseline| baseline.fault().is_none()))
}

async fn poll_until_end(
    task: &Task<'_>,
    known: &CustomerDeployment,
    target: &CustomerTarget,
) -> ApiResult<DeploymentResult> {
    let (app, plan) = (&task.app, deployment(task)?);
    let deadline = deployer::deadline_of(known, plan);
    let mut polls = 0_u32;
    let mut progress = HostState::Precheck;
    loop {
        let last = match deployer::poll(app, known, plan, target).await? {
            DeployerReport::Succeeded { previous } => {
                keep_previous(task, known, previous).await?;
                return Ok(DeploymentResult::Succeeded);
            }
            DeployerReport::Failed { reason } => return Ok(DeploymentResult::Failed(reason)),
            DeployerReport::NoAnswer { reason } => reason,
            DeployerReport::InProgress { progress_percent } => {
                if progress != HostState::Patching && task.pending.action.name() == "patch" {
                    progress = HostState::Patching;
                    let event = Event::HostProgressed {
                        step: task.pending.step,
                        host: known.customer.clone(),
                        state: progress,
                    };
                    task.report_event(event, Evidence::default()).await?;
                }
                let mut conn = app.pool.acquire().await?;
                let (state, percent) = (DeploymentState::Running, Some(progress_percent));
                let now = app.clock.now();
                deployments::update_deployment(&mut conn, known.id, state, percent, None, None, now).await?;
                format!("its deployer started and reported {progress_percent} %")
            }
        };
        if app.clock.now() >= deadline {
            let seconds = plan.deployment_timeout_seconds;
            return Ok(DeploymentResult::Unknown(format!("no result within {seconds} s; {last}")));
        }
        polls = polls.saturating_add(1);
        tokio::time::sleep(if polls < 50 { POLL_INTERVAL } else { LATER_POLL_INTERVAL }).await;
    }
}

/// Records the previous version that the deployer reports.
pub(super) async fn keep_previous(
    task: &Task<'_>,
    known: &CustomerDeployment,
    previous: Option<Version>,
) -> ApiResult<()> {
    let expected = known.from_version;
    if let Some(previous) = previous.filter(|previous| ![expected, known.to_version].contains(previous)) {
        tracing::warn!(customer = %known.customer, "it ran {previous} before, not {expected} as recorded");
    }
    let mut conn = task.app.pool.acquire().await?;
    let (state, now) = (DeploymentState::Running, task.app.clock.now());
    let previous = previous.or(Some(expected));
    deployments::update_deployment(&mut conn, known.id, state, None, previous, None, now).await.map(drop)
}

/// Records the result with the customer's version and the watch over it, in one transaction as the run's owner.
async fn record(
    task: &Task<'_>,
    known: &CustomerDeployment,
    result: &DeploymentResult,
    baseline: Option<Baseline>,
) -> ApiResult<()> {
    let (app, plan) = (&task.app, deployment(task)?);
    let now = app.clock.now();
    let (state, detail, percent) = match result {
        DeploymentResult::Succeeded => (DeploymentState::Succeeded, None, Some(100)),
        DeploymentResult::Failed(reason) => (DeploymentState::Failed, Some(reason.as_str()), None),
        DeploymentResult::Unknown(reason) => (DeploymentState::Unknown, Some(reason.as_str()), None),
    };
    let mut transaction = task.owned.begin().await?;
    deployments::update_deployment(&mut transaction, known.id, state, percent, None, detail, now).await?;
    if *result == DeploymentResult::Succeeded {
        customers::update_current_version(&mut transaction, &known.customer, known.to_version, now).await?;
        if known.direction == Direction::RollBack {
            deployments::mark_rolled_back(&mut transaction, &known.customer, plan.version, known.id).await?;
        }
    }
    match (result, known.direction) {
        (DeploymentResult::Succeeded, Direction::Forward) => {
            let watch = Watch {
                customer: known.customer.clone(),
                deployment_id: known.id,
                run: task.loaded.row.id,
                version: known.to_version,
                baseline,
                judge: Judge::default(),
                state: WatchState::Unchecked,
                reason: None,
                since: now,
                until: now + TimeDelta::hours(i64::from(plan.monitoring_hours)),
                last_look_at: None,
                is_handled: false,
            };
            health_watches::begin_watch(&mut transaction, &watch).await?;
        }
        (DeploymentResult::Succeeded, Direction::RollBack) => {
            health_watches::end_watch(&mut transaction, &known.customer).await?
        }
        (DeploymentResult::Failed(_) | DeploymentResult::Unknown(_), _) => {}
    }
    // After a failure it stays locked until it is rolled back, or the run has ended.
    if *result == DeploymentResult::Succeeded || known.direction == Direction::RollBack {
        records::unlock_subjects(&mut transaction, task.loaded.row.id, &[known.customer.to_string()]).await?;
    }
    transaction.commit().await?;
    Ok(())
}
