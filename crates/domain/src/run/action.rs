//! The actions that a run requests.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{ChangeId, CiId};

/// The one action a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Counts the actions of the run; the answer carries the same number.
    pub step: u64,
    pub action: Action,
    /// It must not be performed before this time.
    pub not_before: DateTime<Utc>,
    /// What it waits for until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// What a run waits for before it can go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub cause: WaitCause,
    pub reason: String,
}

/// The kind of thing that a run waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum WaitCause {
    /// An opening of the maintenance window that is long enough.
    Window,
    /// The end of a freeze.
    Freeze,
    /// The planned start of the change.
    ChangeStart,
    /// Another run that has locked a host.
    Lock,
    /// Members of a service that are down without being part of this run.
    MembersDown,
    /// A condition of its own: a delay, a notice, a customer's health.
    #[default]
    Condition,
}

impl WaitCause {
    /// A time at which the run may work comes by itself. Such a wait does not use up the time that the run may take.
    pub fn is_calendar(self) -> bool {
        matches!(self, Self::Window | Self::Freeze | Self::ChangeStart)
    }
}

/// Every action is idempotent: performed again, it finds and keeps what was already done.
///
/// Runs are stored as JSON, so a renamed action keeps its stored name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Select hosts, find their missing packages, order them into waves.
    Plan,
    OpenChange,
    CheckChange {
        change_id: ChangeId,
    },
    /// Check approval, hash, time span, freezes and window again.
    Validate {
        change_id: ChangeId,
    },
    /// Plan again and compare with the approved plan.
    Replan {
        change_id: ChangeId,
    },
    /// Report to ITSM that the work begins.
    BeginWork {
        change_id: ChangeId,
    },
    Snapshot {
        hosts: BTreeSet<CiId>,
    },
    /// Decide which of these hosts of a wave may start now: the change, windows, freezes, delays, notices, hosts that are down.
    #[serde(rename = "open")]
    Admit {
        wave: usize,
        hosts: BTreeSet<CiId>,
    },
    /// Perform the checks of a wave.
    #[serde(rename = "check")]
    RunChecks {
        wave: usize,
    },
    Test {
        phase: TestPhase,
        hosts: BTreeSet<CiId>,
    },
    /// Run the workflow of these hosts, in parallel.
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
    /// Bring interrupted hosts into a known, safe state: services running, maintenance ended.
    #[serde(rename = "settle")]
    Recover {
        hosts: BTreeSet<CiId>,
    },
    /// Scan and check the health of all hosts that were changed.
    Verify {
        hosts: BTreeSet<CiId>,
    },
    /// Scan hosts whose work is not done, because what is stored about them may be old.
    Rescan {
        hosts: BTreeSet<CiId>,
    },
    /// Update the CIs' patch states in the CMDB, close the change, write the report.
    Report,
    /// Open an incident for failures, send notifications.
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
            Self::Replan { .. } => "replan",
            Self::BeginWork { .. } => "begin_work",
            Self::Snapshot { .. } => "snapshot",
            Self::Admit { .. } => "open",
            Self::RunChecks { .. } => "check",
            Self::Test { phase: TestPhase::Before, .. } => "test_before",
            Self::Test { phase: TestPhase::After, .. } => "test_after",
            Self::Patch { .. } => "patch",
            Self::RollBack { .. } => "roll_back",
            Self::Soak { .. } => "soak",
            Self::Recover { .. } => "settle",
            Self::Verify { .. } => "verify",
            Self::Rescan { .. } => "rescan",
            Self::Report => "report",
            Self::Alert => "alert",
        }
    }

    /// Whether a stop may drop it at once, because nothing on a host depends on its end.
    pub fn is_interruptible(&self) -> bool {
        matches!(
            self,
            Self::Plan
                | Self::CheckChange { .. }
                | Self::Validate { .. }
                | Self::Replan { .. }
                | Self::Soak { .. }
                | Self::Admit { .. }
                | Self::RunChecks { .. }
                | Self::Test { .. }
                | Self::Rescan { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_of_stored_runs_are_read_and_written_under_their_old_names() {
        let hosts = BTreeSet::from([CiId::new("web-1").unwrap()]);
        for (stored, action) in [
            (
                r#"{"kind":"open","wave":1,"hosts":["web-1"]}"#,
                Action::Admit { wave: 1, hosts: hosts.clone() },
            ),
            (r#"{"kind":"check","wave":2}"#, Action::RunChecks { wave: 2 }),
            (r#"{"kind":"settle","hosts":["web-1"]}"#, Action::Recover { hosts }),
        ] {
            assert_eq!(serde_json::from_str::<Action>(stored).unwrap(), action);
            assert_eq!(serde_json::to_string(&action).unwrap(), stored);
            assert!(stored.contains(&format!(r#""kind":"{}""#, action.name())));
        }
    }
}
