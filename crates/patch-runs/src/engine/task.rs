//! One action to perform, with all that its performer needs.

use domain::{
    plan::Plan,
    run::{Event, Pending},
};
use service_kit::{ApiError, ApiResult, problem_types};
use tokio::sync::watch;

use super::{RETRY_AFTER, SubjectWork};
use crate::{
    App,
    app::{
        owned_run::OwnedRun,
        transition::{Evidence, LoadedRun, Report, TransitionError},
    },
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
    /// What is done to customers, by the crate above.
    pub customers: &'a dyn SubjectWork,
    pub owned: &'a OwnedRun,
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
        plan.as_deref().ok_or_else(|| ApiError::internal(format!("run {} acts without a plan", row.id)))
    }

    /// The same task, which no stop interrupts: work that brings hosts to a safe state is finished.
    pub fn without_stop(&self) -> Self {
        Task { stop_signal: watch::channel(StopSignal::Continue).1, ..*self }
    }

    /// Applies an event to the run, and stores what is known about it.
    pub async fn report_event(&self, event: Event, evidence: Evidence) -> ApiResult<()> {
        self.report(vec![Report { event: Some(event), evidence }]).await
    }

    /// Applies reports to the run. While the database is unavailable it retries, and the playbook's events wait.
    pub async fn report(&self, reports: Vec<Report>) -> ApiResult<()> {
        if reports.is_empty() {
            return Ok(());
        }
        loop {
            match self.owned.apply_all(self.app, reports.clone()).await {
                Ok(()) | Err(TransitionError::Refused(_)) => return Ok(()),
                Err(TransitionError::Lost) => {
                    return Err(ApiError::new(problem_types::LOST, "another process owns the run"));
                }
                Err(TransitionError::Failed(error)) if self.owned.lease.is_alive() => {
                    tracing::warn!(run.id = %self.loaded.row.id, "cannot store what happened yet: {error}");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(TransitionError::Failed(error)) => return Err(error),
            }
        }
    }
}
