//! The performers, one per action. Each can be repeated after a crash and does the work once.

mod admit;
mod change;
mod close;
mod host_work;
mod hosts;
mod patch;
mod plan;
mod reboots;
mod replan;
mod snapshot;
mod staging_tests;
mod step_tracker;
mod verify;

use ansible::Orphan;
use domain::{
    plan::Subject,
    run::{Action, Answer},
};
use service_kit::ApiResult;

use super::{SubjectWork, Task};
use crate::app::transition::Evidence;

/// What is done to the subjects of this run.
fn subjects<'a>(task: &'a Task<'_>) -> &'a dyn SubjectWork {
    match task.loaded.row.subject {
        Subject::Host => &host_work::HostWork,
        Subject::Customer => task.customers,
    }
}

pub(super) async fn perform(task: Task<'_>) -> ApiResult<(Answer, Evidence)> {
    tracing::debug!(run.id = %task.loaded.row.id, run.step = task.pending.step, again = task.is_repeat, "{}", task.pending.action.name());
    match &task.pending.action {
        Action::Plan => subjects(&task).plan(&task).await,
        Action::OpenChange => change::open_change(&task).await,
        Action::CheckChange { change_id } => change::check_change(&task, change_id).await,
        Action::Validate { change_id } => change::validate(&task, change_id).await,
        Action::Replan { .. } => replan::replan(&task).await,
        Action::BeginWork { change_id } => change::begin_work(&task, change_id).await,
        Action::Admit { .. } => change::admit(&task).await,
        Action::RunChecks { .. }
        | Action::Snapshot { .. }
        | Action::Test { .. }
        | Action::Patch { .. }
        | Action::RollBack { .. }
        | Action::Recover { .. }
        | Action::Verify { .. }
        | Action::Rescan { .. } => subjects(&task).perform(&task).await,
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
