//! What stands in the way of patching on purpose: exceptions and freeze calendars.

use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Tags};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An exception to make. The service-level clock keeps running under it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateException {
    pub owner: String,
    pub reason: String,
    /// At most a year ahead.
    pub expires_at: DateTime<Utc>,
    /// The CI it is for; absent: all.
    #[serde(default)]
    pub ci_id: Option<CiId>,
    /// The advisory or CVE it is for; absent: all of the package.
    #[serde(default)]
    pub advisory_id: Option<String>,
    #[serde(default)]
    pub package: Option<String>,
    #[serde(default)]
    pub compensating_control: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Exception {
    pub id: Uuid,
    pub owner: String,
    pub reason: String,
    pub expires_at: DateTime<Utc>,
    pub ci_id: Option<CiId>,
    pub advisory_id: Option<String>,
    pub package: Option<String>,
    pub compensating_control: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub active: bool,
}

/// A freeze, as fields or as iCalendar. While it lasts, no run starts on the CIs in its scope.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCalendar {
    pub name: String,
    #[serde(default)]
    pub reason: String,
    /// Tags of the CIs to which it applies; empty: all CIs.
    #[serde(default)]
    pub scope: Tags,
    #[serde(default)]
    pub starts: Option<DateTime<Utc>>,
    #[serde(default)]
    pub ends: Option<DateTime<Utc>>,
    /// iCalendar text (RFC 5545) instead of `starts` and `ends`.
    #[serde(default)]
    pub ical: Option<String>,
}

/// CIs and a time span to check for freezes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskFreezes {
    /// At most 20,000.
    pub ci_ids: Vec<CiId>,
    pub starts: DateTime<Utc>,
    pub ends: DateTime<Utc>,
}

/// All freezes that conflict with the span, with each of their times.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FreezeConflicts {
    pub freezes: Vec<FreezeConflict>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezeConflict {
    pub name: String,
    /// The CIs of the request to which it applies.
    pub ci_ids: Vec<CiId>,
    pub starts: DateTime<Utc>,
    pub ends: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Calendar {
    pub id: Uuid,
    pub name: String,
    pub reason: String,
    pub scope: Tags,
    /// The freezes in it.
    #[schema(value_type = Vec<Object>)]
    pub freezes: serde_json::Value,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}
