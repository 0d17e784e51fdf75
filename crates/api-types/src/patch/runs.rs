//! Runs: start, state, report.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    ids::{ChangeId, CiId, PolicyId, RunId},
    package::OmittedUpdate,
    plan::{PlanHash, WaveKind},
    run::{HostState, PauseCause, RunState, Stage, WaitCause},
    selector::Selector,
    strategy::Strategy,
    workflow::WorkflowStep,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{PendingRestart, SystemPatch};

/// Starts a run for a policy, for the remediation of an advisory, or for selected CIs. Exactly one of `policy_id`, `advisory`
/// and `selector`; only `advisory` may be combined with a `policy_id`, whose settings then apply to the remediation.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StartRun {
    pub policy_id: Option<PolicyId>,
    /// Advisory or CVE id: only its fixes are installed.
    pub advisory: Option<String>,
    pub selector: Option<Selector>,
    /// Overrides the strategy of the policy.
    pub strategy: Option<Strategy>,
    /// An approved change for exactly this plan. By default the run opens a change and waits for its approval.
    pub change_id: Option<ChangeId>,
    /// Ends after PLAN: no host is changed.
    pub dry_run: bool,
    /// Opens an emergency change and does not wait for the window. Budgets, gates and verification still apply.
    pub emergency: bool,
    /// The input of the system patching workflow, instead of an advisory or a selector. May be combined with a `policy_id` for
    /// all other settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<SystemPatch>,
}

/// Remediation of an advisory: `StartRun` without the selection.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Remediate {
    /// The policy whose settings apply.
    pub policy_id: Option<PolicyId>,
    pub strategy: Option<Strategy>,
    pub change_id: Option<ChangeId>,
    pub dry_run: bool,
    pub emergency: bool,
}

/// Why an operator cancels, pauses, resumes, retries or rolls back a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Steer {
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunTrigger {
    Schedule,
    Manual,
    Advisory,
    /// Of the failed hosts of an earlier run.
    Retry,
    /// Rolls hosts back to the snapshots of an earlier run.
    Rollback,
    /// Of a product release.
    Release,
    /// Plans again what a run was about whose approval had become void.
    Replan,
}

