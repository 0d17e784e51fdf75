//! ITSM: changes, incidents, problems, notifications.

use chrono::{DateTime, Utc};
use domain::ids::{ChangeId, CiId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::page::Versioned;

pub use domain::change::{ChangeKind, ChangeState};

/// The longest texts and the largest sets that ITSM accepts.
pub mod limits {
    /// Characters of a line: subjects, titles, names.
    pub const LINE: usize = 160;
    /// Characters of prose.
    pub const TEXT: usize = 20_000;
    /// Bytes of JSON.
    pub const EVIDENCE: usize = 256 * 1024;
    /// CIs of a change or an incident.
    pub const CIS: usize = 20_000;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    Low,
    Moderate,
    High,
    VeryHigh,
}

/// A change request to open. It starts as `draft`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateChange {
    pub kind: ChangeKind,
    /// At most 160 characters.
    pub short_description: String,
    #[serde(default)]
    pub description: String,
    #[serde(default = "moderate")]
    pub risk: Risk,
    /// On whose behalf a service opens it; other callers omit it.
    #[serde(default)]
    pub requested_by: Option<String>,
    /// Who wrote what is to be done, from a service; other callers omit it. They count as editors and cannot approve it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editors: Vec<String>,
    #[serde(default)]
    pub assignment_group: Option<String>,
    pub ci_ids: Vec<CiId>,
    /// Hash of the plan this change is for (64 hex digits). Approval binds to it.
    #[serde(default)]
    pub plan_hash: Option<String>,
    /// The span in which the work may be done.
    pub start_at: DateTime<Utc>,
    pub end_at: DateTime<Utc>,
    #[serde(default)]
    pub implementation_plan: String,
    #[serde(default)]
    pub backout_plan: String,
    #[serde(default)]
    pub test_plan: String,
    /// Name of the template that pre-approves a standard change.
    #[serde(default)]
    pub template: Option<String>,
    /// Who agreed that the template approves this plan, from a service; other callers omit it. A template approves no plan
    /// without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preapproved_by: Option<String>,
    /// Addresses that get the approval request by e-mail: those of people who may approve this change. Others are refused; of
    /// a change from a service they are left out.
    #[serde(default)]
    pub approver_emails: Vec<String>,
    /// Evidence for the approver: strategy, prediction, affected services, rollback coverage.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub evidence: Value,
}

fn moderate() -> Risk {
    Risk::Moderate
}

/// An edit of a change that has not begun. Approvals are bound to what the approver read: an edit of anything but
/// `assignment_group` voids them, and the change waits for approval again (a standard change goes back to `draft`).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateChange {
    pub short_description: Option<String>,
    pub description: Option<String>,
    pub risk: Option<Risk>,
    pub assignment_group: Option<String>,
    pub ci_ids: Option<Vec<CiId>>,
    pub plan_hash: Option<String>,
    pub start_at: Option<DateTime<Utc>>,
    pub end_at: Option<DateTime<Utc>>,
    pub implementation_plan: Option<String>,
    pub backout_plan: Option<String>,
    pub test_plan: Option<String>,
}

/// A template that approves standard changes when they are submitted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Template {
    /// `monthly-baseline`.
    pub name: String,
    pub description: String,
    /// The highest risk a change under this template may have.
    pub max_risk: Risk,
    /// The longest span a change under this template may have, in hours.
    pub max_span_hours: u32,
    /// Who answers for it.
    pub owner: String,
    /// It approves nothing after this.
    pub expires_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
    /// The approver who agreed to it; `null`: nobody has yet, and it approves nothing.
    pub approved_by: Option<String>,
}

impl Template {
    /// Whether it approves changes.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.approved_by.is_some() && now < self.expires_at
    }
}

/// A template to write. It approves nothing until an approver who did not write it approves it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutTemplate {
    pub description: String,
    pub max_risk: Risk,
    /// 1 to 2400.
    pub max_span_hours: u32,
    /// Who answers for it.
    pub owner: String,
    /// At most 366 days ahead.
    pub expires_at: DateTime<Utc>,
}

/// A change request. Only verbs move its state; earlier versions are in the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    pub id: ChangeId,
    pub kind: ChangeKind,
    pub state: ChangeState,
    pub short_description: String,
    pub description: String,
    pub risk: Risk,
    pub requested_by: String,
    pub assignment_group: Option<String>,
    pub ci_ids: Vec<CiId>,
    pub plan_hash: Option<String>,
    pub start_at: DateTime<Utc>,
    pub end_at: DateTime<Utc>,
    pub implementation_plan: String,
    pub backout_plan: String,
    pub test_plan: String,
    pub template: Option<String>,
    /// Who agreed that the template approves the plan of this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preapproved_by: Option<String>,
    pub approver_emails: Vec<String>,
    /// `null` if none was given.
    #[schema(value_type = Option<Object>, required)]
    pub evidence: Value,
    /// Proof of the outcome, from when the change was closed.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub close_evidence: Option<Value>,
    /// The subject that sent the request: the requester, or a service on the requester's behalf.
    #[serde(default)]
    pub opened_by: String,
    /// Every subject that edited it, or wrote what is to be done: the policy of a run, the release configuration. Like the
    /// requester, none of them may approve it.
    #[serde(default)]
    pub edited_by: Vec<String>,
    pub approvals: Vec<Approval>,
    /// Set when an emergency change was executed and must be reviewed afterwards.
    pub review_due_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub reviewed_by: Option<String>,
    #[serde(default)]
    pub reviewed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub review_notes: Option<String>,
    pub close_code: Option<CloseCode>,
    pub close_notes: Option<String>,
    pub work_start: Option<DateTime<Utc>>,
    pub work_end: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Subject of the approver, also if a link decided, or `template:<name>` for a standard change.
    pub approver: String,
    pub decision: Decision,
    pub comment: String,
    /// The hash, CIs and span that were decided on; the approval covers no other.
    pub plan_hash: Option<String>,
    #[serde(default)]
    pub ci_ids: Vec<CiId>,
    pub start_at: DateTime<Utc>,
    pub end_at: DateTime<Utc>,
    pub decided_at: DateTime<Utc>,
    /// Voided by a later edit.
    pub voided_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Approved,
    Rejected,
}

