//! What is done for customers: the same actions of the same machine as for hosts, performed by other means.
//!
//! Whoever is told about a customer's health is the [`watch`], which goes on after the rollout's end; everything else
//! here performs one pending action of a run and can be performed again.

mod checks;
mod deploy;
mod deployer;
pub(crate) mod health;
mod notices;
mod open;
mod plan;
mod playbook;
mod review;
pub(crate) mod watch;
mod weekly;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    release::Deployment,
    run::{Action, Answer, HostState, Verification},
};
use service_kit::ApiResult;

use super::{perform::Task, transition::Evidence};
use crate::{app::releases::deployment_of, store::deployments};
use api_types::patch::WatchState;

pub(crate) use deployer::is_signed;
pub(super) use plan::plan;
pub(super) use review::after_the_end;

/// Whether the action is about customers, so that it is performed here.
pub(super) fn is_about_customers(task: &Task<'_>) -> bool {
    let deploys = task.loaded.plan.as_ref().is_some_and(|plan| plan.deployment().is_some());
    deploys
        && matches!(
            task.pending.action,
            Action::Admit { .. }
                | Action::RunChecks { .. }
                | Action::Patch { .. }
                | Action::RollBack { .. }
                | Action::Recover { .. }
                | Action::Verify { .. }
        )
}

pub(super) async fn perform(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    match &task.pending.action {
        Action::Admit { wave, hosts } => open::open(task, *wave, hosts).await,
        Action::RunChecks { wave } => checks::check(task, *wave).await,
        Action::Patch { hosts } => deploy::deploy(task, hosts).await,
        Action::RollBack { hosts } => deploy::roll_back(task, hosts).await,
        Action::Recover { hosts } => deploy::settle(task, hosts).await,
        Action::Verify { hosts } => verify(task, hosts).await,
        other => Err(service_kit::ApiError::internal(format!("`{}` is not about customers", other.name()))),
    }
}

fn deployment<'a>(task: &Task<'a>) -> ApiResult<&'a Deployment> {
    deployment_of(task.loaded.plan.as_ref())
}

/// The watch over the customers is the verification: what it found by now counts.
async fn verify(task: &Task<'_>, customers: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let names: Vec<String> = customers.iter().map(CiId::to_string).collect();
    let mut conn = task.app.pool.acquire().await?;
    let watches = deployments::list_watches(&mut conn, &names).await?;
    drop(conn);
    let machine = &task.loaded.row.machine;
    let judge = |customer: &CiId| {
        let is_new = machine.hosts.get(customer).is_some_and(|host| host.state == HostState::Succeeded);
        let watch =
            watches.iter().find(|watch| &watch.customer == customer && watch.run == task.loaded.row.id);
        match watch.filter(|_| is_new) {
            Some(watch) if watch.state == WatchState::Unhealthy => Verification::Failed {
                reason: watch.reason.clone().unwrap_or_else(|| "it is not well".to_owned()),
            },
            _ => Verification::Healthy,
        }
    };
    let results: BTreeMap<CiId, Verification> = customers.iter().map(|id| (id.clone(), judge(id))).collect();
    let well = results.values().filter(|result| **result == Verification::Healthy).count();
    let text = format!("{well} of {} customers are well; each is watched on", customers.len());
    Ok((Answer::Verified(results), Evidence::logged(text)))
}
