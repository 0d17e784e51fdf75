//! Policies and their previews.

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, PolicyId, RunId},
    policy::Policy,
    time::CrontabHint,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::BaselineChange;
use crate::page::Versioned;

/// A policy as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoredPolicy {
    #[serde(flatten)]
    pub policy: Policy,
    /// Increases with every change; the strong ETag is `"<version>"`.
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who wrote it: its creator, its last editor, and everybody who changed it after its last approved version. None of them
    /// can approve the change of its runs.
    #[serde(default)]
    pub editors: Vec<String>,
    /// The last version that somebody who did not edit it has approved for its template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<PolicyApproval>,
    /// Patterns that are valid and probably mean something else; empty: none. The policy is stored as it was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<ScheduleHint>,
}

/// Somebody has agreed that the template of a policy approves the runs of one version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyApproval {
    pub version: i64,
    pub by: String,
    pub at: DateTime<Utc>,
}

/// What somebody did to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyAct {
    Created,
    Changed,
    /// The version was approved for the template of the policy.
    Approved,
}

/// An entry of the history of a policy, from the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersion {
    /// The version that it made, or that was approved.
    pub version: i64,
    pub act: PolicyAct,
    pub at: DateTime<Utc>,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields that differ from the version before. Empty for an approval, and for the first version: all of it is new.
    #[serde(default)]
    pub changes: Vec<PolicyFieldChange>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyFieldChange {
    /// JSON pointer.
    pub field: String,
    /// Any JSON value; null if the field was absent.
    #[schema(value_type = serde_json::Value)]
    pub before: Option<serde_json::Value>,
    /// Any JSON value; null if the field was removed.
    #[schema(value_type = serde_json::Value)]
    pub after: Option<serde_json::Value>,
}

/// Approves a version of a policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovePolicy {
    /// The version that was read; 412 if the policy is newer.
    pub version: i64,
    #[serde(default)]
    pub comment: String,
}

/// A pattern of a policy that probably means something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleHint {
    /// JSON pointer to the pattern in the policy.
    pub pointer: String,
    #[serde(flatten)]
    pub hint: CrontabHint,
    /// The hint for people.
    pub message: String,
}

impl ScheduleHint {
    pub fn list(policy: &Policy) -> Vec<Self> {
        let on_the_wire = |(pointer, hint): (&str, &CrontabHint)| Self {
            pointer: pointer.to_owned(),
            hint: hint.clone(),
            message: hint.to_string(),
        };
        policy.hints().into_iter().map(on_the_wire).collect()
    }
}

impl Versioned for StoredPolicy {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What a preview does in addition.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PreviewPolicy {
    /// Whether a dry run of the policy is started, which checks on every real host that misses updates what would stop them:
    /// key, host key, sudo, Python, package locks, running transactions, disk, inodes and repositories. It changes no host. Its
    /// plan lists the hosts that fail a check in `not_ready`.
    pub preflight: bool,
    /// Fields of the policy as a change of it would send them: the preview shows in `baseline_change` what they would add and
    /// remove. Nothing is changed. Not together with `preflight`, which checks the policy as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub changes: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The current effect of a policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyPreview {
    pub policy_id: PolicyId,
    /// CIs selected now.
    pub targets: Vec<CiId>,
    /// The next five occurrences, in UTC and in the policy's time zone.
    pub occurrences: Vec<Occurrence>,
    /// Other policies that select some of the same CIs.
    pub conflicts: Vec<PolicyConflict>,
    /// CIs for which another policy takes precedence.
    pub effective: Vec<EffectivePolicy>,
    /// Patterns that are valid and probably mean something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<ScheduleHint>,
    /// The dry run that checks the hosts, if the preview was asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight_run: Option<RunId>,
    /// What the previewed changes would add to the baselines of hosts and remove from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_change: Option<BaselineChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Occurrence {
    pub at: DateTime<Utc>,
    /// RFC 3339 with the offset of the policy's zone.
    pub local: String,
    pub time_zone: String,
    /// Freezes that deny changes to some of the targets then: a run of this slot waits until the last of them ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<BlockingFreeze>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockingFreeze {
    pub name: String,
    /// Number of targets that it applies to.
    pub hosts: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyConflict {
    pub policy_id: PolicyId,
    pub reason: String,
    pub ci_ids: Vec<CiId>,
}

/// The policy that applies to a CI: the one with the most target tags, then the one with the lower id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EffectivePolicy {
    pub ci_id: CiId,
    pub policy_id: PolicyId,
}
