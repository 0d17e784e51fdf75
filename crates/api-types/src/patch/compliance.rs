//! Compliance: roll-ups, the patch state of one CI, scans, inventories.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
pub use domain::compliance::{
    ComplianceStatus, CoverageState, NoFix, PatchStateOfPackage, Severity, UnknownCause,
};
use domain::{
    ids::{CiId, PolicyId, ScanId},
    package::RepositoryAnswer,
    restart::StaleServices,
    selector::Selector,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BaselineNote, PendingRestart};

/// Compliance of the whole fleet, by dimension. The counts change in the same transaction as the results.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ComplianceSummary {
    pub total: ComplianceCounts,
    pub by_policy: BTreeMap<String, ComplianceCounts>,
    pub by_env: BTreeMap<String, ComplianceCounts>,
    pub by_os: BTreeMap<String, ComplianceCounts>,
    pub by_tier: BTreeMap<String, ComplianceCounts>,
    pub by_owner: BTreeMap<String, ComplianceCounts>,
    pub by_cluster: BTreeMap<String, ComplianceCounts>,
    /// Time of the oldest scan of an active host.
    pub oldest_scan: Option<DateTime<Utc>>,
    /// Time of the newest scan of an active host.
    pub newest_scan: Option<DateTime<Utc>>,
    /// What is known of the releases of these hosts, worst first.
    #[serde(default)]
    pub coverage: Vec<ReleaseCoverage>,
}

/// What the imported feeds know of a release, and up to when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseCoverage {
    /// `rocky:9`; `ubuntu-pro:22.04` for the paid channel of a release.
    pub release: String,
    /// The channel, if hosts subscribe to it in addition to their release: `pro`, `ltss`, `eus`.
    pub channel: Option<String>,
    pub state: CoverageState,
    /// What is missing; absent if the release is covered.
    pub reason: Option<String>,
    /// Active hosts with this release in their `os` tag.
    pub hosts: i64,
    pub feeds: Vec<FeedCoverage>,
    /// The last day on which the vendor publishes fixes to everybody; absent if it is not known.
    pub end_of_support: Option<NaiveDate>,
}

/// A feed for a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedCoverage {
    /// The publisher of the notices: `rocky`, `debian`.
    pub feed: String,
    /// Notices in force.
    pub notices: i64,
    /// Publication of the newest notice.
    pub newest_notice: DateTime<Utc>,
    /// When it was last imported to its end.
    pub fetched_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceCounts {
    pub compliant: i64,
    pub non_compliant: i64,
    pub unknown: i64,
    /// Share of compliant CIs, in percent; unknown counts as not compliant.
    pub percent: f64,
}

/// The patch state of one CI: per policy, and the worst of them.
// `P` lets the server send pending fixes that are already serialised.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = CiCompliance)]
pub struct CiCompliance<P = PendingPatch> {
    pub ci_id: CiId,
    pub os_type: String,
    pub compliance_status: ComplianceStatus,
    /// Why the status is unknown; absent if it is known.
    #[serde(default)]
    pub unknown_cause: Option<UnknownCause>,
    pub reason: String,
    #[serde(default)]
    pub packages: PackageKnowledge,
    /// When the advisories of its releases were last imported; absent if one of the releases is not covered.
    #[serde(default)]
    pub feed_fetched: Option<DateTime<Utc>>,
    /// Newest month for which every applicable advisory up to its end is installed; absent if there is none.
    pub current_patch_level: Option<String>,
    pub target_patch_level: Option<String>,
    /// SHA-256 over the installed packages and versions.
    pub package_digest: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
    /// Services that run code which an update has replaced, found by the last scan: what they run may still lack a fix.
    #[serde(default)]
    pub pending_restart: PendingRestart,
    /// What the host's package manager said when it was asked what it can install. A host that cannot answer is not planned.
    #[serde(default)]
    pub repositories: RepositoryAnswer,
    /// Updates on offer from a security suite for which no notice is known: they are pending, and what they fix is unknown.
    #[serde(default)]
    pub notice_unknown: Vec<UnnoticedUpdate>,
    #[schema(value_type = Vec<PendingPatch>)]
    pub pending_patches: Vec<P>,
    pub policies: Vec<PolicyCompliance>,
}