/// A run in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    pub id: RunId,
    pub trigger: RunTrigger,
    pub policy_id: Option<PolicyId>,
    pub advisory: Option<String>,
    pub strategy: Option<Strategy>,
    pub state: RunState,
    /// Its stage; of a paused run, the stage in which it was paused.
    pub stage: Option<Stage>,
    /// Why it is paused, waits, was stopped or failed.
    pub reason: Option<String>,
    /// The kind of reason for which it is paused. `needs_operator`: nothing is performed until an operator resumes or cancels it.
    #[serde(default)]
    pub pause_cause: Option<PauseCause>,
    /// What it waits for before it goes on, unless that is its approval.
    #[serde(default)]
    pub wait: Option<RunWait>,
    pub requested_by: String,
    pub change_id: Option<ChangeId>,
    pub plan_hash: Option<PlanHash>,
    pub dry_run: bool,
    pub emergency: bool,
    /// The run that this one retries or rolls back.
    pub of_run: Option<RunId>,
    /// The slot of the schedule it was started for.
    pub scheduled_for: Option<DateTime<Utc>>,
    pub hosts: HostCounts,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// When its current state will have lasted too long.
    pub deadline: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostCounts {
    pub total: i64,
    pub pending: i64,
    pub working: i64,
    pub succeeded: i64,
    /// Failed, timed out, unreachable, rolled back after a failure. A host that was rolled back by order counts as succeeded.
    pub failed: i64,
    pub skipped: i64,
    pub cancelled: i64,
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunWait {
    pub cause: WaitCause,
    pub reason: String,
    /// When it looks again.
    pub until: DateTime<Utc>,
}

/// A run without its plan, waves, hosts and log, which have paths of their own: `/patch/runs/{id}/plan` and so on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Staging tests before and after the update.
    pub tests: TestTotals,
    /// What was predicted for its plan. Absent until it is planned, and for deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Forecast>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WaveStatus {
    pub index: u32,
    pub name: String,
    pub kind: WaveKind,
    pub state: WaveState,
    pub hosts: HostCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaveState {
    /// Some of its hosts have not ended, and it is not the wave that the run works on.
    Pending,
    /// The run works on it.
    Running,
    /// All of its hosts have ended.
    Done,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HostStatus {
    pub ci_id: CiId,
    pub wave: Option<u32>,
    pub state: HostState,
    pub attempts: u32,
    pub snapshot_id: Option<Uuid>,
    pub error: Option<String>,
    /// Packages that this run has changed, installed or removed.
    pub changed: Vec<ChangedPackage>,
    pub rebooted: bool,
    /// Services that still ran replaced code when the work on the host ended.
    #[serde(default)]
    pub pending_restart: PendingRestart,
    /// What the run left out on the host in addition to its plan: what no pilot has tested, because the policy pins content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<OmittedUpdate>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The steps of its latest attempt, in order.
    #[serde(default)]
    pub steps: Vec<HostStep>,
}

/// One step of the work on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostStep {
    pub step: WorkflowStep,
    pub state: HostStepState,
    pub tries: u32,
    /// Why it failed.
    pub detail: Option<String>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostStepState {
    Running,
    Succeeded,
    Failed,
    /// It failed, and the policy lets the host continue without it.
    PassedOver,
    /// There was nothing to do.
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedPackage {
    pub package: String,
    /// Absent: the package is new on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Absent: the package was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestTotals {
    /// Tests with a result from before the update.
    pub before: i64,
    pub before_passed: i64,
    pub after: i64,
    pub after_passed: i64,
    /// Passed before and failed after.
    pub regressions: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    pub sequence: i64,
    pub at: DateTime<Utc>,
    pub ci_id: Option<CiId>,
    pub text: String,
}

/// An event of a run as a CloudEvent 1.0. Send its `id` as `Last-Event-ID` to resume after it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CloudEvent {
    pub specversion: String,
    pub id: String,
    pub source: String,
    /// `patch.run.state_changed.v1`, `patch.host.state_changed.v1`, `patch.host.step_changed.v1`, ...
    #[serde(rename = "type")]
    pub event_type: String,
    pub subject: Option<String>,
    pub time: DateTime<Utc>,
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// The evidence of a run: the plan, what happened, and the proof.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunReport {
    pub run: RunSummary,
    pub stages: Vec<StageReport>,
    pub waves: Vec<WaveStatus>,
    pub hosts: Vec<HostStatus>,
    pub tests: TestTotals,
    /// Packages with another version, new ones and removed ones.
    pub packages_changed: i64,
    /// Of those, packages that are new on their host.
    #[serde(default)]
    pub packages_installed: i64,
    /// Of those, packages that were removed.
    #[serde(default)]
    pub packages_removed: i64,
    /// Missing updates of each host that its plan leaves out, and why. Hosts without one are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<CiId, Vec<OmittedUpdate>>,
    pub reboots: i64,
    /// Hosts whose services still ran replaced code when the work on them ended; `pending_restart` of the host names them.
    #[serde(default)]
    pub pending_restarts: i64,
    pub compliance_before: Option<ComplianceShare>,
    pub compliance_after: Option<ComplianceShare>,
    pub prediction: Option<Forecast>,
    pub actual: Actual,
    pub incident_id: Option<String>,
    pub snapshots: Vec<RunSnapshot>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StageReport {
    pub stage: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub seconds: f64,
}

/// Compliant hosts out of a run's hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceShare {
    pub compliant: i64,
    pub total: i64,
}

/// The forecast of a plan under one strategy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Forecast {
    pub strategy: Strategy,
    pub waves: u32,
    /// Seconds from the first wave to the end of the last.
    pub duration_p50_seconds: f64,
    pub duration_p95_seconds: f64,
    pub expected_failed_hosts: f64,
    /// 0 to 1.
    pub halt_probability: f64,
    pub max_hosts_down: u32,
    /// Hosts on which work starts before the run ends or halts.
    #[serde(default)]
    pub expected_begun_hosts: f64,
    /// 0 to 1: everything is done before the first maintenance window closes. Absent without a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_in_window_probability: Option<f64>,
    /// Sum over services of seconds below `min_up`.
    pub expected_service_down_seconds: f64,
    /// Mean over all simulations of the sum over hosts of criticality x severity x seconds until patched, in weighted
    /// seconds. Rare halts dominate it: compare `exposure_p50` and `exposure_p95`.
    pub exposure: f64,
    /// Median of the exposure in weighted seconds, over the simulations that did not halt; `halt_probability` has the share of
    /// the others. Absent for predictions made before it existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_p50: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_p95: Option<f64>,
    pub simulations: u32,
    /// Attempts on hosts from which the durations were learnt. 0: only the default durations were used.
    #[serde(default)]
    pub observations: i64,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Actual {
    pub duration_seconds: Option<f64>,
    pub failed_hosts: i64,
    pub halted: bool,
    pub max_hosts_down: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunSnapshot {
    pub ci_id: CiId,
    pub snapshot_id: Uuid,
    /// Until when the driver keeps it, as the driver said. Null: not known, because it was taken before this was stored.
    pub expires_at: Option<DateTime<Utc>>,
}
