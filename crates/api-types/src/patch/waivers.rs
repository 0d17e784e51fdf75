//! Deliberate limits of patching: exceptions and freeze calendars.

use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    selector::Tags,
    time::{KeepOpenDays, Recurrence, Tz},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A new exception. The SLA clock keeps running.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateException {
    pub owner: String,
    pub reason: String,
    /// At most a year ahead.
    pub expires_at: DateTime<Utc>,
    /// The CI it covers; all CIs by default.
    #[serde(default)]
    pub ci_id: Option<CiId>,
    /// The advisory or CVE it covers; all of the package by default.
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
    /// IANA name of the zone in which it recurs and its months are counted; by default UTC. Not with `ical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "Europe/Berlin")]
    pub time_zone: Option<Tz>,
    /// Repeats the time from `starts` to `ends`. Not with `ical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// Of each calendar month that the freeze covers wholly, this many days at its end stay open for patching; 0 to 21. With
    /// `ical` for each of its freezes that has no number of its own.
    #[serde(default, skip_serializing_if = "KeepOpenDays::is_none")]
    #[schema(value_type = u8, maximum = 21)]
    pub keep_open_days: KeepOpenDays,
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
    /// What each of its freezes costs, from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<FreezePrice>,
}

/// What a freeze costs: the exposure that it adds, computed from what is open now. Vulnerabilities that are published later come
/// on top.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezePrice {
    /// Of the freeze, unique in its calendar.
    pub uid: String,
    pub name: String,
    pub from: DateTime<Utc>,
    /// The end of the freeze, or of the first year of one that recurs.
    pub until: DateTime<Utc>,
    /// Days from `from` to `until` in which it denies changes.
    pub frozen_days: f64,
    /// Managed hosts in its scope.
    pub hosts: i64,
    /// Hosts among these whose compliance is unknown. They are not part of the figures, which are then lower bounds.
    pub unknown_hosts: i64,
    /// Open CVEs of the known hosts times the frozen days; null if it is unknown.
    pub host_cve_days: Option<f64>,
    /// Known hosts that are in time now and whose next due date falls into it; null if it is unknown.
    pub hosts_overdue: Option<i64>,
    /// Why the figures are unknown; null if they are known.
    pub unknown_cause: Option<UnknownPrice>,
}

/// Why the price of a freeze is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// No managed host is in its scope: the scope may be misspelt, or its hosts are not known yet.
    NoHosts,
    /// It has hosts in its scope, and the compliance of every one of them is unknown.
    NoComplianceData,
    /// It allows changes at its times; what it denies depends on all entries together.
    Allowance,
}
