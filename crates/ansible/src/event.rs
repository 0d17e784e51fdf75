//! What a run reports while it is under way.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ids::CiId, preflight::PreflightCheck, restart::StaleServices, workflow::WorkflowStep};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::ssh::HostKey;

/// One thing that happened, in the order it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A task began on a host. Hosts proceed independently of each other.
    HostStarted {
        host: CiId,
        task: String,
        step: Option<WorkflowStep>,
    },
    HostResult(HostResult),
    /// The host showed its key for the first time. Store it, so that another key is refused from now on.
    HostKeyLearned {
        host: CiId,
        key: HostKey,
    },
    /// Always sent, exactly once, as the last event.
    Ended(Ended),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStatus {
    Ok,
    Changed,
    Failed,
    Unreachable,
    Skipped,
}

/// How one task, or one item of a task's loop, ended on one host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HostResult {
    pub host: CiId,
    pub task: String,
    /// `None` for a task that is not part of the host workflow, such as recovery after a failure.
    #[serde(deserialize_with = "known_step")]
    pub step: Option<WorkflowStep>,
    pub status: HostStatus,
    /// Label of the loop's item; `None` for the task as a whole.
    pub item: Option<String>,
    pub message: Option<String>,
    /// Members `pm` and `pm_...` of the task's result.
    pub data: Option<Value>,
    pub duration_ms: u64,
    /// Failed or unreachable, and the playbook continues by design.
    pub ignored: bool,
}

impl HostResult {
    /// How the whole work on the host ended, if this result says so.
    pub fn outcome(&self) -> Option<HostOutcome> {
        if self.item.is_some() {
            return None;
        }
        if self.status == HostStatus::Unreachable && !self.ignored {
            // Ansible runs nothing more on such a host, so no later result reports an outcome.
            return Some(HostOutcome {
                outcome: HostOutcomeKind::Unreachable,
                step: self.step,
                reason: self.message.clone(),
                ..HostOutcome::default()
            });
        }
        self.member("pm")
    }

    /// The result of one staging test.
    pub fn test(&self) -> Option<TestResult> {
        self.member("pm_test")
    }

    /// The check of preflight that finds why the task failed, if there is one.
    pub fn failed_check(&self) -> Option<PreflightCheck> {
        self.member("pm_check")
    }

    /// The version of the product that was there before, if the host knows it.
    pub fn previous_release(&self) -> Option<String> {
        self.data.as_ref()?.pointer("/pm_release/previous")?.as_str().map(str::to_owned)
    }

    fn member<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.data.as_ref()?.get(name)?).ok()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostOutcomeKind {
    Succeeded,
    #[default]
    Failed,
    /// The run was asked to stop; `step` is the first step that did not begin.
    Stopped,
    Unreachable,
}

/// How the work on a host ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct HostOutcome {
    pub outcome: HostOutcomeKind,
    /// The step that failed, or before which the run stopped.
    #[serde(default, deserialize_with = "known_step")]
    pub step: Option<WorkflowStep>,
    pub reason: Option<String>,
    pub boot_id: Option<String>,
    #[serde(default)]
    pub changed: Vec<PackageChange>,
    #[serde(default)]
    pub rebooted: bool,
    /// Planned packages that are not installed yet; `None` when this was not checked.
    #[serde(default)]
    pub pending: Option<BTreeMap<String, String>>,
    /// What the policy wants after a failure of this step: `abort` or `rollback`.
    #[serde(default)]
    pub on_failure: Option<String>,
    /// Steps that failed and were passed over, because the policy says `continue`.
    #[serde(default)]
    pub passed_over: Vec<PassedOver>,
    /// Services that still run deleted files; `None` when nobody looked.
    #[serde(default)]
    pub stale_services: Option<StaleServices>,
    /// What an operator should know of a host that is fine otherwise, such as a reboot that something still asks for.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Packages of which the repositories offer a newer version than the pinned one.
    #[serde(default)]
    pub newer: Vec<NewerVersion>,
}

/// A version that came after the pinned one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewerVersion {
    pub package: String,
    pub version: String,
}

/// A step that failed without failing its host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PassedOver {
    pub step: String,
    pub reason: String,
}

/// An unknown step is dropped: losing the whole event would be worse.
pub(crate) fn known_step<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<WorkflowStep>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|name| WorkflowStep::of_name(&name)))
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PackageChange {
    pub package: String,
    /// `None`: the package is new on the host.
    pub from: Option<String>,
    /// `None`: the package was removed.
    pub to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TestResult {
    pub name: String,
    pub kind: String,
    pub passed: bool,
    pub detail: String,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub end: End,
    pub exit: ExitKind,
    /// Hosts of the inventory without an outcome: the run ended before they did.
    pub unfinished: BTreeSet<CiId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Succeeded,
    /// The playbook completed, and at least one host failed or was unreachable.
    HostsFailed,
    /// Stopped between two steps, as requested.
    Stopped,
    /// Was asked to stop and had to be terminated.
    Terminated,
    /// Was asked to stop, did not react to SIGTERM, and was killed.
    Killed,
    TimedOut,
    /// It wrote nothing for too long, not even a heartbeat.
    Silent,
    /// Ansible could not run the playbook at all.
    Refused,
    /// Ended although nothing asked it to.
    Crashed,
}

/// Meaning of the exit status of `ansible-playbook`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    Ok,
    Error,
    HostsFailed,
    /// Also the status of a playbook that cannot be parsed; then there are no statistics.
    HostsUnreachable,
    BadOptions,
    PlayBroken,
    Interrupted,
    Unexpected,
    Signal(i32),
    Other(i32),
}

impl ExitKind {
    pub(crate) fn of(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::of_code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Other(-1),
        }
    }

    fn of_code(code: i32) -> Self {
        match code {
            0 => Self::Ok,
            1 => Self::Error,
            2 | 6 => Self::HostsFailed,
            4 => Self::HostsUnreachable,
            5 => Self::BadOptions,
            8 => Self::PlayBroken,
            99 => Self::Interrupted,
            250 | 255 => Self::Unexpected,
            other => Self::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_survives_an_unknown_step() {
        let result = HostResult::deserialize(serde_json::json!({
            "host": "h1", "task": "Report the failure", "step": null, "status": "failed", "item": null,
            "message": null, "duration_ms": 0, "ignored": false,
            "data": {"pm": {"outcome": "failed", "step": "dancing", "reason": "x", "boot_id": null}},
        }));
        let outcome = result.unwrap().outcome().unwrap();
        assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, None));
    }
}