/// How much is known of the packages of a CI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageKnowledge {
    pub installed: i64,
    /// Installed packages of other vendors than the distribution: its advisories say nothing about them.
    pub third_party: i64,
    /// Installed packages that do not name their vendor.
    pub unknown_vendor: i64,
    /// Packages that could not be read. A CI with such a package is never compliant.
    pub unread: i64,
    /// The first of them.
    pub unread_packages: Vec<UnreadPackage>,
}

/// A line or a part of an inventory that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnreadPackage {
    /// Its line or component, or the package's name.
    pub place: String,
    pub reason: String,
}

/// The result of one policy for one CI.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyCompliance {
    pub policy_id: PolicyId,
    pub compliance_status: ComplianceStatus,
    /// Why the status is unknown; absent if it is known.
    #[serde(default)]
    pub unknown_cause: Option<UnknownCause>,
    pub reason: String,
    pub target_patch_level: Option<String>,
    pub current_patch_level: Option<String>,
    /// Missing fixes that belong to the baseline of the policy, without those with an exception.
    pub pending: i64,
    /// Missing fixes that its rules leave out; the `baseline` of each pending fix says why.
    #[serde(default)]
    pub left_out: i64,
    pub last_scanned: Option<DateTime<Utc>>,
}

/// An update on offer from a security suite without a known notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnnoticedUpdate {
    pub package: String,
    pub installed: String,
    pub candidate: String,
    /// As apt names it: `Debian-Security:12/stable-security`.
    pub origin: String,
}

/// A missing fix of a CI, with the versions that prove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingPatch {
    pub package: String,
    pub installed: String,
    pub fixed: String,
    /// The version that the host's repositories offer now; absent if they offer nothing newer.
    pub installable: Option<String>,
    /// Whether that version contains the fix. Absent if the repositories were not queried, or if it cannot be decided.
    #[serde(default)]
    pub installable_now: Option<bool>,
    pub advisory_id: String,
    pub cve_ids: Vec<String>,
    pub severity: Severity,
    /// Known to be exploited (CISA KEV).
    pub exploited: bool,
    /// When it was first imported, if the feed gives no date.
    pub published: DateTime<Utc>,
    /// When it must be fixed under the service-level agreement; null if it is unknown, because the feed gives no date.
    pub due: Option<DateTime<Utc>>,
    pub state: PatchStateOfPackage,
    /// The rule that matched it.
    pub rule: String,
    /// The policies of the host that leave it out of their baseline and why, and those that include it although something is
    /// unknown. Empty: it simply belongs to the baseline of each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<BaselineNote>,
}

/// Days from publication until a fix must be installed. Exploitation can only shorten the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevels {
    /// For CVEs known to be exploited, of any severity.
    pub exploited_days: u32,
    pub critical_days: u32,
    pub high_days: u32,
    pub other_days: u32,
}

/// How well service levels are met, by dimension.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TimelinessReport {
    pub as_of: DateTime<Utc>,
    /// First day of the months whose installed fixes count.
    pub repairs_since: NaiveDate,
    pub service_levels: ServiceLevels,
    pub total: Timeliness,
    pub by_policy: BTreeMap<String, Timeliness>,
    pub by_env: BTreeMap<String, Timeliness>,
    pub by_os: BTreeMap<String, Timeliness>,
    pub by_tier: BTreeMap<String, Timeliness>,
    pub by_owner: BTreeMap<String, Timeliness>,
    pub by_cluster: BTreeMap<String, Timeliness>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeliness {
    pub hosts: i64,
    /// Hosts that are missing an overdue fix without an exception.
    pub hosts_in_breach: i64,
    /// Fixes that were missing before and that a scan found installed, without those whose feed gives no date.
    pub fixes_installed: i64,
    /// Of these, installed after their due date.
    pub fixes_installed_late: i64,
    /// From publication to the scan that found the fix; absent if no fix was installed.
    pub mean_days_to_patch: Option<f64>,
    /// Open exposure in host-CVE-days, counted from publication: a host with two open CVEs adds two per day. CVEs
    /// whose feed gives no date are not counted; nor are CVEs without a fix.
    pub open_cve_days: f64,
    /// Host-CVE-days of installed fixes.
    pub closed_cve_days: f64,
}

