//! Runs that follow an ended run: its failed hosts again, what it could not begin, or its way back.

use std::{collections::BTreeSet, ops::ControlFlow};

use api_types::patch::{RunSummary, RunTrigger, StartRun};
use domain::{
    ids::{CiId, RunId},
    plan::Subject,
    run::HostState,
    selector::Selector,
};
use service_kit::{ApiError, ApiResult, Caller, IdempotencyKey, problem_types};

use super::{
    runs::{Order, Origin, start, steer_run},
    ways_back,
    work::Work,
};
use crate::{
    App, SERVICE,
    store::{
        run_hosts,
        runs::{self, RunRow},
    },
};

/// A new run would select hosts by the ids of customers.
fn refuse_customers(row: &RunRow) -> ApiResult<()> {
    match row.subject {
        Subject::Host => Ok(()),
        Subject::Customer => Err(ApiError::new(
            problem_types::RUN_STATE,
            "this run has ended and its subjects are customers; deploy or roll back the release instead",
        )),
    }
}

/// The run, if it has ended. An open one is given the order instead.
async fn ended_or_steered(
    app: &App,
    caller: &Caller,
    id: RunId,
    order: Order,
    reason: &str,
) -> ApiResult<ControlFlow<RunSummary, RunRow>> {
    let row = runs::get_run(&mut *app.pool.acquire().await?, id).await?;
    if !row.state.is_final() {
        return steer_run(app, caller, id, order, reason).await.map(ControlFlow::Break);
    }
    refuse_customers(&row)?;
    Ok(ControlFlow::Continue(row))
}

/// Retries the failed hosts: within the run while it is paused, otherwise in a new run that selects only them.
pub(crate) async fn retry_failed(
    app: &App,
    caller: &Caller,
    id: RunId,
    reason: &str,
    key: &IdempotencyKey,
) -> ApiResult<RunSummary> {
    let row = match ended_or_steered(app, caller, id, Order::RetryFailed, reason).await? {
        ControlFlow::Continue(row) => row,
        ControlFlow::Break(steered) => return Ok(steered),
    };
    let hosts = run_hosts::list_host_statuses(&mut *app.pool.acquire().await?, id).await?;
    let failed = hosts
        .into_iter()
        .filter(|host| host.state.has_failed(host.error.as_deref()) || host.state == HostState::Skipped);
    let ids: BTreeSet<CiId> = failed.map(|host| host.ci_id).collect();
    if ids.is_empty() {
        return Err(ApiError::new(
            problem_types::RUN_STATE,
            "no host of this run failed or was skipped; there is nothing to retry",
        ));
    }
    let work = row.policy_id.is_none().then(|| Work::again(&row));
    let origin = Origin { of_run: Some(id), work, ..Origin::default() };
    let request = StartRun {
        policy_id: row.policy_id,
        advisory: row.advisory,
        selector: Some(Selector { ids, ..Selector::default() }),
        strategy: row.strategy,
        emergency: row.emergency,
        ..StartRun::default()
    };
    start(app, caller, &request, key, RunTrigger::Retry, origin).await
}

/// Plans again what a run was about whose approval had become void: a new run, with a change of its own. Repeated, it returns
/// the same run.
pub(crate) async fn start_again(app: &App, voided: &RunRow) -> ApiResult<RunSummary> {
    // A template would approve the very difference that has voided the approval.
    let work = Some(Work::again(voided));
    let origin = Origin { of_run: Some(voided.id), work, ..Origin::default() };
    let request = StartRun {
        policy_id: voided.policy_id.clone(),
        advisory: voided.advisory.clone(),
        selector: voided.selector.clone(),
        strategy: voided.strategy,
        emergency: voided.emergency,
        ..StartRun::default()
    };
    let caller = Caller::internal(SERVICE, "service:patch-manager");
    let key = IdempotencyKey(Some(format!("run-{}-again", voided.id)));
    start(app, &caller, &request, &key, RunTrigger::Replan, origin).await
}

/// Rolls hosts back: within an open run, otherwise in a new run, which needs an emergency change of its own. It uses what was
/// stored with the run, whatever has become of its policy.
pub(crate) async fn roll_back_run(
    app: &App,
    caller: &Caller,
    id: RunId,
    reason: &str,
    key: &IdempotencyKey,
) -> ApiResult<RunSummary> {
    let row = match ended_or_steered(app, caller, id, Order::RollBack, reason).await? {
        ControlFlow::Continue(row) => row,
        ControlFlow::Break(steered) => return Ok(steered),
    };
    let ids = ways_back::find_ways_back(app, id).await?.map(|(_, ways)| ways.hosts).unwrap_or_default();
    if ids.is_empty() {
        return Err(ApiError::new(
            problem_types::ROLLBACK_UNAVAILABLE,
            "no host of this run has a snapshot left to roll back to, or packages that can be downgraded",
        ));
    }
    let origin = Origin { of_run: Some(id), work: Some(Work::again(&row)), ..Origin::default() };
    let request = StartRun {
        policy_id: row.policy_id,
        selector: Some(Selector { ids, ..Selector::default() }),
        emergency: row.emergency,
        ..StartRun::default()
    };
    start(app, caller, &request, key, RunTrigger::Rollback, origin).await
}
