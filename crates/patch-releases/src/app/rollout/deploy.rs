//! Customers of a batch are deployed to side by side, each recorded before it begins and as soon as it ends.

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
    deployer::{self, Told},
    deployment, playbook,
};
use crate::app::watch::health;
use crate::store::{
    customers,
    deployments::{self, NewDeployment, Watch},
};
use patch_runs::{
    app::records,
    app::transition::{self, Evidence},
    engine::report_event,
};

/// Between two questions to a deployer: often at first, when it may be done at once.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ASK_AGAIN_LATER: Duration = Duration::from_secs(1);

/// Which way customers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    AsPlanned,
    /// Back to what they ran before this rollout.
    RollBack,
}

/// How one customer's deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Failed(String),
    /// The deployer never said how it ended.
    Unknown(String),
}

pub(super) async fn deploy(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let machine = &task.loaded.row.machine;
    let at_work =
        hosts.iter().filter(|id| machine.hosts.get(*id).is_some_and(|host| host.state.is_working()));
    let ends = bring_all(task, at_work, Way::AsPlanned).await?;
    let unfinished = ends.into_iter().map(|(id, end)| (id, end.result())).collect();
    Ok((Answer::Patched { unfinished }, Evidence::default()))
}

pub(super) async fn roll_back(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let (mut results, mut log) = (BTreeMap::new(), Vec::new());
    for (id, end) in bring_all(task, hosts, Way::RollBack).await? {
        let (result, text) = match end {
            End::Done => (Ok(()), "runs again what it ran before".to_owned()),
            End::Failed(reason) | End::Unknown(reason) => {
                (Err(reason.clone()), format!("could not be returned to what it ran before: {reason}"))
            }
        };
        log.push((Some(id.clone()), text));
        results.insert(id, result);
    }
    Ok((Answer::RolledBack(results), Evidence { log, ..Evidence::default() }))
}

/// A deployment that is under way is brought to its end, whatever the run wants meanwhile: half a deployment is no state
/// to leave a customer in.
pub(super) async fn recover(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let result = |end: End| match end {
        End::Done => Ok(()),
        End::Failed(reason) | End::Unknown(reason) => Err(reason),
    };
    let ends = bring_all(task, hosts, Way::AsPlanned).await?;
    let results = ends.into_iter().map(|(id, end)| (id, result(end))).collect();
    Ok((Answer::Recovered(results), Evidence::default()))
}

/// Brings customers where they go, side by side; those with a playbook by one playbook for all of them.
///
/// Each tells its own end as soon as it has come. Whoever waited for the run between two ends would keep the others, which
/// stand still meanwhile, from letting go of it.
async fn bring_all<'a>(
    task: &Task<'_>,
    ids: impl IntoIterator<Item = &'a CiId>,
    way: Way,
) -> ApiResult<BTreeMap<CiId, End>> {
    let customers = &deployment(task)?.customers;
    let has_playbook = |id: &&CiId| {
        customers.get(*id).is_some_and(|target| matches!(target.deployer, Deployer::Playbook { .. }))
    };
    let (played, asked): (Vec<&CiId>, Vec<&CiId>) = ids.into_iter().partition(has_playbook);
    let asking = async {
        let mut bringing: FuturesUnordered<_> = asked.into_iter().map(|id| bring(task, id, way)).collect();
        let mut ends = BTreeMap::new();
        while let Some(end) = bringing.next().await {
            ends.extend([end?]);
        }
        Ok(ends)
    };
    let (mut ends, played) = tokio::try_join!(asking, playbook::bring(task, played, way))?;
    ends.extend(played);
    Ok(ends)
}

/// Brings one customer to its version and sees to the end of it.
async fn bring(task: &Task<'_>, id: &CiId, way: Way) -> ApiResult<(CiId, End)> {
    let begun = begin(task, id, way).await?;
    let end = match &begun.end {
        Some(end) => end.clone(),
        None => until_end(task, &begun.known, begun.target).await?,
    };
    finish(task, &begun, &end).await?;
    Ok((id.clone(), end))
}

/// A deployment that is recorded.
pub(super) struct Begun<'a> {
    pub known: CustomerDeployment,
    pub target: &'a CustomerTarget,
    /// It had ended already: before a crash.
    pub end: Option<End>,
    baseline: Option<Baseline>,
}