/// One row of the export.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ComplianceRow {
    pub ci_id: CiId,
    pub policy_id: Option<PolicyId>,
    pub os_type: String,
    pub env: String,
    pub compliance_status: ComplianceStatus,
    /// Why the status is unknown; absent if it is known.
    #[serde(default)]
    pub unknown_cause: Option<UnknownCause>,
    pub reason: String,
    /// When the advisories of its release were last imported; absent if the release is not covered.
    #[serde(default)]
    pub feed_fetched: Option<DateTime<Utc>>,
    /// Packages that could not be read.
    #[serde(default)]
    pub unread: i64,
    pub current_patch_level: Option<String>,
    pub target_patch_level: Option<String>,
    pub pending: i64,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
}

/// Which CIs to scan; all managed CIs by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StartScan {
    pub selector: Option<Selector>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScanState {
    Queued,
    Running,
    Succeeded,
    /// Some CIs could not be scanned.
    Partial,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Scan {
    pub id: ScanId,
    pub state: ScanState,
    pub requested_by: String,
    pub selector: Selector,
    pub total: i64,
    pub scanned: i64,
    pub failed: i64,
    pub failures: Vec<ScanFailure>,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScanFailure {
    pub ci_id: CiId,
    pub reason: String,
    /// It has no tag `os`, and the scan could not read it: patching does not manage it yet.
    #[serde(default)]
    pub unmanaged: bool,
}

/// The packages of one host, from a scan or pushed by an agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    pub ci_id: CiId,
    /// The same host and scan id are recorded once.
    #[serde(default)]
    pub scan_id: Option<String>,
    /// `rocky:9`, `debian:12`, `ubuntu:22.04`, or a tag such as `rocky9`.
    pub os: String,
    #[serde(default)]
    pub collected_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub boot_id: Option<String>,
    /// As `uname -r` prints it. Leave it out for a container, which runs the kernel of its own host.
    #[serde(default)]
    pub running_kernel: Option<String>,
    /// Something on the host asks for a reboot. A newer installed kernel than the running one, of the same flavour, counts without it.
    #[serde(default)]
    pub reboot_pending: bool,
    /// Services that run deleted files. Absent: nobody looked.
    #[serde(default, skip_serializing_if = "StaleServices::is_not_checked")]
    pub stale_services: StaleServices,
    /// Whether the host's package manager was asked what its repositories offer. If it was, a package without a `candidate` has no
    /// update on offer. Absent: it was not asked, and plans from this inventory are unverified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<RepositoryAnswer>,
    /// Channels that the host is subscribed to in addition to its OS: `ubuntu-pro:20.04`, `rhel-eus:9.2`, `sles-ltss:15.3`; of Ubuntu and
    /// SLES also by name, such as `esm-infra`. Installed builds such as `+esm` show theirs by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Addresses of its enabled repositories, which show further channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repository_urls: Vec<String>,
    /// Enabled module streams, `nodejs:20`, as `dnf module list --enabled` prints them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enabled_modules: Vec<String>,
    pub packages: Vec<InventoryPackage>,
    /// What the collector found and could not read. It is stored with the packages, and the host is never compliant with it.
    #[serde(default)]
    pub unread: Vec<UnreadPackage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryPackage {
    pub name: String,
    /// `[epoch:]version[-release]`.
    pub version: String,
    #[serde(default)]
    pub arch: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub source_version: Option<String>,
    /// Modularity label, `name:stream:...`.
    #[serde(default)]
    pub module: Option<String>,
    #[serde(default)]
    pub held: bool,
    /// Newest version the host's repositories offer.
    #[serde(default)]
    pub candidate: Option<String>,
    /// All newer versions that the repositories offer, oldest first, if they were listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<String>,
    /// Where the candidate comes from, as apt names it: `Debian-Security:12/stable-security`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_origin: Option<String>,
    /// Whether the repositories still offer the installed version, too, so that an update can be rolled back from them.
    #[serde(default)]
    pub returnable: bool,
    /// The vendor that the package names.
    #[serde(default)]
    pub vendor: Option<String>,
}

/// The result of pushed inventories.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct InventoryReport {
    pub read: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub refused: Vec<RefusedInventory>,
    /// Packages that could not be read and were recorded as such, in all inventories.
    #[serde(default)]
    pub unread: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefusedInventory {
    /// Number of the record, from 1.
    pub record: u64,
    pub reason: String,
}
