//! The events of a run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    action::WaitCause,
    state::{HostState, RunState},
};
use crate::{
    ids::{ChangeId, CiId},
    workflow::WorkflowStep,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The outcome of the pending action.
    Answered {
        step: u64,
        answer: Answer,
    },
    /// A host of the pending `Patch` reached another step of its workflow.
    HostProgressed {
        step: u64,
        host: CiId,
        state: HostState,
    },
    /// A host of the pending `Patch` finished.
    HostFinished {
        step: u64,
        host: CiId,
        result: HostResult,
    },
    /// The pending action turns out to be so much more work than its stage allows for.
    TakesLonger {
        step: u64,
        seconds: u32,
    },
    /// A host that was finished turns out to be unhealthy.
    HostUnhealthy {
        host: CiId,
        reason: String,
    },
    Cancel {
        reason: String,
    },
    Pause {
        reason: String,
    },
    /// What is stored may be older than what was done. Nothing is performed until an operator resumes or stops the run.
    NeedsOperator {
        reason: String,
    },
    Resume,
    /// Retry the failed hosts of the waves so far.
    RetryFailed,
    /// Leave out a host on which the work has not begun, or do not try a failed one again.
    SkipHost {
        host: CiId,
        reason: String,
    },
    /// Roll every changed host back to its snapshot, and end.
    RollBack {
        reason: String,
    },
    /// The run's deadline has passed.
    DeadlinePassed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The plan is made and stored.
    Planned,
    NothingToDo,
    ChangeOpened {
        change_id: ChangeId,
    },
    ChangeIs(Approval),
    Valid,
    /// It may become valid later: the window is not open yet, a freeze ends.
    NotYet {
        #[serde(default)]
        cause: WaitCause,
        reason: String,
        retry_at: DateTime<Utc>,
    },
    Invalid {
        reason: String,
    },
    /// The plan made again is close enough to the approved one. These hosts are gone, each with the reason.
    PlanHolds {
        gone: BTreeMap<CiId, String>,
    },
    /// The plan made again is too different from the approved one.
    PlanVoid {
        reason: String,
    },
    WorkBegun,
    /// The hosts that may start now, and those that never may, each with its reason.
    Admitted {
        hosts: BTreeSet<CiId>,
        left_out: BTreeMap<CiId, String>,
        /// Hosts that are down now for a reason outside this run.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        down: BTreeSet<CiId>,
    },
    Snapshots(BTreeMap<CiId, Result<Uuid, String>>),
    Tests(BTreeMap<CiId, TestRun>),
    /// The whole batch is over; a host without a reported end gets the result given here.
    Patched {
        unfinished: BTreeMap<CiId, HostResult>,
    },
    RolledBack(BTreeMap<CiId, Result<(), String>>),
    Soaked,
    #[serde(rename = "Settled")]
    Recovered(BTreeMap<CiId, Result<(), String>>),
    Verified(BTreeMap<CiId, Verification>),
    /// Which hosts were scanned, and why the others were not.
    Rescanned(BTreeMap<CiId, Result<(), String>>),
    Reported,
    Alerted,
    /// It could not be performed within its whole time.
    CouldNot {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approval {
    Waiting,
    Approved,
    Refused { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostResult {
    Succeeded,
    Failed {
        reason: String,
        /// The step that failed, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<WorkflowStep>,
    },
    Unreachable {
        reason: String,
    },
    TimedOut {
        reason: String,
    },
    /// It was stopped at the run's own request, between two steps.
    Interrupted,
}

/// The tests of one host, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRun {
    pub passed: BTreeSet<String>,
    pub failed: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verification {
    Healthy,
    Failed {
        reason: String,
    },
    /// The state could not be determined.
    Inconclusive {
        reason: String,
    },
}

/// An event that the run's state does not allow; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the run has ended as `{}`", .0.name())]
    Ended(RunState),
    #[error("the run is `{}`; {reason}", state.name())]
    NotNow { state: RunState, reason: &'static str },
    #[error("step {given} is not the one the run waits for")]
    StaleStep { given: u64 },
    #[error("the answer does not fit the action `{action}`")]
    WrongAnswer { action: &'static str },
    #[error("host `{0}` has not been patched by this run")]
    NotDone(CiId),
    #[error("host `{0}` is not among those being patched")]
    NotInBatch(CiId),
    #[error("host `{host}` cannot be skipped: {reason}")]
    NotSkipped { host: CiId, reason: &'static str },
}
