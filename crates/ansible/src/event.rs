//! What a run tells while it goes on.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ssh::HostKey;

/// A step of the work on a host, as the names of tasks begin with it: `patching | install the planned versions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Precheck,
    Draining,
    PreStep,
    Patching,
    Rebooting,
    PostStep,
    Verifying,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Precheck => "precheck",
            Self::Draining => "draining",
            Self::PreStep => "pre_step",
            Self::Patching => "patching",
            Self::Rebooting => "rebooting",
            Self::PostStep => "post_step",
            Self::Verifying => "verifying",
        }
    }

    /// The step of a task; `None` for one that belongs to no step, such as recovery after a failure.
    pub fn of_task(task: &str) -> Option<Self> {
        let (step, _) = task.split_once(" | ")?;
        Self::of_name(step)
    }

    /// The step of the host's workflow that a task does, by its name in the policy: `draining | stop services` is
    /// `stop_services`.
    pub fn in_workflow(task: &str) -> Option<String> {
        let (stage, step) = task.split_once(" | ")?;
        Self::of_name(stage).map(|_| step.replace(' ', "_"))
    }

    fn of_name(name: &str) -> Option<Self> {
        use Step::*;
        [Precheck, Draining, PreStep, Patching, Rebooting, PostStep, Verifying]
            .into_iter()
            .find(|step| step.name() == name)
    }
}

/// One thing that happened, in the order it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    PlaybookStarted {
        pid: u32,
    },
    PlayStarted {
        play: String,
    },
    /// A task began on the first host; hosts go on independently of each other.
    TaskStarted {
        task: String,
        step: Option<Step>,
    },
    HostStarted {
        host: CiId,
        task: String,
        step: Option<Step>,
    },
    HostResult(HostResult),
    /// The host was entered for the first time: its key is to be remembered, so that another one is refused from now on.
    HostKeyLearned {
        host: CiId,
        key: HostKey,
    },
    NoHostsMatched,
    Stats {
        hosts: BTreeMap<CiId, HostStats>,
    },
    /// Always comes, always once, always last.
    Ended(Ended),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStatus {
    Ok,
    Changed,
    Failed,
    Unreachable,
    Skipped,
}

/// How one task, or one item of a task's loop, ended on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostResult {
    pub host: CiId,
    pub task: String,
    pub step: Option<Step>,
    pub status: HostStatus,
    /// Label of the loop's item; the task as a whole has none.
    pub item: Option<String>,
    pub message: Option<String>,
    /// Members `pm` and `pm_...` of the task's result.
    pub data: Option<Value>,
    pub duration_ms: u64,
    /// Failed or unreachable, and the playbook was written to go on.
    pub ignored: bool,
}

impl HostResult {
    /// How the whole work on the host ended, when this result says so.
    pub fn outcome(&self) -> Option<HostOutcome> {
        if self.item.is_some() {
            return None;
        }
        if self.status == HostStatus::Unreachable && !self.ignored {
            // Ansible runs nothing more on such a host, so nothing else will be said about it.
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

    /// The version of the product that was there before, when the host knows.
    pub fn previous_release(&self) -> Option<String> {
        self.data.as_ref()?.pointer("/pm_release/previous")?.as_str().map(str::to_owned)
    }

    fn member<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.data.as_ref()?.get(name)?).ok()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostOutcomeKind {
    Succeeded,
    #[default]
    Failed,
    /// The run was asked to stop; `step` is the first step that was not begun.
    Stopped,
    Unreachable,
}

/// How the work on a host ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostOutcome {
    pub outcome: HostOutcomeKind,
    /// Where it failed or stopped.
    #[serde(default, deserialize_with = "known_step")]
    pub step: Option<Step>,
    pub reason: Option<String>,
    pub boot_id: Option<String>,
    #[serde(default)]
    pub changed: Vec<PackageChange>,
    #[serde(default)]
    pub rebooted: bool,
    /// Planned packages that are not installed yet; `None` when nobody has looked.
    #[serde(default)]
    pub pending: Option<BTreeMap<String, String>>,
    /// The step of the workflow in which it failed or stopped, by its name in the policy: `stop_services`.
    #[serde(default)]
    pub workflow_step: Option<String>,
    /// What the policy wants after a failure of this step: `abort` or `rollback`.
    #[serde(default)]
    pub on_failure: Option<String>,
    /// Steps that failed and were passed over, because the policy says `continue`.
    #[serde(default)]
    pub passed_over: Vec<PassedOver>,
}

/// A step that failed without failing its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    pub step: String,
    pub reason: String,
}

/// A step nobody knows is no step, rather than a reason to lose the outcome.
fn known_step<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Step>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|name| Step::of_name(&name)))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    pub package: String,
    pub from: String,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    pub name: String,
    pub kind: String,
    pub passed: bool,
    pub detail: String,
}

/// Ansible's own count of task results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStats {
    pub ok: u32,
    pub changed: u32,
    pub failures: u32,
    pub unreachable: u32,
    pub skipped: u32,
    pub rescued: u32,
    pub ignored: u32,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub end: End,
    pub exit: ExitKind,
    /// Hosts of the inventory about which the stream has no last word: the run was ended before they were.
    pub unfinished: BTreeSet<CiId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Succeeded,
    /// Went through, and at least one host failed or was unreachable.
    HostsFailed,
    /// Stopped between two steps, as asked.
    Stopped,
    /// Was asked to stop and had to be terminated.
    Terminated,
    /// Was asked to stop, terminated in vain, and killed.
    Killed,
    TimedOut,
    /// Ansible could not run the playbook at all.
    Refused,
    /// Ended without having been asked to.
    Crashed,
}

/// Exit status of `ansible-playbook`, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    Ok,
    Error,
    HostsFailed,
    /// Also the status of a playbook that cannot be parsed; then there are no `Stats`.
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
    fn tasks_carry_their_step() {
        assert_eq!(Step::of_task("patching | install the planned versions"), Some(Step::Patching));
        assert_eq!(Step::of_task("recovering | outcome"), None);
        assert_eq!(Step::of_task("patching"), None);
    }

    #[test]
    fn outcome_survives_a_step_nobody_knows() {
        let data = serde_json::json!({"pm": {"outcome": "failed", "step": "dancing", "reason": "x", "boot_id": null}});
        let result = HostResult {
            host: CiId::new("h1").unwrap(),
            task: "recovering | outcome".into(),
            step: None,
            status: HostStatus::Failed,
            item: None,
            message: None,
            data: Some(data),
            duration_ms: 0,
            ignored: false,
        };
        let outcome = result.outcome().unwrap();
        assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, None));
    }
}
