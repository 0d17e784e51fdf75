//! The steps of a host's workflow, and the rule for each.

use serde::{Deserialize, Serialize};

use super::Rollback;
use crate::named::named_enum;
use crate::run::HostState;

named_enum! {
    /// A step of a host's workflow, in execution order.
    WorkflowStep, "a step of the workflow" {
        /// Health, disk, package lock, maintenance.
        Precheck => "precheck",
        /// The lists of the repositories and the files of the update, while the services still run.
        Download => "download",
        PreDowntime => "pre_downtime",
        /// In the CMDB, and in monitoring through the policy's hooks.
        MaintenanceOn => "maintenance_on",
        StopServices => "stop_services",
        Drain => "drain",
        PreUpdate => "pre_update",
        Update => "update",
        Reboot => "reboot",
        StartServices => "start_services",
        /// Those that still run deleted files, as far as the policy allows it.
        RestartServices => "restart_services",
        PostUpdate => "post_update",
        /// Until every service is healthy and stays so.
        Health => "health",
        MaintenanceOff => "maintenance_off",
    }
}

/// What follows after the last failed try of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum OnFailure {
    /// The host has failed; its services are started and its maintenance ends.
    Abort,
    /// The same, and it is rolled back to its snapshot.
    Rollback,
    /// The failure is recorded and the work continues.
    Continue,
}

/// A policy's settings for a step; what it leaves out has the platform's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StepSettings {
    /// For one try, 1 to 86400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Further tries after the first, 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Before the second try; doubled before each further one. 0 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_seconds: Option<u32>,
    /// Absent: depends on the policy's `rollback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// The rule for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRule {
    pub timeout_seconds: u32,
    pub retries: u32,
    pub backoff_seconds: u32,
    pub on_failure: OnFailure,
}

impl WorkflowStep {
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// The state a host is in during the step.
    pub fn host_state(self) -> HostState {
        match self {
            Self::Precheck | Self::Download => HostState::Precheck,
            Self::PreDowntime | Self::MaintenanceOn | Self::StopServices | Self::Drain => HostState::Draining,
            Self::PreUpdate => HostState::PreStep,
            Self::Update => HostState::Patching,
            Self::Reboot => HostState::Rebooting,
            Self::StartServices | Self::RestartServices | Self::PostUpdate => HostState::PostStep,
            Self::Health | Self::MaintenanceOff => HostState::Verifying,
        }
    }

    /// Whether a host may continue without it: not if it would then count as patched and healthy without being so.
    pub fn may_be_passed_over(self) -> bool {
        !matches!(self, Self::Precheck | Self::Update | Self::StartServices | Self::Health)
    }

    /// Seconds for one try, further tries, seconds before the second one. The longer times are those of the slowest
    /// distribution upgrades and firmware seen; calls to the platform's own services are retried, because a host must
    /// not fail because the CMDB restarts.
    fn default_times(self) -> (u32, u32, u32) {
        match self {
            Self::Precheck => (120, 0, 5),
            // A timer of the host may update its packages first.
            Self::Download => (1800, 1, 30),
            Self::MaintenanceOn => (60, 2, 5),
            Self::MaintenanceOff => (60, 3, 5),
            Self::StopServices => (300, 0, 5),
            Self::StartServices | Self::RestartServices => (300, 2, 5),
            Self::PreDowntime | Self::PreUpdate | Self::PostUpdate => (600, 0, 10),
            Self::Drain => (300, 0, 10),
            Self::Update => (1800, 0, 30),
            Self::Reboot => (600, 0, 30),
            Self::Health => (600, 0, 10),
        }
    }

    /// What follows a failure by default: before the update there is nothing for a snapshot to undo, and after it a healthy
    /// host is not rolled back only because its maintenance does not end.
    fn default_on_failure(self, rollback: Rollback) -> OnFailure {
        match (self, rollback) {
            (Self::Precheck | Self::Download | Self::MaintenanceOff, _) => OnFailure::Abort,
            (_, Rollback::Auto) => OnFailure::Rollback,
            (_, Rollback::Manual | Rollback::Never) => OnFailure::Abort,
        }
    }
}

impl StepSettings {
    /// The rule that these settings make; by default the step may last at most `longest` seconds.
    pub(super) fn rule(self, step: WorkflowStep, longest: u32, rollback: Rollback) -> StepRule {
        let (timeout, retries, backoff) = step.default_times();
        let on_failure = match self.on_failure.unwrap_or_else(|| step.default_on_failure(rollback)) {
            OnFailure::Rollback if rollback == Rollback::Never => OnFailure::Abort,
            other => other,
        };
        StepRule {
            timeout_seconds: self.timeout_seconds.unwrap_or_else(|| timeout.min(longest)),
            retries: self.retries.unwrap_or(retries),
            backoff_seconds: self.backoff_seconds.unwrap_or(backoff),
            on_failure,
        }
    }

    /// Errors in the settings: field and reason.
    pub(super) fn faults(self, step: WorkflowStep, host_timeout_seconds: u32) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.timeout_seconds.is_some_and(|seconds| seconds == 0 || seconds > host_timeout_seconds) {
            faults.push((
                "timeout_seconds",
                "must be at least 1 and not exceed host_timeout_seconds".to_owned(),
            ));
        }
        if self.retries.is_some_and(|retries| retries > 10) {
            faults.push(("retries", "must be at most 10".to_owned()));
        }
        if self.backoff_seconds.is_some_and(|seconds| seconds > 3600) {
            faults.push(("backoff_seconds", "must be at most 3600".to_owned()));
        }
        if self.on_failure == Some(OnFailure::Continue) && !step.may_be_passed_over() {
            let reason = "cannot be `continue`: the host would count as done without this step";
            faults.push(("on_failure", reason.to_owned()));
        }
        faults
    }
}
