//! Advisories and their import.

use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PatchStateOfPackage, Severity};

/// An advisory in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AdvisorySummary {
    pub id: String,
    pub source: String,
    pub summary: String,
    pub severity: Severity,
    pub exploited: bool,
    pub cve_ids: Vec<String>,
    pub published: DateTime<Utc>,
    pub modified: DateTime<Utc>,
    pub withdrawn: Option<DateTime<Utc>>,
    pub affected_cis: i64,
}

/// A CVE or an advisory, with all that fix it and all CIs that lack a fix.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryDetail {
    /// The id that was asked for.
    pub id: String,
    pub advisories: Vec<Advisory>,
    pub affected_total: i64,
    /// One page of the affected CIs, in order of their ids.
    pub affected: Vec<AffectedCi>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Advisory {
    #[serde(flatten)]
    pub summary: AdvisorySummary,
    pub details: String,
    pub references: Vec<String>,
    /// Probability that one of its CVEs is exploited within 30 days (EPSS), 0 to 1; absent when no score was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploit_probability: Option<f64>,
    pub packages: Vec<AdvisoryPackage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryPackage {
    pub os: String,
    pub package: String,
    pub fixed: Option<String>,
}

/// A CI that lacks a fix, and why it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AffectedCi {
    pub ci_id: CiId,
    pub advisory_id: String,
    pub package: String,
    pub installed: String,
    pub fixed: String,
    pub state: PatchStateOfPackage,
    pub due: DateTime<Utc>,
}

/// What became of an import: one bad record never loses the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryImportReport {
    /// Recognised format.
    pub format: String,
    pub read: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub withdrawn: u64,
    pub refused: Vec<RefusedAdvisory>,
    /// Records refused beyond those listed.
    pub refused_more: u64,
    pub warnings: Vec<String>,
    /// CIs whose pending patches changed by it.
    pub cis_changed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedAdvisory {
    /// Name of the file or number of the record.
    pub record: String,
    pub reason: String,
}
