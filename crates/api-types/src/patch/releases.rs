//! Product releases, the customers they go to, and how that went.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    release::{
        Baseline, CheckKind, Checklist, Customer, Direction, Imagined, ReleaseKind, ReleaseMetrics,
        ReleasePolicies, Tier, Timeline, Urgency, Version,
    },
    run::{HostState, RunState},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{LogLine, RunSummary};
use crate::page::Versioned;

/// A customer as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoredCustomer {
    #[serde(flatten)]
    pub customer: Customer,
    /// Its health watch; null if there is none.
    pub watch: Option<CustomerWatch>,
    /// Grows with every change; the strong ETag is `"<revision>"`.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
}

impl Versioned for StoredCustomer {
    fn version(&self) -> i64 {
        self.revision
    }
}

/// The health watch over a customer after a deployment.
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
    /// Deployed, but not checked yet.
    #[serde(rename = "unseen")]
    Unchecked,
    #[serde(rename = "well")]
    Healthy,
    /// Something is wrong, but not for long enough to act.
    Doubtful,
    /// The version is rolled back, or an incident is opened.
    Unhealthy,
    Ended,
}

/// Customers and release policies, which an operator keeps in files. They are merged into what is stored: a field that is not
/// named keeps its value, `null` returns it to its default, and a list replaces the stored list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApplyConfig {
    /// Fields of customers by `slug`. These are created or changed; others stay as they are.
    #[schema(value_type = Option<Vec<Object>>)]
    pub customers: Option<Vec<Map<String, Value>>>,
    /// Fields of the release policies.
    #[schema(value_type = Option<Object>)]
    pub policies: Option<Map<String, Value>>,
    /// Only return what would change.
    pub dry_run: bool,
}

/// What the files change, or would change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDiff {
    pub dry_run: bool,
    pub created: Vec<CiId>,
    pub changed: Vec<ConfigChange>,
    pub unchanged: usize,
    /// Customers that are stored but not in the files.
    pub not_named: Vec<CiId>,
    /// What becomes weaker, one sentence each: a second person must confirm it.
    #[serde(default)]
    pub weakens: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// `customer/acme-corp` or `release-policies`.
    pub object: String,
    /// JSON pointer.
    pub field: String,
    /// Any JSON value; null if the field was absent.
    #[schema(value_type = serde_json::Value)]
    pub before: Option<serde_json::Value>,
    /// Any JSON value; null if the field is removed.
    #[schema(value_type = serde_json::Value)]
    pub after: Option<serde_json::Value>,
}

/// The table of delays, approvals, notices and rollback windows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoredReleasePolicies {
    #[serde(flatten)]
    pub policies: ReleasePolicies,
    /// 0 while nothing is stored and the defaults apply.
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
    /// By default that of its type.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// By default the previous patch version.
    #[serde(default)]
    pub base_version: Option<Version>,
    #[serde(default)]
    pub notes: String,
    /// What deployers install: a URL, an image, a path. It is passed on unchanged.
    #[serde(default)]
    pub artefact: Option<String>,
    #[serde(default)]
    pub rollback_artefact: Option<String>,
    /// When the problem was found; by default now.
    #[serde(default)]
    pub identified_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub allow_gap: bool,
    /// The issues that it resolves: numbers of tickets, CVEs. At most 200 of at most 200 characters; each counts once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolves: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateRelease {
    pub urgency: Option<Urgency>,
    pub notes: Option<String>,
    pub artefact: Option<String>,
    pub rollback_artefact: Option<String>,
    pub resolves: Option<Vec<String>>,
}

/// What to record with a line of versions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegisterLine {
    /// At most 500 characters.
    pub note: String,
}

/// A line of versions whose base was released elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseLine {
    /// `v1.1.0`: `v1.1.1` may be released although no customer runs `v1.1.0`.
    pub base_version: Version,
    pub note: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// How satisfied a customer is with a release that it runs or ran.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRelease {
    /// 1 (not at all) to 5 (very).
    pub score: u8,
    #[serde(default)]
    pub comment: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerRating {
    pub customer: CiId,
    pub version: Version,
    pub score: u8,
    pub comment: String,
    pub rated_by: String,
    pub rated_at: DateTime<Utc>,
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
    /// The issues that it resolves.
    #[serde(default)]
    pub resolves: Vec<String>,
    pub identified_at: DateTime<Utc>,
    /// Grows with every change; the strong ETag is `"<revision>"`.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

impl Versioned for Release {
    fn version(&self) -> i64 {
        self.revision
    }
}

/// The new state of an item of the checklist.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TickItem {
    pub state: TickState,
    /// Required to waive.
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

/// What to simulate.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanRelease {
    /// Slugs, names, tiers or `all`; all customers if empty.
    pub customers: Vec<String>,
    pub emergency: bool,
    /// When it begins; by default now.
    pub begin_at: Option<DateTime<Utc>>,
    pub imagined: Imagined,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleasePlan {
    pub release: Release,
    pub plan_hash: String,
    pub plan: Plan,
    pub left_out: Vec<LeftOutCustomer>,
    /// Open items of the checklist, which block the deployment.
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
    /// Slugs, names, tiers or `all`; all customers if empty.
    pub customers: Vec<String>,
    /// Only plan; nothing is changed.
    pub dry_run: bool,
}

/// All tiers at once, after validation and demo.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmergencyRelease {
    /// Recorded in the change, in its review, and with the waived items of the checklist.
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
    /// Do not wait for the customer's next window.
    #[serde(default)]
    pub at_once: bool,
}

/// Permission for the next tier to start without enough evidence.
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

/// The current state of a release.
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
    /// What the run waits for; null if it does not wait.
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

/// One customer, with its state in the latest run of the release that includes it.
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
    /// Recorded; the deployer may not have received it yet.
    Requested,
    Running,
    Succeeded,
    Failed,
    /// The deployer never reported a result.
    Unknown,
}

/// The deployment of a version to a customer.
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

/// What the receiver of a webhook reports about a deployment, signed like the request.
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

/// What happened in a rollout, or its forecast.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReleaseTimeline {
    pub version: Version,
    pub kind: ReleaseKind,
    /// `true`: simulated; `false`: from the records of a run.
    pub is_forecast: bool,
    pub state: RunState,
    pub timeline: Timeline,
    /// Customers by wave.
    pub waves: Vec<(String, Vec<CiId>)>,
}
