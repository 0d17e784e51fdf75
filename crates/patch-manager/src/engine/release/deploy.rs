//! Customers of a batch are deployed to side by side, each recorded before it begins and as soon as it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api_types::patch::{CustomerDeployment, DeploymentState, WatchState};
use chrono::TimeDelta;
use domain::{
    ids::CiId,
    release::{Baseline, CustomerTarget, Deployer, Direction, Judge},
    run::{Answer, Event, HostResult, HostState},
};
use futures::{StreamExt, stream::FuturesUnordered};
use service_kit::{ApiError, ApiResult};

use super::{
    deployer::{self, Told},
    deployment, health,
};
use crate::{
    engine::{
        perform::{Task, tell},
        transition::{self, Evidence},
    },
    store::{
        customers,
        deployments::{self, NewDeployment, Watch},
    },
};

/// Between two questions to a deployer: often at first, when it may be done at once.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ASK_AGAIN_LATER: Duration = Duration::from_secs(1);

/// Which way customers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AsPlanned,
    /// Back to what they ran before this rollout.
    Back,
}

/// How one customer's deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Done,
    Failed(String),
    /// The deployer never said how it ended.
    Unknown(String),
}

pub(super) async fn deploy(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let at_work: Vec<&CiId> = hosts
        .iter()
        .filter(|id| task.loaded.row.machine.hosts.get(*id).is_some_and(|host| host.state.is_working()))
        .collect();
    // Each tells its own end: whoever waited for the run in between two ends would keep the others from letting go of it.
    let mut ends: FuturesUnordered<_> = at_work.into_iter().map(|id| bring_and_tell(task, id)).collect();
    let mut unfinished = BTreeMap::new();
    while let Some(end) = ends.next().await {
        let (id, result) = end?;
        unfinished.insert(id, result);
    }
    Ok((Answer::Patched { unfinished }, Evidence::default()))
}

async fn bring_and_tell(task: &Task<'_>, id: &CiId) -> ApiResult<(CiId, HostResult)> {
    let (result, text) = match bring(task, id, Way::AsPlanned).await? {
        End::Done => (HostResult::Succeeded, "is deployed".to_owned()),
        End::Failed(reason) => {
            (HostResult::Failed { reason: reason.clone(), step: None }, format!("failed: {reason}"))
        }
        End::Unknown(reason) => {
            (HostResult::TimedOut { reason: reason.clone() }, format!("unknown: {reason}"))
        }
    };
    let event = Event::HostFinished { step: task.pending.step, host: id.clone(), result: result.clone() };
    let evidence = Evidence { log: vec![(Some(id.clone()), text)], ..Evidence::default() };
    tell(task, event, evidence).await?;
    Ok((id.clone(), result))
}

pub(super) async fn take_back(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let mut ends = FuturesUnordered::new();
    for id in hosts {
        ends.push(bring_named(task, id, Way::Back));
    }
    let (mut results, mut log) = (BTreeMap::new(), Vec::new());
    while let Some((id, end)) = ends.next().await {
        let (result, text) = match end? {
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
pub(super) async fn settle(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let mut results = BTreeMap::new();
    for id in hosts {
        let result = match bring(task, id, Way::AsPlanned).await? {
            End::Done => Ok(()),
            End::Failed(reason) | End::Unknown(reason) => Err(reason),
        };
        results.insert(id.clone(), result);
    }
    Ok((Answer::Settled(results), Evidence::default()))
}

async fn bring_named(task: &Task<'_>, id: &CiId, way: Way) -> (CiId, ApiResult<End>) {
    (id.clone(), bring(task, id, way).await)
}

/// Brings one customer to its version and sees to the end of it.
async fn bring(task: &Task<'_>, id: &CiId, way: Way) -> ApiResult<End> {
    let (app, plan) = (task.app, deployment(task)?);
    let target =
        plan.customers.get(id).ok_or_else(|| ApiError::internal(format!("`{id}` is not in the plan")))?;
    let (from, to) = match way {
        Way::AsPlanned => (target.from, target.to),
        Way::Back => (target.to, target.from),
    };
    let direction = if way == Way::Back { Direction::Back } else { plan.direction };
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
    transaction.commit().await?;
    let end = match (known.state, known.ended_at) {
        // Its end was recorded before a crash, and what follows from it in the same transaction.
        (DeploymentState::Succeeded, Some(_)) if !is_webhook(target) => return Ok(End::Done),
        (DeploymentState::Failed, Some(_)) => End::Failed(known.detail.clone().unwrap_or_default()),
        (DeploymentState::Unknown, Some(_)) => End::Unknown(known.detail.clone().unwrap_or_default()),
        _ => until_end(task, &known, target).await?,
    };
    record(task, &known, &end, baseline).await?;
    Ok(end)
}

/// A webhook's callback records the end by itself, and not what follows from it.
fn is_webhook(target: &CustomerTarget) -> bool {
    matches!(target.deployer, Deployer::Webhook { .. })
}

/// What the customer's health is before anything is done, where nobody said what it should be.
async fn measured(task: &Task<'_>, id: &CiId, target: &CustomerTarget) -> ApiResult<Option<Baseline>> {
    let sample = health::look(task.app, id, &target.health).await;
    Ok(sample.failure.is_none().then(|| Baseline::of(&sample)).filter(|baseline| baseline.fault().is_none()))
}

async fn until_end(task: &Task<'_>, known: &CustomerDeployment, target: &CustomerTarget) -> ApiResult<End> {
    let (app, plan) = (task.app, deployment(task)?);
    let deadline = known.requested_at + TimeDelta::seconds(i64::from(plan.deployment_timeout_seconds));
    let mut asked = 0_u32;
    let mut progress = HostState::Precheck;
    loop {
        let last = match deployer::ask(app, known, plan, target).await? {
            Told::Succeeded { previous } => {
                let expected = known.from_version;
                if let Some(previous) =
                    previous.filter(|previous| *previous != expected && *previous != known.to_version)
                {
                    tracing::warn!(customer = %known.customer, "it ran {previous} before, not {expected} as was known");
                }
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
                    tell(task, event, Evidence::default()).await?;
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

/// The end, and what follows from it: the customer's version, and the watch over it. One transaction, as the run's owner.
async fn record(
    task: &Task<'_>,
    known: &CustomerDeployment,
    end: &End,
    baseline: Option<Baseline>,
) -> ApiResult<()> {
    let (app, plan) = (task.app, deployment(task)?);
    let now = app.clock.now();
    let (state, detail, percent) = match end {
        End::Done => (DeploymentState::Succeeded, None, Some(100)),
        End::Failed(reason) => (DeploymentState::Failed, Some(reason.as_str()), None),
        End::Unknown(reason) => (DeploymentState::Unknown, Some(reason.as_str()), None),
    };
    let mut transaction = transition::begin_as_owner(task.lease).await?;
    let previous = Some(known.from_version);
    deployments::update_deployment(&mut transaction, known.id, state, percent, previous, detail, now).await?;
    if *end == End::Done {
        customers::update_current_version(&mut transaction, &known.customer, known.to_version, now).await?;
        if known.direction == Direction::Back {
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
        (End::Done, Direction::Back) => deployments::end_watch(&mut transaction, &known.customer).await?,
        (End::Failed(_) | End::Unknown(_), _) => {}
    }
    transaction.commit().await?;
    Ok(())
}
