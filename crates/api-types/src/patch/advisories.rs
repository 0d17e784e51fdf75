//! Advisories and their import.

use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{NoFix, PatchStateOfPackage, Severity};

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

/// A CVE or an advisory, with the advisories that fix it and the CIs that are missing a fix.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryDetail {
    /// The requested id.
    pub id: String,
    pub advisories: Vec<Advisory>,
    /// Score and text of its CVEs, if imported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<CveNote>,
    pub affected_total: i64,
    /// CIs that are missing one of the fixes of a CVE and have another one, made for their own minor release: the fix applies, the CVE
    /// does not affect them.
    #[serde(default)]
    pub not_affected_total: i64,
    /// One page of the affected CIs, in the order in which they were registered.
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
    /// Probability that one of its CVEs is exploited within 30 days (EPSS), 0 to 1; absent if no score was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploit_probability: Option<f64>,
    pub packages: Vec<AdvisoryPackage>,
    /// Packages that do not have the flaw, according to the vendor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_affected: Vec<SparedPackage>,
    /// The advisory that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SparedPackage {
    pub os: String,
    pub package: String,
    /// The build that the vendor checked; absent if all builds are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The vendor's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryPackage {
    pub os: String,
    pub package: String,
    pub fixed: Option<String>,
    /// What the vendor says instead of a fix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_fix: Option<NoFix>,
}

/// A vulnerability of a CI's package for which its vendor has no fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnfixedVulnerability {
    pub package: String,
    pub installed: String,
    /// The release in which there is no fix.
    pub os: String,
    pub advisory_id: String,
    pub cve_ids: Vec<String>,
    pub severity: Severity,
    /// Known to be exploited (CISA KEV).
    pub exploited: bool,
    /// What the vendor says.
    pub no_fix: NoFix,
}

/// A CI that is missing a fix, with the versions that prove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AffectedCi {
    pub ci_id: CiId,
    pub advisory_id: String,
    pub package: String,
    pub installed: String,
    pub fixed: String,
    pub state: PatchStateOfPackage,
    /// Null if it is unknown, because the feed gives no date.
    pub due: Option<DateTime<Utc>>,
}

/// The result of an import. A bad record does not affect others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryImportReport {
    /// Recognised format.
    pub format: String,
    pub read: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub withdrawn: u64,
    /// Records that are replaced by another one.
    #[serde(default)]
    pub superseded: u64,
    pub refused: Vec<RefusedAdvisory>,
    /// Refused records that are not listed.
    pub refused_more: u64,
    pub warnings: Vec<String>,
    /// CIs whose pending patches it changed.
    pub cis_changed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedAdvisory {
    /// Name of the file or number of the record.
    pub record: String,
    pub reason: String,
}

/// An import: its progress and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryImport {
    pub id: Uuid,
    /// `request`, or the file of the watched folder.
    pub origin: String,
    pub requested_by: String,
    pub status: AdvisoryImportStatus,
    pub bytes_total: i64,
    /// Bytes of the feed as it was sent, compressed if it was compressed.
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
    /// Records before the error are stored.
    Failed,
    /// Its process ended. The records read until then are stored; send the feed again to continue.
    Interrupted,
}

/// A note of the National Vulnerability Database on a CVE; it is shown, never matched.
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

/// How many hosts missed the fixes of an advisory or a CVE, day by day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdvisoryHistory {
    pub id: String,
    /// Oldest first. Days before the first record are missing; a day on which nothing changed has the number of the day before.
    pub days: Vec<ExposureDay>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposureDay {
    pub day: chrono::NaiveDate,
    /// At the end of the day; of the current day, as it was last seen. A host that misses the fixes of two advisories for the same
    /// CVE counts once for each.
    pub hosts: i64,
}
