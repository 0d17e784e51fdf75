//! How well customers are, and the issues that they report.

use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    release::{HealthSample, Tier, Version},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CustomerWatch, WatchState};

/// The current and past health of a customer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CustomerHealthDetail {
    pub customer: CiId,
    pub name: String,
    pub tier: Tier,
    pub current_version: Version,
    /// Checked for this answer.
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

/// An issue that a customer reports. After a critical one, the version counts as unhealthy.
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
    /// What the customer ran; null in reports from before it was recorded.
    #[serde(default)]
    pub customer_version: Option<Version>,
    pub reported_by: String,
    pub reported_at: DateTime<Utc>,
}
