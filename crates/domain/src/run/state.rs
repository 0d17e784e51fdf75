//! The public states of runs and hosts.

use serde::{Deserialize, Serialize};

use crate::named::named_enum;

/// The stage of a run's lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Stage {
    Scheduled,
    Planning,
    AwaitingApproval,
    Validating,
    Snapshotting,
    Executing,
    Verifying,
    Reporting,
    Alerting,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Outcome {
    Succeeded,
    CompletedWithErrors,
    Failed,
    /// Stopped by a gate, its error threshold or its budget.
    Halted,
    Cancelled,
    /// It was not approved in time.
    Expired,
    /// When its work was to begin, its plan had changed by more than its policy tolerates.
    Voided,
    RolledBack,
}

named_enum! {
    /// The public state of a run.
    RunState, "a run state" {
        Scheduled => "scheduled",
        Planning => "planning",
        AwaitingApproval => "awaiting_approval",
        Validating => "validating",
        Snapshotting => "snapshotting",
        Executing => "executing",
        Verifying => "verifying",
        Reporting => "reporting",
        Alerting => "alerting",
        /// Waits for a time at which it may work: an opening of its window, the end of a freeze, the start of its change.
        AwaitingWindow => "awaiting_window",
        Paused => "paused",
        Succeeded => "succeeded",
        CompletedWithErrors => "completed_with_errors",
        Failed => "failed",
        Halted => "halted",
        Cancelled => "cancelled",
        Expired => "expired",
        Voided => "voided",
        RolledBack => "rolled_back",
    }
}

named_enum! {
    /// Why a run is paused.
    PauseCause, "a cause of a pause" {
        /// Somebody ordered it.
        Order => "order",
        /// A gate or the verification could not be decided.
        Inconclusive => "inconclusive",
        /// What is stored may be older than what was done: the database was restored or copied. Nothing at all is performed.
        NeedsOperator => "needs_operator",
    }
}

impl RunState {
    pub fn is_final(self) -> bool {
        use RunState::*;
        matches!(
            self,
            Succeeded | CompletedWithErrors | Failed | Halted | Cancelled | Expired | Voided | RolledBack
        )
    }
}

impl From<Stage> for RunState {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Scheduled => Self::Scheduled,
            Stage::Planning => Self::Planning,
            Stage::AwaitingApproval => Self::AwaitingApproval,
            Stage::Validating => Self::Validating,
            Stage::Snapshotting => Self::Snapshotting,
            Stage::Executing => Self::Executing,
            Stage::Verifying => Self::Verifying,
            Stage::Reporting => Self::Reporting,
            Stage::Alerting => Self::Alerting,
        }
    }
}

impl From<Outcome> for RunState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::CompletedWithErrors => Self::CompletedWithErrors,
            Outcome::Failed => Self::Failed,
            Outcome::Halted => Self::Halted,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Expired => Self::Expired,
            Outcome::Voided => Self::Voided,
            Outcome::RolledBack => Self::RolledBack,
        }
    }
}

named_enum! {
    /// The state of one host within a run.
    HostState, "a host state" {
        Pending => "pending",
        Precheck => "precheck",
        Snapshotting => "snapshotting",
        Draining => "draining",
        PreStep => "pre_step",
        Patching => "patching",
        Rebooting => "rebooting",
        PostStep => "post_step",
        Verifying => "verifying",
        Succeeded => "succeeded",
        Failed => "failed",
        Skipped => "skipped",
        TimedOut => "timed_out",
        Unreachable => "unreachable",
        RolledBack => "rolled_back",
        RollbackFailed => "rollback_failed",
        Cancelled => "cancelled",
    }
}

named_enum! {
    /// Why a host is down without being part of a run, or may be.
    DownCause, "a reason for which a host is down" {
        PoweredOff => "powered_off",
        Maintenance => "maintenance",
        /// The last scan did not reach it.
        Unreachable => "unreachable",
        /// An earlier run left it failed. A later run that succeeds on it, or a scan that an operator starts after its repair,
        /// ends this.
        FailedEarlier => "failed_earlier",
        /// Another run works on it.
        OtherRun => "other_run",
    }
}

impl HostState {
    /// Work on the host is in progress.
    pub fn is_working(self) -> bool {
        use HostState::*;
        matches!(
            self,
            Precheck | Snapshotting | Draining | PreStep | Patching | Rebooting | PostStep | Verifying
        )
    }

    pub fn is_final(self) -> bool {
        !self.is_working() && self != Self::Pending
    }

    /// It should have been patched and is not, because of a failure of its own.
    pub fn is_failure(self) -> bool {
        use HostState::*;
        matches!(self, Failed | TimedOut | Unreachable | RolledBack | RollbackFailed)
    }

    /// A host in this state, with this error, is not as the run should leave it. One that was rolled back by order, not after a
    /// failure, has no error.
    pub fn has_failed(self, error: Option<&str>) -> bool {
        self.is_failure() && (self != Self::RolledBack || error.is_some())
    }

    /// It may be down for its services: in progress, or failed and not restored. A host keeps running during its snapshot.
    pub fn may_be_down(self) -> bool {
        use HostState::*;
        self.is_working() && self != Snapshotting
            || matches!(self, Failed | TimedOut | Unreachable | RollbackFailed)
    }
}
