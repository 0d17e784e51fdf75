//! Product releases, the customers they go to, and how that went.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    release::{
        Baseline, CheckKind, Checklist, Customer, Direction, HealthSample, Imagined, ReleaseKind,
        ReleaseMetrics, ReleasePolicies, Tier, Timeline, Urgency, Version,
    },
    run::{HostState, RunState},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{LogLine, RunSummary};

/// A customer as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoredCustomer {
    #[serde(flatten)]
    pub customer: Customer,
    /// How it is, while it is watched.
    pub watch: Option<CustomerWatch>,
    /// Grows with every change; the strong ETag is `"<revision>"`.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
}

/// The watch over a customer after a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerWatch {
    pub state: WatchState,
    pub reason: Option<String>,
    pub version: Version,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub last_look_at: Option<DateTime<Utc>>,
    pub baseline: Option<Baseline>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchState {
    /// Deployed, and not looked at yet.
    Unseen,
    Well,
    /// Something is wrong, not for long enough to act.
    Doubtful,
    /// It is to be taken back, or somebody is told.
    Unhealthy,
    Ended,
}

/// Whether customers get something, or lose it: what an operator keeps in files.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApplyConfig {
    /// These are created or changed; others stay as they are.
    pub customers: Option<Vec<Customer>>,
    pub policies: Option<ReleasePolicies>,
    /// Only tell what would change.
    pub dry_run: bool,
}

/// What a file changes, or would.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDiff {
    pub dry_run: bool,
    pub created: Vec<CiId>,
    pub changed: Vec<ConfigChange>,
    pub unchanged: usize,
    /// Customers that are stored and not in the file.
    pub not_named: Vec<CiId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// `customer/acme-corp` or `release-policies`.
    pub object: String,
    /// JSON pointer.
    pub field: String,
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}

/// The table of delays, approvals, notices and rollback windows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoredReleasePolicies {
    #[serde(flatten)]
    pub policies: ReleasePolicies,
    /// 0: the defaults, nothing was stored yet.
    pub revision: i64,
    pub updated_at: Option<DateTime<Utc>>,
    pub updated_by: Option<String>,
}

