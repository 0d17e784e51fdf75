//! The performers: one per action. Each can be performed again after a crash and does the work once.

mod change;
mod close;
mod hosts;
mod patch;
mod plan;
mod reboots;
mod snapshot;
mod step_watch;
mod tests;
mod verify;

use ansible::Orphan;
use domain::run::{Action, Answer, Pending};
use leases::Lease;
use service_kit::ApiResult;
use tokio::sync::watch;

pub(super) use hosts::{plan_of, undisturbed};
pub(super) use patch::tell;

use super::{
    release,
    transition::{Evidence, Loaded},
};
use crate::service::App;

/// What the run wants of the action under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    GoOn,
    /// Come to an end that can be stated: no further task, package transactions finish.
    Stop,
}

/// One action to perform.
pub(super) struct Task<'a> {
    pub app: &'a App,
    pub lease: &'a Lease,
    pub loaded: &'a Loaded,
    pub pending: &'a Pending,
    /// Somebody began it before and did not live to tell its end.
    pub began_before: bool,
    pub orders: watch::Receiver<Order>,
}

pub(super) async fn perform(task: Task<'_>) -> ApiResult<(Answer, Evidence)> {
    tracing::debug!(run.id = %task.loaded.row.id, run.step = task.pending.step, again = task.began_before, "{}", task.pending.action.name());
    if release::is_about_customers(&task) {
        return release::perform(&task).await;
    }
    match &task.pending.action {
        Action::Plan => match release::plan(&task).await? {
            Some(planned) => Ok(planned),
            None => plan::plan(&task).await,
        },
        Action::OpenChange => change::open_change(&task).await,
        Action::CheckChange { change_id } => change::check_change(&task, change_id).await,
        Action::Validate { change_id } => change::validate(&task, change_id).await,
        Action::BeginWork { change_id } => change::begin_work(&task, change_id).await,
        Action::Admit { .. } | Action::RunChecks { .. } => Ok((
            Answer::CouldNot { reason: "this plan has no customers".to_owned() },
            Evidence::logged("asked about customers by a plan that has none"),
        )),
        Action::Snapshot { hosts } => snapshot::snapshot(&task, hosts).await,
        Action::Test { phase, hosts } => tests::test(&task, *phase, hosts).await,
        Action::Patch { hosts } => patch::patch(&task, hosts).await,
        Action::RollBack { hosts } => snapshot::roll_back(&task, hosts).await,
        Action::Soak { until } => {
            task.app.clock.sleep_until(*until).await;
            Ok((Answer::Soaked, Evidence::default()))
        }
        Action::Recover { hosts } => hosts::settle(&task, hosts).await,
        Action::Verify { hosts } => verify::verify(&task, hosts).await,
        Action::Report => close::report(&task).await,
        Action::Alert => close::alert(&task).await,
    }
}

/// Ends the playbook that an earlier owner of the step left behind on this machine, before the step begins anew.
pub(super) async fn end_orphan(process: Option<&serde_json::Value>) {
    let Some(orphan) = process.and_then(|process| serde_json::from_value::<Orphan>(process.clone()).ok())
    else {
        return;
    };
    let end = orphan.end(std::time::Duration::from_secs(10)).await;
    tracing::info!(process.end = ?end, "looked for the playbook an earlier owner had started");
}
