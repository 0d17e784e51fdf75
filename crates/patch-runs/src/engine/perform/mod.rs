//! The performers, one per action. Each can be repeated after a crash and does the work once.

mod change;
mod close;
mod host_work;
mod hosts;
mod patch;
mod plan;
mod reboots;
mod snapshot;
mod staging_tests;
mod step_tracker;
mod verify;

use ansible::Orphan;
use api_types::patch::RunTrigger;
use domain::{
    plan::Plan,
    run::{Action, Answer, Pending},
};
use leases::Lease;
use service_kit::{ApiError, ApiResult};
use tokio::sync::watch;

pub use patch::report_event;

use super::SubjectWork;
use crate::{
    App,
    app::transition::{Evidence, LoadedRun},
};

/// Whether the action in progress must come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    Continue,
    /// Start no further task and finish package transactions.
    Stop,
}

/// One action to perform.
pub struct Task<'a> {
    pub app: &'a App,
    pub lease: &'a Lease,
    pub loaded: &'a LoadedRun,
    pub pending: &'a Pending,
    /// An earlier owner started it and did not report its end.
    pub is_repeat: bool,
    pub stop_signal: watch::Receiver<StopSignal>,
}

impl<'a> Task<'a> {
    /// The plan of a run that has one.
    pub fn plan(&self) -> ApiResult<&'a Plan> {
        let LoadedRun { row, plan } = self.loaded;
        plan.as_ref().ok_or_else(|| ApiError::internal(format!("run {} acts without a plan", row.id)))
    }

    /// The same task, which no stop interrupts: work that brings hosts to a safe state is finished.
    pub fn without_stop(&self) -> Self {
        Task { stop_signal: watch::channel(StopSignal::Continue).1, ..*self }
    }

    /// What is done to the subjects of this run.
    fn subjects(&self) -> &dyn SubjectWork {
        match self.loaded.row.trigger {
            RunTrigger::Release => &*self.app.customers,
            RunTrigger::Schedule
            | RunTrigger::Manual
            | RunTrigger::Advisory
            | RunTrigger::Retry
            | RunTrigger::Rollback => &host_work::HostWork,
        }
    }
}

pub(super) async fn perform(task: Task<'_>) -> ApiResult<(Answer, Evidence)> {
    tracing::debug!(run.id = %task.loaded.row.id, run.step = task.pending.step, again = task.is_repeat, "{}", task.pending.action.name());
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

/// Ends the playbook that an earlier owner of the action left on this machine, before the action starts again.
pub(super) async fn end_orphan(process: Option<&serde_json::Value>) {
    let Some(orphan) = process.and_then(|process| serde_json::from_value::<Orphan>(process.clone()).ok())
    else {
        return;
    };
    let end = orphan.end(std::time::Duration::from_secs(10)).await;
    tracing::info!(process.end = ?end, "checked for the playbook of an earlier owner");
}
