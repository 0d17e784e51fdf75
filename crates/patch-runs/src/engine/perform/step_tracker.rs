//! Follows each host of a playbook through the steps of its workflow.

use std::collections::BTreeMap;

use ansible::{HostResult as TaskResult, HostStatus};
use api_types::patch::HostStepState;
use domain::{ids::CiId, workflow::WorkflowStep};

use crate::store::host_steps::StepRecord;

/// The current step of one host.
struct CurrentStep {
    step: WorkflowStep,
    /// A task of the step did something.
    worked: bool,
    tries: u32,
    /// The reason of a failure after which the workflow continues.
    passed_over: Option<String>,
    /// What an operator should know of a step that succeeded, or why there was nothing to do.
    warning: Option<String>,
    skipped: Option<String>,
    is_closed: bool,
}

/// The steps of the hosts of one playbook.
#[derive(Default)]
pub(super) struct StepTracker {
    attempts: BTreeMap<CiId, u32>,
    at: BTreeMap<CiId, CurrentStep>,
}

impl StepTracker {
    pub fn new(attempts: BTreeMap<CiId, u32>) -> Self {
        Self { attempts, at: BTreeMap::new() }
    }

    /// A task starts on a host. Returns the records to store if it is the first task of a step.
    pub fn task_started(&mut self, host: &CiId, step: Option<WorkflowStep>) -> Vec<StepRecord> {
        let Some(step) = step else { return Vec::new() };
        if self.at.get(host).is_some_and(|at| at.step == step) {
            return Vec::new();
        }
        let mut records: Vec<StepRecord> = self.close(host).into_iter().collect();
        self.at.insert(
            host.clone(),
            CurrentStep {
                step,
                worked: false,
                tries: 1,
                passed_over: None,
                warning: None,
                skipped: None,
                is_closed: false,
            },
        );
        records.push(self.record(host, step, HostStepState::Running, 1, None));
        records
    }

    /// A task ended on a host. Returns the record to store if its step has failed.
    pub fn task_ended(&mut self, result: &TaskResult) -> Option<StepRecord> {
        let step = result.step?;
        let at = self.at.get_mut(&result.host).filter(|at| at.step == step && !at.is_closed)?;
        let member = |name: &str| result.data.as_ref().and_then(|data| data.get(name));
        let tries =
            member("pm_tries").and_then(|tries| tries.as_u64()).and_then(|tries| u32::try_from(tries).ok());
        at.tries = at.tries.max(tries.unwrap_or(1));
        at.worked |= !matches!(result.status, HostStatus::Skipped);
        if matches!(result.status, HostStatus::Skipped) {
            at.skipped.clone_from(&result.message);
        }
        if let Some(warning) = member("pm_warning").and_then(|text| text.as_str()) {
            at.warning = Some(warning.to_owned());
        }
        let is_passed_over =
            result.ignored || member("pm_continued").is_some_and(|it| it.as_bool() == Some(true));
        let has_failed = matches!(result.status, HostStatus::Failed | HostStatus::Unreachable);
        let message = || result.message.clone().unwrap_or_else(|| "it failed without a reason".to_owned());
        if is_passed_over {
            at.passed_over = Some(message());
        } else if has_failed && result.item.is_none() {
            at.is_closed = true;
            let tries = at.tries;
            return Some(self.record(&result.host, step, HostStepState::Failed, tries, Some(message())));
        }
        None
    }

    /// The host leaves its step, for the next one or because its workflow has ended.
    pub fn close(&mut self, host: &CiId) -> Option<StepRecord> {
        let at = self.at.get_mut(host).filter(|at| !at.is_closed)?;
        at.is_closed = true;
        let (step, tries, detail) = (at.step, at.tries, at.passed_over.take());
        let remark = if at.worked { at.warning.take() } else { at.skipped.take() };
        let state = match (&detail, at.worked) {
            (Some(_), _) => HostStepState::PassedOver,
            (None, true) => HostStepState::Succeeded,
            (None, false) => HostStepState::Skipped,
        };
        let detail = detail.or(remark);
        Some(self.record(host, step, state, tries, detail))
    }

    /// The last step that started on a host.
    pub fn current_step(&self, host: &CiId) -> Option<WorkflowStep> {
        self.at.get(host).map(|at| at.step)
    }

    fn record(
        &self,
        host: &CiId,
        step: WorkflowStep,
        state: HostStepState,
        tries: u32,
        detail: Option<String>,
    ) -> StepRecord {
        let attempt = self.attempts.get(host).copied().unwrap_or(1);
        StepRecord { host: host.clone(), attempt, step, state, tries, detail }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use WorkflowStep::{Drain, PreUpdate, Precheck, Update};

    fn host() -> CiId {
        CiId::new("web-01").unwrap()
    }

    fn result(step: WorkflowStep, status: HostStatus, data: serde_json::Value) -> TaskResult {
        TaskResult {
            host: host(),
            task: "some task".to_owned(),
            step: Some(step),
            status,
            item: None,
            message: Some("disk full".to_owned()),
            data: Some(data),
            duration_ms: 1,
            ignored: false,
        }
    }

    fn states(records: &[StepRecord]) -> Vec<(&'static str, HostStepState)> {
        records.iter().map(|record| (record.step.name(), record.state)).collect()
    }

    #[test]
    fn steps_start_and_end_with_their_tasks() {
        let mut tracker = StepTracker::new(BTreeMap::from([(host(), 2)]));
        assert_eq!(
            states(&tracker.task_started(&host(), Some(Precheck))),
            [("precheck", HostStepState::Running)]
        );
        assert!(tracker.task_ended(&result(Precheck, HostStatus::Ok, json!({}))).is_none());
        let records = tracker.task_started(&host(), Some(Drain));
        assert_eq!(
            states(&records),
            [("precheck", HostStepState::Succeeded), ("drain", HostStepState::Running)]
        );
        assert_eq!(records[0].attempt, 2);
        tracker.task_ended(&result(Drain, HostStatus::Skipped, json!({})));
        let records = tracker.task_started(&host(), Some(Update));
        assert_eq!(states(&records)[0], ("drain", HostStepState::Skipped));
        assert_eq!(records[0].detail.as_deref(), Some("disk full"), "a skipped step says why");
        assert!(tracker.task_started(&host(), Some(Update)).is_empty(), "one step, several tasks");
        let failed =
            tracker.task_ended(&result(Update, HostStatus::Failed, json!({ "pm_tries": 3 }))).unwrap();
        assert_eq!(
            (failed.state, failed.tries, failed.detail.as_deref()),
            (HostStepState::Failed, 3, Some("disk full"))
        );
        assert!(tracker.close(&host()).is_none(), "a failed step stays failed");
    }

    #[test]
    fn failure_after_which_the_workflow_continues_is_recorded() {
        let mut tracker = StepTracker::default();
        tracker.task_started(&host(), Some(PreUpdate));
        tracker.task_ended(&result(PreUpdate, HostStatus::Ok, json!({ "pm_continued": true })));
        let closed = tracker.close(&host()).unwrap();
        assert_eq!((closed.state, closed.detail.as_deref()), (HostStepState::PassedOver, Some("disk full")));
    }
}
