//! Performs the actions of runs on customers.
//!
//! Each action can be performed again after a crash. [`super::health_watch`] watches the health of customers, also after the
//! end of the rollout.

mod admit;
mod checks;
mod deploy;
mod deployer;
mod notices;
mod plan;
mod playbook;
mod review;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
};

use api_types::patch::WatchState;
use domain::{
    ids::CiId,
    plan::Plan,
    release::Deployment,
    run::{Action, Answer, HostState, Verification},
};
use futures::{FutureExt, future::BoxFuture};
use patch_runs::{
    app::transition::{Evidence, LogLines},
    engine::{ChangeText, SubjectWork, Work},
};
use service_kit::ApiResult;

use super::rollouts::deployment_of;
use crate::{App, Outside, store::health_watches};

/// Performs the actions of runs on customers.
pub struct CustomerWork(pub Arc<Outside>);

/// One action to perform on customers.
pub(crate) struct Task<'a> {
    pub app: App,
    run: &'a patch_runs::engine::Task<'a>,
}

impl<'a> Deref for Task<'a> {
    type Target = patch_runs::engine::Task<'a>;

    fn deref(&self) -> &Self::Target {
        self.run
    }
}

impl CustomerWork {
    fn task<'a>(&self, run: &'a patch_runs::engine::Task<'a>) -> Task<'a> {
        Task { app: App::new(run.app, &self.0), run }
    }
}

impl SubjectWork for CustomerWork {
    fn plan<'a>(&'a self, run: &'a patch_runs::engine::Task<'a>) -> Work<'a> {
        async move { plan::plan(&self.task(run)).await }.boxed()
    }

    fn perform<'a>(&'a self, run: &'a patch_runs::engine::Task<'a>) -> Work<'a> {
        async move {
            let task = &self.task(run);
            match &run.pending.action {
                Action::Admit { wave, hosts } => admit::admit(task, *wave, hosts).await,
                Action::RunChecks { wave } => checks::run_checks(task, *wave).await,
                Action::Patch { hosts } => deploy::deploy(task, hosts).await,
                Action::RollBack { hosts } => deploy::roll_back(task, hosts).await,
                Action::Recover { hosts } => deploy::recover(task, hosts).await,
                Action::Verify { hosts } => verify(task, hosts).await,
                other => {
                    let reason = format!("`{}` does not apply to customers", other.name());
                    Ok((Answer::CouldNot { reason: reason.clone() }, Evidence::logged(reason)))
                }
            }
        }
        .boxed()
    }

    fn change_text(
        &self,
        run: &patch_runs::engine::Task<'_>,
        plan: &Plan,
        what: &str,
    ) -> ApiResult<ChangeText> {
        let Deployment { version, customers, .. } = deployment_of(Some(plan))?;
        let (count, waves) = (customers.len(), plan.waves.len());
        Ok(ChangeText {
            short_description: format!("{version} to {count} customers: {what}"),
            description: format!(
                "Run {} deploys {version} to {count} customers in {waves} waves, with the delays and windows of the plan.",
                run.loaded.row.id
            ),
            backout_plan: "A customer that is not healthy is rolled back to the version it ran before."
                .to_owned(),
        })
    }

    fn count_text(&self, count: usize) -> String {
        format!("{count} customers")
    }

    fn done_text(&self) -> &'static str {
        "customers deployed to"
    }

    /// None: each customer is locked only while it is deployed to. A rollout that waits for weeks must not block an urgent one.
    fn locked_together(&self, _: &Plan) -> BTreeSet<CiId> {
        BTreeSet::new()
    }

    /// A customer is not a CI: its own record says what it runs.
    fn report<'a>(
        &'a self,
        _: &'a patch_runs::engine::Task<'a>,
    ) -> BoxFuture<'a, ApiResult<Option<simulator::Actual>>> {
        std::future::ready(Ok(None)).boxed()
    }

    fn alert<'a>(&'a self, run: &'a patch_runs::engine::Task<'a>) -> BoxFuture<'a, ApiResult<LogLines>> {
        async move { review::follow_up(&self.task(run)).await }.boxed()
    }
}

fn deployment<'a>(task: &Task<'a>) -> ApiResult<&'a Deployment> {
    deployment_of(task.loaded.plan.as_deref())
}

/// The verification is the state of the health watch at this moment.
async fn verify(task: &Task<'_>, customers: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let names: Vec<String> = customers.iter().map(CiId::to_string).collect();
    let mut conn = task.app.pool.acquire().await?;
    let watches = health_watches::list_watches(&mut conn, &names).await?;
    drop(conn);
    let machine = &task.loaded.row.machine;
    let judge = |customer: &CiId| {
        let is_new = machine.hosts.get(customer).is_some_and(|host| host.state == HostState::Succeeded);
        let watch =
            watches.iter().find(|watch| &watch.customer == customer && watch.run == task.loaded.row.id);
        match watch.filter(|_| is_new) {
            Some(watch) if watch.state == WatchState::Unhealthy => Verification::Failed {
                reason: watch.reason.clone().unwrap_or_else(|| "it is unhealthy".to_owned()),
            },
            _ => Verification::Healthy,
        }
    };
    let results: BTreeMap<CiId, Verification> = customers.iter().map(|id| (id.clone(), judge(id))).collect();
    let healthy = results.values().filter(|result| **result == Verification::Healthy).count();
    let text = format!("{healthy} of {} customers are healthy; the health watch continues", customers.len());
    Ok((Answer::Verified(results), Evidence::logged(text)))
}
