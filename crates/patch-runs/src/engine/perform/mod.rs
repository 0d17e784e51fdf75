//! The performers: one per action. Each can be performed again after a crash and does the work once.

mod change;
mod close;
mod host_work;
mod hosts;
mod patch;
mod plan;
mod reboots;
mod snapshot;
mod staging_tests;
mod step_watch;
mod verify;

use ansible::Orphan;
use domain::{
    plan::Subject,
    run::{Action, Answer, Pending},
};
use leases::Lease;
use service_kit::ApiResult;
use tokio::sync::watch;

pub use hosts::{plan_of, undisturbed};
pub use patch::tell;

use super::SubjectWork;
use crate::{
    App,
    app::transition::{Evidence, Loaded},
};

/// What the run wants of the action under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    GoOn,
    /// Come to a defined end: no further task, package transactions finish.
    Stop,
}

/// One action to perform.
pub struct Task<'a> {
    pub app: &'a App,
    pub lease: &'a Lease,
    pub loaded: &'a Loaded,
    pub pending: &'a Pending,
    /// An earlier owner began it and did not live to report its end.
    pub began_before: bool,
    pub orders: watch::Receiver<Order>,
}

impl Task<'_> {
    /// What is done to the subjects of this run.
    fn subjects(&self) -> &dyn SubjectWork {
        match self.loaded.row.subject {
            Subject::Host => &host_work::HostWork,
            Subject::Customer => &*self.app.customers,
        }
    }
}

pub(super) async fn perform(task: Task<'_>) -> ApiResult<(Answer, Evidence)> {
    tracing::debug!(run.id = %task.loaded.row.id, run.step = task.pending.step, again = task.began_before, "{}", task.pending.action.name());
    match &task.pending.action {
        Action::Plan => task.subjects().plan(&task).await,
        Action::OpenChange => change::open_change(&task).await,
        Action::CheckChange { change_id } => change::check_change(&task, change_id).await,
        Action::Validate { change_id } => change::validate(&task, change_id).await,
        Action::BeginWork { change_id } => change::begin_work(&task, change_id).await,
        Action::Admit { .. }
        | Action::RunChecks { .. }
        | Action::Snapshot { .. }
        | Action::Test { .. }
        | Action::Patch { .. }
        | Action::RollBack { .. }
        | Action::Recover { .. }
        | Action::Verify { .. } => task.subjects().perform(&task).await,
        Action::Soak { until } => {
            task.app.clock.sleep_until(*until).await;
            Ok((Answer::Soaked, Evidence::default()))
        }
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
