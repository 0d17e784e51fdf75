//! One action to perform, with all that its performer needs.

use domain::{plan::Plan, run::Pending};
use leases::Lease;
use service_kit::{ApiError, ApiResult};
use tokio::sync::watch;

use super::SubjectWork;
use crate::{App, app::transition::LoadedRun};

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
}
