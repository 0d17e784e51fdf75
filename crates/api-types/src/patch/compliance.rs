//! Compliance: roll-ups, the patch state of one CI, scans, inventories.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
pub use domain::compliance::{ComplianceStatus, PatchStateOfPackage, Severity};
use domain::{
    ids::{CiId, PolicyId, ScanId},
    selector::Selector,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Compliance of the whole fleet, by dimension. From roll-ups that change with the states themselves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ComplianceSummary {
    pub total: ComplianceCounts,
    pub by_policy: BTreeMap<String, ComplianceCounts>,
    pub by_env: BTreeMap<String, ComplianceCounts>,
    pub by_os: BTreeMap<String, ComplianceCounts>,
    pub by_tier: BTreeMap<String, ComplianceCounts>,
    pub by_owner: BTreeMap<String, ComplianceCounts>,
    pub by_cluster: BTreeMap<String, ComplianceCounts>,
    /// Time of the oldest and the newest scan that counts.
    pub oldest_scan: Option<DateTime<Utc>>,
    pub newest_scan: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceCounts {
    pub compliant: i64,
    pub non_compliant: i64,
    pub unknown: i64,
    /// Compliant out of all, in percent; unknown counts as not compliant.
    pub percent: f64,
}

/// The patch state of one CI: per policy, and the worst of them.
// Who has the text of pending fixes at hand gives it as `P`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = CiCompliance)]
pub struct CiCompliance<P = PendingPatch> {
    pub ci_id: CiId,
    pub os_type: String,
    pub compliance_status: ComplianceStatus,
    pub reason: String,
    /// Newest month up to whose end every applicable advisory is installed; absent when not even the first is.
    pub current_patch_level: Option<String>,
    pub target_patch_level: Option<String>,
    /// SHA-256 over the installed packages and versions.
    pub package_digest: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
    #[schema(value_type = Vec<PendingPatch>)]
    pub pending_patches: Vec<P>,
    pub policies: Vec<PolicyCompliance>,
}

/// The result of one policy for one CI; no other policy's scan overwrites it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyCompliance {
    pub policy_id: PolicyId,
    pub compliance_status: ComplianceStatus,
    pub reason: String,
    pub target_patch_level: Option<String>,
    pub current_patch_level: Option<String>,
    pub pending: i64,
    pub last_scanned: Option<DateTime<Utc>>,
}

/// A fix that a CI lacks, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingPatch {
    pub package: String,
    pub installed: String,
    pub fixed: String,
    /// What the host's own repositories offer now; absent when they offer nothing newer.
    pub installable: Option<String>,
    /// Whether what they offer has the fix: that a fix applies and that it can be had now are two facts. Absent when the
    /// repositories were not asked or their answer does not tell.
    #[serde(default)]
    pub installable_now: Option<bool>,
    pub advisory_id: String,
    pub cve_ids: Vec<String>,
    pub severity: Severity,
    /// Known to be exploited (CISA KEV).
    pub exploited: bool,
    pub published: DateTime<Utc>,
    /// By when it must be fixed under the service-level agreement.
    pub due: DateTime<Utc>,
    pub state: PatchStateOfPackage,
    /// The rule by which it matched.
    pub rule: String,
}

/// Days from publication until a fix must be installed. Exploitation only ever shortens the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevels {
    /// For what is known to be exploited, whatever its severity.
    pub exploited_days: u32,
    pub critical_days: u32,
    pub high_days: u32,
    pub other_days: u32,
}

/// How service levels are kept, by dimension.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TimelinessReport {
    pub as_of: DateTime<Utc>,
    /// First day of the months whose repairs count.
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
    /// Hosts that lack a fix whose due date has passed, and for which nothing is excepted.
    pub hosts_in_breach: i64,
    /// Fixes that scans found installed after they had been lacking.
    pub fixes_installed: i64,
    /// Of these, installed after their due date.
    pub fixes_installed_late: i64,
    /// From publication to the scan that found the fix; absent when nothing was repaired.
    pub mean_days_to_patch: Option<f64>,
    /// Host-CVE-days of exposure that go on, counted from publication: a host with two open CVEs adds two a day.
    pub open_cve_days: f64,
    /// Host-CVE-days of what has been repaired.
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
    pub reason: String,
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
}

/// The packages of one host, as a scan found them or as an agent pushes them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    pub ci_id: CiId,
    /// The same host and scan id are taken once.
    #[serde(default)]
    pub scan_id: Option<String>,
    /// `rocky:9`, `debian:12`, `ubuntu:22.04`; or a tag such as `rocky9`.
    pub os: String,
    #[serde(default)]
    pub collected_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub boot_id: Option<String>,
    #[serde(default)]
    pub running_kernel: Option<String>,
    #[serde(default)]
    pub reboot_pending: bool,
    pub packages: Vec<InventoryPackage>,
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
    /// Whether the repositories still offer the installed version too, so that an update can be undone by them.
    #[serde(default)]
    pub returnable: bool,
}

/// What became of pushed inventories.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct InventoryReport {
    pub read: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub refused: Vec<RefusedInventory>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefusedInventory {
    /// Record, counted from 1.
    pub record: u64,
    pub reason: String,
}