/// Records a deployment before its deployer is called, or finds the one that was recorded.
pub(super) async fn begin<'a>(task: &Task<'a>, id: &CiId, way: Way) -> ApiResult<Begun<'a>> {
    let (app, plan) = (&task.app, deployment(task)?);
    let target =
        plan.customers.get(id).ok_or_else(|| ApiError::internal(format!("`{id}` is not in the plan")))?;
    let (from, to) = match way {
        Way::AsPlanned => (target.from, target.to),
        Way::RollBack => (target.to, target.from),
    };
    let direction = if way == Way::RollBack { Direction::RollBack } else { plan.direction };
    let baseline = match (target.baseline, direction) {
        (None, Direction::Forward) => measured(task, id, target).await?,
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
    let mut transaction = transition::begin_as_owner(task.lease).await?;
    let known = deployments::begin_deployment(&mut transaction, &new, app.clock.now()).await?;
    let why_not = why_not(&mut transaction, task, &known).await?;
    transaction.commit().await?;
    let end = match (known.state, known.ended_at) {
        (DeploymentState::Requested, None) => why_not.map(End::Failed),
        (_, None) => None,
        (DeploymentState::Succeeded, _) => Some(End::Done),
        (DeploymentState::Failed, _) => Some(End::Failed(known.detail.clone().unwrap_or_default())),
        (DeploymentState::Unknown, _) => Some(End::Unknown(known.detail.clone().unwrap_or_default())),
        (DeploymentState::Requested | DeploymentState::Running, _) => None,
    };
    Ok(Begun { known, target, end, baseline })
}

/// Takes the customer, unless another rollout has it in hand or has brought it elsewhere since: what is newer is not undone.
async fn why_not(
    conn: &mut PgConnection,
    task: &Task<'_>,
    known: &CustomerDeployment,
) -> ApiResult<Option<String>> {
    let (run, id) = (task.loaded.row.id, &known.customer);
    if let Some(other) = lock_customer(&mut *conn, run, id, task.app.clock.now()).await? {
        return Ok(Some(format!("run {other} has it in hand")));
    }
    let Some(stored) = customers::find_customer(conn, id).await? else {
        return Ok(Some("there is no such customer any more".to_owned()));
    };
    // A way there that failed left it at the version before as far as is known, and is undone all the same.
    let is_known = [known.from_version, known.to_version].contains(&stored.customer.current_version);
    Ok((!is_known).then(|| format!("it runs {} by now", stored.customer.current_version)))
}

/// Records the end and what follows from it, and tells the run. Done again after a crash it changes nothing.
pub(super) async fn finish(task: &Task<'_>, begun: &Begun<'_>, end: &End) -> ApiResult<()> {
    // What follows was recorded with the end, but for a webhook, whose callback records the end by itself.
    let is_recorded =
        begun.end == Some(End::Done) && !matches!(begun.target.deployer, Deployer::Webhook { .. });
    if !is_recorded {
        record(task, &begun.known, end, begun.baseline).await?;
    }
    if !matches!(task.pending.action, Action::Patch { .. }) {
        return Ok(());
    }
    let text = match end {
        End::Done => "is deployed".to_owned(),
        End::Failed(reason) => format!("failed: {reason}"),
        End::Unknown(reason) => format!("unknown: {reason}"),
    };
    let id = begun.known.customer.clone();
    let event =
        Event::HostFinished { step: task.pending.step, host: id.clone(), result: end.clone().result() };
    report_event(task, event, Evidence { log: vec![(Some(id), text)], ..Evidence::default() }).await
}

impl End {
    fn result(self) -> HostResult {
        match self {
            Self::Done => HostResult::Succeeded,
            Self::Failed(reason) => HostResult::Failed { reason, step: None },
            Self::Unknown(reason) => HostResult::TimedOut { reason },
        }
    }
}

/// What the customer's health is before anything is done, where nobody said what it should be.
async fn measured(task: &Task<'_>, id: &CiId, target: &CustomerTarget) -> ApiResult<Option<Baseline>> {
    let sample = health::look(&task.app, id, &target.health).await;
    Ok(sample.failure.is_none().then(|| Baseline::of(&sample)).filter(|baseline| baseline.fault().is_none()))
}

