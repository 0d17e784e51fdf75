//! Policies and what they come to.

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, PolicyId},
    policy::Policy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::page::Versioned;

/// A policy as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StoredPolicy {
    #[serde(flatten)]
    pub policy: Policy,
    /// Grows with every change; the strong ETag is `"<version>"`.
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
}

impl Versioned for StoredPolicy {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What a policy means now, before anybody relies on it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyPreview {
    pub policy_id: PolicyId,
    /// CIs selected at this moment.
    pub targets: Vec<CiId>,
    /// The next five occurrences, in UTC and on the policy's own clock.
    pub occurrences: Vec<Occurrence>,
    /// Other policies that select some of the same CIs.
    pub conflicts: Vec<PolicyConflict>,
    /// CIs for which another policy takes precedence.
    pub effective: Vec<EffectivePolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Occurrence {
    pub at: DateTime<Utc>,
    /// RFC 3339 with the offset of the policy's zone.
    pub local: String,
    pub time_zone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyConflict {
    pub policy_id: PolicyId,
    pub reason: String,
    pub ci_ids: Vec<CiId>,
}

/// The policy that decides for a CI: the one with the most target tags, then the one whose id comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EffectivePolicy {
    pub ci_id: CiId,
    pub policy_id: PolicyId,
}
