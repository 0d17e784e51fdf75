//! What a run asks to be done.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{ChangeId, CiId};

/// The one action a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Counts the actions of the run; the answer bears the same number.
    pub step: u64,
    pub action: Action,
    /// It is not to be performed before this time.
    pub not_before: DateTime<Utc>,
}

/// Performing an action twice does no harm: each is written so that what was done is found and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Select hosts, find what each misses, order them into waves.
    Plan,
    OpenChange,
    CheckChange {
        change_id: ChangeId,
    },
    /// Approval, hash, span, freezes, window: all read anew.
    Validate {
        change_id: ChangeId,
    },
    /// Tell ITSM that the work begins.
    BeginWork {
        change_id: ChangeId,
    },
    Snapshot {
        hosts: BTreeSet<CiId>,
    },
    /// Find out which of these hosts of a wave may be begun now: delays, windows, notices, freezes.
    Open {
        wave: usize,
        hosts: BTreeSet<CiId>,
    },
    /// Perform the checks of a wave.
    Check {
        wave: usize,
    },
    Test {
        phase: TestPhase,
        hosts: BTreeSet<CiId>,
    },
    /// Take these hosts through their workflow, side by side.
    Patch {
        hosts: BTreeSet<CiId>,
    },
    /// Return these hosts to their snapshots.
    RollBack {
        hosts: BTreeSet<CiId>,
    },
    Soak {
        until: DateTime<Utc>,
    },
    /// Leave hosts that were interrupted in a stated, safe condition: services running, maintenance ended.
    Settle {
        hosts: BTreeSet<CiId>,
    },
    /// Scan and check the health of all hosts that were touched.
    Verify {
        hosts: BTreeSet<CiId>,
    },
    /// CI patch states to the CMDB, the change closed, the report written.
    Report,
    /// An incident for what failed, notifications.
    Alert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestPhase {
    Before,
    After,
}

impl Action {
    /// Its name in records and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::OpenChange => "open_change",
            Self::CheckChange { .. } => "check_change",
            Self::Validate { .. } => "validate",
            Self::BeginWork { .. } => "begin_work",
            Self::Snapshot { .. } => "snapshot",
            Self::Open { .. } => "open",
            Self::Check { .. } => "check",
            Self::Test { phase: TestPhase::Before, .. } => "test_before",
            Self::Test { phase: TestPhase::After, .. } => "test_after",
            Self::Patch { .. } => "patch",
            Self::RollBack { .. } => "roll_back",
            Self::Soak { .. } => "soak",
            Self::Settle { .. } => "settle",
            Self::Verify { .. } => "verify",
            Self::Report => "report",
            Self::Alert => "alert",
        }
    }

    /// Whether a stop may drop it at once: nothing on a host depends on its end.
    pub fn is_interruptible(&self) -> bool {
        matches!(
            self,
            Self::Plan
                | Self::CheckChange { .. }
                | Self::Validate { .. }
                | Self::Soak { .. }
                | Self::Open { .. }
                | Self::Check { .. }
                | Self::Test { .. }
        )
    }
}
