//! What the baselines of policies leave out, and what a change of their rules would do.

use chrono::{DateTime, Utc};
pub use domain::{baseline::BaselineRule, compliance::Classification};
use domain::{
    compliance::Severity,
    ids::{CiId, PolicyId},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the baseline of a policy says of a missing fix, beyond that it belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineNote {
    pub policy_id: PolicyId,
    pub effect: BaselineEffect,
    /// The rule that decides.
    pub rule: BaselineRule,
    /// For people: `not in the baseline: denied by glob `kernel*`: ...`.
    pub reason: String,
    /// From when the fix belongs to the baseline; absent if only a change of the rules or of the notice can do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaselineEffect {
    /// The policy does not require the fix, and its runs do not install it.
    LeftOut,
    /// The fix belongs to the baseline, although its source does not say what the rule asks for.
    IncludedAsUnknown,
}

/// What a change of a policy adds to the baselines of its hosts, and removes from them. Counted are the fixes that the hosts lack
/// now, those with an exception included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineChange {
    /// Scanned hosts that the policy selects before or after the change.
    pub hosts: i64,
    /// Of these, those whose baseline changes.
    pub hosts_changed: i64,
    /// Missing fixes that belong to the baseline only after the change, added up over all hosts.
    pub added: i64,
    /// Missing fixes that belong to it only before the change, added up over all hosts.
    pub removed: i64,
    /// The first 100 hosts whose baseline changes, by id.
    pub changed: Vec<HostBaselineChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostBaselineChange {
    pub ci_id: CiId,
    pub added: i64,
    pub removed: i64,
    /// The first 20 of those added, by package and advisory.
    pub added_fixes: Vec<ChangedFix>,
    /// The first 20 of those removed, by package and advisory.
    pub removed_fixes: Vec<ChangedFix>,
}

/// A missing fix that enters or leaves a baseline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ChangedFix {
    pub package: String,
    pub advisory_id: String,
    pub classification: Classification,
    pub severity: Severity,
    pub exploited: bool,
    /// The rule that leaves it out, before the change if it is added and after it if it is removed. Absent: the policy does not
    /// select the host then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<BaselineRule>,
    /// The same for people.
    pub reason: String,
}