/// An approval or rejection.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Decide {
    pub comment: String,
    /// If given, must be the change's hash: proof that the approver saw this plan.
    pub plan_hash: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseCode {
    Successful,
    SuccessfulIssues,
    Unsuccessful,
}

/// Completes, fails or cancels a change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CloseChange {
    pub close_code: Option<CloseCode>,
    pub close_notes: String,
    /// Proof of the outcome.
    #[schema(value_type = Option<Object>)]
    pub evidence: Value,
}

/// The review of an emergency change after its end, by somebody who had no part in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewChange {
    pub notes: String,
}

/// The secret part of the link of an approval request: the part after `#link=`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadByLink {
    pub token: String,
}

/// A decision by the link of an approval request; each link decides once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideByLink {
    pub token: String,
    pub decision: Decision,
    #[serde(default)]
    pub comment: String,
}

/// A change for the holder of a link.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkedChange {
    pub change: Change,
    /// The subject of the person as whom the link decides.
    pub approver: String,
    pub expires_at: DateTime<Utc>,
}

/// Starts the work of an approved change, with the plan that is to run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExecuteChange {
    pub plan_hash: Option<String>,
}

/// Everything that conflicts with a change on the same CIs in the same span; never truncated.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Conflicts {
    pub change_id: ChangeId,
    pub conflicts: Vec<Conflict>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// `change` or `freeze`.
    pub kind: String,
    /// Id of the other change or name of the freeze.
    pub with: String,
    pub state: Option<ChangeState>,
    pub ci_ids: Vec<CiId>,
    pub start_at: DateTime<Utc>,
    pub end_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    Open,
    InProgress,
    Resolved,
}

/// An incident to open. There is one per `correlation_id`: a repeated request returns the existing one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateIncident {
    pub short_description: String,
    #[serde(default)]
    pub description: String,
    pub severity: Severity,
    #[serde(default)]
    pub ci_ids: Vec<CiId>,
    #[serde(default)]
    pub change_id: Option<ChangeId>,
    #[serde(default)]
    pub correlation_id: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateIncident {
    pub short_description: Option<String>,
    pub description: Option<String>,
    pub severity: Option<Severity>,
    pub state: Option<IncidentState>,
    pub assigned_to: Option<String>,
    pub problem_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveIncident {
    pub resolution: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// `INC0000001`.
    pub id: String,
    pub state: IncidentState,
    pub short_description: String,
    pub description: String,
    pub severity: Severity,
    pub ci_ids: Vec<CiId>,
    pub change_id: Option<ChangeId>,
    pub correlation_id: Option<String>,
    pub problem_id: Option<String>,
    pub opened_by: String,
    pub assigned_to: Option<String>,
    pub resolution: Option<String>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemState {
    Open,
    KnownError,
    Resolved,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProblem {
    pub short_description: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub incident_ids: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateProblem {
    pub short_description: Option<String>,
    pub description: Option<String>,
    pub state: Option<ProblemState>,
    pub root_cause: Option<String>,
    pub workaround: Option<String>,
}

/// A problem record: the cause behind incidents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProblemRecord)]
pub struct Problem {
    /// `PRB0000001`.
    pub id: String,
    pub state: ProblemState,
    pub short_description: String,
    pub description: String,
    pub root_cause: Option<String>,
    pub workaround: Option<String>,
    pub incident_ids: Vec<String>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Email,
    Webhook,
}

/// A notification to deliver. The same `dedupe_key` is delivered once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateNotification {
    pub channel: Channel,
    /// E-mail address or URL.
    pub recipient: String,
    pub subject: String,
    pub body: String,
    #[serde(default)]
    pub dedupe_key: Option<String>,
    /// The customer that a webhook is for: a receiver has a secret for each customer. `null` for messages that belong to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CiId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// The last attempt failed.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Notification {
    /// Also the id of a webhook's event and part of an e-mail's `Message-ID`, so that the receiver recognises a
    /// duplicate.
    pub id: Uuid,
    pub channel: Channel,
    pub recipient: String,
    pub subject: String,
    pub body: String,
    #[serde(default)]
    pub dedupe_key: Option<String>,
    /// The customer that a webhook is for.
    #[serde(default)]
    pub customer: Option<CiId>,
    pub state: DeliveryState,
    pub attempts: i32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
}

impl Versioned for Change {
    fn version(&self) -> i64 {
        self.version
    }
}

impl Versioned for Incident {
    fn version(&self) -> i64 {
        self.version
    }
}

impl Versioned for Problem {
    fn version(&self) -> i64 {
        self.version
    }
}
