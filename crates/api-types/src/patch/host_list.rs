//! Lists of the fleet: hosts by compliance, what a host is missing by package, packages across hosts, compliance by day.

use chrono::{DateTime, NaiveDate, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ComplianceCounts, ComplianceStatus, PatchStateOfPackage, Severity, UnknownCause};

/// The order of a list of hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostSort {
    #[default]
    Name,
    /// Exploited first, then by the worst severity, then by the earliest due date.
    Severity,
    /// Earliest due date first.
    Due,
    /// Most pending fixes first.
    Pending,
}

/// A host in a list. What is pending is what its strictest policy requires, without exceptions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HostCompliance {
    pub ci_id: CiId,
    pub compliance_status: ComplianceStatus,
    /// Why the status is unknown; absent if it is known.
    #[serde(default)]
    pub unknown_cause: Option<UnknownCause>,
    pub reason: String,
    pub env: String,
    /// OS release in its canonical spelling, `rocky:9`; a tag that is not a known release as it is, in lower case.
    pub os: String,
    pub current_patch_level: Option<String>,
    /// Number of pending fixes.
    pub pending: i64,
    /// Severity of the worst pending fix; absent if nothing is pending.
    pub worst_severity: Option<Severity>,
    /// Number of pending fixes of CVEs that are known to be exploited.
    pub exploited: i64,
    /// Earliest due date of a pending fix; absent if nothing is pending, or if the feed gives no date.
    pub next_due: Option<DateTime<Utc>>,
    pub last_scanned: Option<DateTime<Utc>>,
}

/// What a host is missing of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingPackage {
    pub package: String,
    pub installed: String,
    /// The newest version with a fix. It contains the older fixes, too.
    pub newest_fix: String,
    /// The version that the host's repositories offer now.
    pub installable: Option<String>,
    /// Number of missing advisories.
    pub advisories: i64,
    /// Number of different CVEs that they fix.
    pub cves: i64,
    /// Number of the advisories with an exception.
    pub excepted: i64,
    pub severity: Severity,
    /// One of the CVEs is known to be exploited.
    pub exploited: bool,
    /// Earliest due date; null if it is unknown, because the feed gives no date.
    pub due: Option<DateTime<Utc>>,
    pub state: PatchStateOfPackage,
}

/// A host that has a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstalledOn {
    pub ci_id: CiId,
    pub env: String,
    /// OS release of the inventory.
    pub os: String,
    pub package: String,
    /// The installed versions that match, lowest first.
    pub versions: Vec<String>,
    /// The newest version that the host's repositories offered at its last scan.
    pub candidate: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
}

/// Compliance of a part of the fleet at the end of a day (UTC); of the current day, as it was last recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceDay {
    pub day: NaiveDate,
    /// `total`, `policy`, `env`, `os`, `tier`, `owner` or `cluster`.
    pub dimension: String,
    /// Empty for `total`.
    pub value: String,
    #[serde(flatten)]
    pub counts: ComplianceCounts,
}
