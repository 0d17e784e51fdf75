//! Advisories and their import.

use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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
    /// Score and text of its CVEs, where such were imported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<CveNote>,
    pub affected_total: i64,
    /// One page of the affected CIs, in the order in which they became known.
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
    /// Packages of which the vendor says that they do not have the flaw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_affected: Vec<SparedPackage>,
    /// The advisory that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SparedPackage {
    pub os: String,
    pub package: String,
    /// The build that the vendor looked at; absent when all are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The vendor's word for why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// Read records that say that another one has taken their place.
    #[serde(default)]
    pub superseded: u64,
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

/// An import: how far it has come, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryImport {
    pub id: Uuid,
    /// `request`, or the file of the watched folder that was taken.
    pub origin: String,
    pub requested_by: String,
    pub status: AdvisoryImportStatus,
    pub bytes_total: i64,
    /// Of the feed as it was sent; packed feeds are read packed.
    pub bytes_read: i64,
    pub started_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Counts so far.
    pub report: AdvisoryImportReport,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdvisoryImportStatus {
    Running,
    Succeeded,
    /// What was read before the fault is stored.
    Failed,
    /// Its process ended. What it had read is stored; sending the feed again goes on from there.
    Interrupted,
}

/// What the National Vulnerability Database says of a CVE; to be read, never matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CveNote {
    pub cve_id: String,
    pub description: String,
    pub severity: Severity,
    /// CVSS base score, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    pub rejected: bool,
}