async fn until_end(task: &Task<'_>, known: &CustomerDeployment, target: &CustomerTarget) -> ApiResult<End> {
    let (app, plan) = (&task.app, deployment(task)?);
    let deadline = known.requested_at + TimeDelta::seconds(i64::from(plan.deployment_timeout_seconds));
    let mut asked = 0_u32;
    let mut progress = HostState::Precheck;
    loop {
        let last = match deployer::ask(app, known, plan, target).await? {
            Told::Succeeded { previous } => {
                keep_previous(task, known, previous).await?;
                return Ok(End::Done);
            }
            Told::Failed { reason } => return Ok(End::Failed(reason)),
            Told::Nothing { reason } => reason,
            Told::Going { progress_percent } => {
                if progress != HostState::Patching && task.pending.action.name() == "patch" {
                    progress = HostState::Patching;
                    let event = Event::HostProgressed {
                        step: task.pending.step,
                        host: known.customer.clone(),
                        state: progress,
                    };
                    report_event(task, event, Evidence::default()).await?;
                }
                let mut conn = app.pool.acquire().await?;
                let (state, percent) = (DeploymentState::Running, Some(progress_percent));
                let now = app.clock.now();
                deployments::update_deployment(&mut conn, known.id, state, percent, None, None, now).await?;
                format!("its deployer began and was at {progress_percent} %")
            }
        };
        if app.clock.now() >= deadline {
            let seconds = plan.deployment_timeout_seconds;
            return Ok(End::Unknown(format!("no outcome within {seconds} s; {last}")));
        }
        asked = asked.saturating_add(1);
        tokio::time::sleep(if asked < 50 { ASK_AGAIN } else { ASK_AGAIN_LATER }).await;
    }
}

/// Records what the deployer said was there before.
pub(super) async fn keep_previous(
    task: &Task<'_>,
    known: &CustomerDeployment,
    previous: Option<Version>,
) -> ApiResult<()> {
    let expected = known.from_version;
    if let Some(previous) = previous.filter(|previous| ![expected, known.to_version].contains(previous)) {
        tracing::warn!(customer = %known.customer, "it ran {previous} before, not {expected} as was known");
    }
    let mut conn = task.app.pool.acquire().await?;
    let (state, now) = (DeploymentState::Running, task.app.clock.now());
    let previous = previous.or(Some(expected));
    deployments::update_deployment(&mut conn, known.id, state, None, previous, None, now).await.map(drop)
}

/// The end, and what follows from it: the customer's version, and the watch over it. One transaction, as the run's owner.
async fn record(
    task: &Task<'_>,
    known: &CustomerDeployment,
    end: &End,
    baseline: Option<Baseline>,
) -> ApiResult<()> {
    let (app, plan) = (&task.app, deployment(task)?);
    let now = app.clock.now();
    let (state, detail, percent) = match end {
        End::Done => (DeploymentState::Succeeded, None, Some(100)),
        End::Failed(reason) => (DeploymentState::Failed, Some(reason.as_str()), None),
        End::Unknown(reason) => (DeploymentState::Unknown, Some(reason.as_str()), None),
    };
    let mut transaction = transition::begin_as_owner(task.lease).await?;
    deployments::update_deployment(&mut transaction, known.id, state, percent, None, detail, now).await?;
    if *end == End::Done {
        customers::update_current_version(&mut transaction, &known.customer, known.to_version, now).await?;
        if known.direction == Direction::RollBack {
            deployments::mark_rolled_back(&mut transaction, &known.customer, plan.version, known.id).await?;
        }
    }
    match (end, known.direction) {
        (End::Done, Direction::Forward) => {
            let watch = Watch {
                customer: known.customer.clone(),
                deployment_id: known.id,
                run: task.loaded.row.id,
                version: known.to_version,
                baseline,
                judge: Judge::default(),
                state: WatchState::Unseen,
                reason: None,
                since: now,
                until: now + TimeDelta::hours(i64::from(plan.monitoring_hours)),
                last_look_at: None,
                is_handled: false,
            };
            deployments::begin_watch(&mut transaction, &watch).await?;
        }
        (End::Done, Direction::RollBack) => deployments::end_watch(&mut transaction, &known.customer).await?,
        (End::Failed(_) | End::Unknown(_), _) => {}
    }
    // One that failed stays in hand until it is taken back, or the run is over.
    if *end == End::Done || known.direction == Direction::RollBack {
        records::unlock_subjects(&mut transaction, task.loaded.row.id, &[known.customer.to_string()]).await?;
    }
    transaction.commit().await?;
    Ok(())
}