/// A release to register.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRelease {
    pub version: Version,
    #[serde(rename = "type")]
    pub kind: ReleaseKind,
    /// Its type's own when absent.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// The patch before when absent.
    #[serde(default)]
    pub base_version: Option<Version>,
    #[serde(default)]
    pub notes: String,
    /// What deployers install: a URL, an image, a path; handed on as it is.
    #[serde(default)]
    pub artefact: Option<String>,
    #[serde(default)]
    pub rollback_artefact: Option<String>,
    /// When the problem was found; now when absent.
    #[serde(default)]
    pub identified_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub allow_gap: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateRelease {
    pub urgency: Option<Urgency>,
    pub notes: Option<String>,
    pub artefact: Option<String>,
    pub rollback_artefact: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Release {
    pub version: Version,
    #[serde(rename = "type")]
    pub kind: ReleaseKind,
    pub urgency: Urgency,
    pub base_version: Version,
    pub notes: String,
    pub artefact: Option<String>,
    pub rollback_artefact: Option<String>,
    pub checklist: Checklist,
    pub identified_at: DateTime<Utc>,
    /// Grows with every change; the strong ETag is `"<revision>"`.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// What becomes of an item of the checklist.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TickItem {
    pub state: TickState,
    /// Needed to waive.
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TickState {
    Open,
    Done,
    Waived,
}

/// What would be done, and when.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanRelease {
    /// Slugs, names, tiers or `all`; everybody when empty.
    pub customers: Vec<String>,
    pub emergency: bool,
    /// Instead of now.
    pub begin_at: Option<DateTime<Utc>>,
    pub imagined: Imagined,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleasePlan {
    pub release: Release,
    pub plan_hash: String,
    pub plan: Plan,
    pub left_out: Vec<LeftOutCustomer>,
    /// Items of the checklist that hold it.
    pub open_items: Vec<String>,
    pub timeline: Timeline,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutCustomer {
    pub customer: CiId,
    pub reason: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeployRelease {
    /// Slugs, names, tiers or `all`; everybody when empty.
    pub customers: Vec<String>,
    /// Plans and ends; nothing is touched.
    pub dry_run: bool,
}

/// All tiers at once, after validation and demo.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmergencyRelease {
    /// Kept with the change, its review, and with what of the checklist is waived by it.
    pub reason: String,
    #[serde(default)]
    pub customers: Vec<String>,
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBackRelease {
    /// Slugs, names, tiers or `all`.
    pub customers: Vec<String>,
    pub reason: String,
    /// Not in the customer's next window, where the release's type would wait for it.
    #[serde(default)]
    pub at_once: bool,
}

/// Somebody lets the next tier start although the evidence falls short.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseMode {
    Validate,
    Deploy,
    Emergency,
    Rollback,
}

/// A run of a release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleaseRun {
    pub version: Version,
    pub mode: ReleaseMode,
    #[serde(flatten)]
    pub run: RunSummary,
}

/// Everything about a release at this moment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleaseStatus {
    pub release: Release,
    pub at: DateTime<Utc>,
    /// Newest first.
    pub runs: Vec<ReleaseRunStatus>,
    pub customers: Vec<CustomerStatus>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleaseRunStatus {
    #[serde(flatten)]
    pub run: ReleaseRun,
    pub waves: Vec<ReleaseWave>,
    pub checks: Vec<CheckResult>,
    /// What the run waits for, and until when.
    pub waits_for: Option<String>,
    pub waits_until: Option<DateTime<Utc>>,
    pub log_tail: Vec<LogLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseWave {
    pub name: String,
    /// `pending`, `running` or `done`.
    pub state: String,
    pub customers: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub left_out: usize,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckResult {
    pub wave: i32,
    pub name: String,
    pub kind: CheckKind,
    /// `running`, `passed`, `failed` or `inconclusive`.
    pub result: String,
    pub log: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// One customer as the latest run of the release sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerStatus {
    pub customer: CiId,
    pub name: String,
    pub tier: Tier,
    pub current_version: Version,
    pub state: Option<HostState>,
    pub reason: Option<String>,
    pub watch: Option<CustomerWatch>,
    pub deployed_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Recorded; the deployer may or may not have heard of it.
    Requested,
    Running,
    Succeeded,
    Failed,
    /// The deployer never said how it ended.
    Unknown,
}

/// A customer's way to a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerDeployment {
    pub id: Uuid,
    pub customer: CiId,
    pub run_id: RunId,
    /// The release it belongs to.
    pub version: Version,
    pub direction: Direction,
    pub from_version: Version,
    pub to_version: Version,
    pub previous_version: Option<Version>,
    pub state: DeploymentState,
    pub progress_percent: i32,
    pub detail: Option<String>,
    pub requested_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub rolled_back_by: Option<Uuid>,
}

/// What a webhook's receiver says of a deployment, signed like the request was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentCallback {
    pub state: DeploymentState,
    #[serde(default)]
    pub progress_percent: Option<i32>,
    #[serde(default)]
    pub previous_version: Option<Version>,
    #[serde(default)]
    pub detail: Option<String>,
}

/// How a customer is, and was.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CustomerHealthDetail {
    pub customer: CiId,
    pub name: String,
    pub tier: Tier,
    pub current_version: Version,
    /// Looked at for this answer.
    pub now: HealthSample,
    pub watch: Option<CustomerWatch>,
    /// Newest first.
    pub samples: Vec<JudgedSample>,
    pub reports: Vec<IssueReport>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JudgedSample {
    #[serde(flatten)]
    pub sample: HealthSample,
    pub judgement: WatchState,
    pub reason: Option<String>,
}

/// An issue that a customer reports; a critical one takes the version back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportIssue {
    pub severity: IssueSeverity,
    pub summary: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssueSeverity {
    Critical,
    Major,
    Minor,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssueReport {
    pub id: Uuid,
    pub severity: IssueSeverity,
    pub summary: String,
    pub reported_by: String,
    pub reported_at: DateTime<Utc>,
}

/// The success metrics, of all releases and by group.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct MetricsReport {
    pub all: ReleaseMetrics,
    /// `v1.0.1`, ...
    pub by_release: BTreeMap<String, ReleaseMetrics>,
    /// `2026-Q1`, ...
    pub by_quarter: BTreeMap<String, ReleaseMetrics>,
    pub by_tier: BTreeMap<String, ReleaseMetrics>,
}

/// What happened, minute by minute: from the records of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleaseTimeline {
    pub version: Version,
    pub kind: ReleaseKind,
    /// `true`: what will happen, by simulation; `false`: what did.
    pub is_forecast: bool,
    pub state: RunState,
    pub timeline: Timeline,
    /// Customers by wave.
    pub waves: Vec<(String, Vec<CiId>)>,
}
