//! The sim-engine: virtual machines, snapshots, faults, and the guests of the driver `model`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{ids::CiId, package::Packaging, restart::StaleServices};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Hypervisor of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// Simulated in the database. Needs no privileges; thousands of them are cheap.
    Model,
    /// A small real Linux on the machine of the sim-engine.
    Linux,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostImage {
    /// Small packages of the laboratory, which can be made to fail.
    #[default]
    Laboratory,
    /// The distribution's own packages of its last point release, with all updates since then pending. Only `debian12`; the first
    /// host downloads them, which takes minutes.
    Brownfield,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    On,
    Off,
    Reset,
}

/// A virtual machine to create.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVm {
    pub id: CiId,
    pub driver: Driver,
    /// OS tag as in the CMDB: `rocky9`, `debian12`, `ubuntu2204`.
    pub os: String,
    /// What a `linux` host is made of.
    #[serde(default)]
    pub image: HostImage,
    /// Cluster of hypervisors that it runs on.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Hypervisor that it runs on.
    #[serde(default)]
    pub hypervisor: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub guest: GuestSpec,
}

/// Virtual machines to create in one transaction: all of them or none. At most 1000.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVms {
    pub vms: Vec<CreateVm>,
}

impl CreateVms {
    pub const MAX: usize = 1000;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedVms {
    pub created: usize,
}

/// The content of a guest when it is created, and the duration of its operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuestSpec {
    /// Installed packages: name to version.
    pub packages: BTreeMap<String, String>,
    pub services: Vec<ServiceSpec>,
    /// Duration of a package transaction.
    pub patch_seconds: f64,
    /// Duration of a reboot. The guest does not answer in this time.
    pub reboot_seconds: f64,
    /// Time until a draining service has no sessions left.
    pub drain_seconds: f64,
    /// Packages whose update requires a reboot.
    pub reboot_packages: Vec<String>,
    /// Packages with libraries that every service has loaded: after their update, services run the replaced code until they are
    /// restarted.
    pub library_packages: Vec<String>,
    /// Packages that the package manager must not touch.
    pub held_packages: Vec<String>,
    /// 0 to 100.
    pub disk_free_percent: f64,
    /// How far the guest's clock is ahead.
    pub clock_offset_ms: i64,
}

impl Default for GuestSpec {
    fn default() -> Self {
        Self {
            packages: BTreeMap::new(),
            services: Vec::new(),
            patch_seconds: 0.0,
            reboot_seconds: 0.0,
            drain_seconds: 0.0,
            reboot_packages: Vec::new(),
            library_packages: Vec::new(),
            held_packages: Vec::new(),
            disk_free_percent: 60.0,
            clock_offset_ms: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    pub name: String,
    #[serde(default)]
    pub port: Option<u16>,
    /// Open sessions while the service runs and does not drain.
    #[serde(default)]
    pub sessions: u32,
    /// Whether its configuration is valid.
    #[serde(default = "valid")]
    pub config_valid: bool,
}

fn valid() -> bool {
    true
}

/// A virtual machine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    pub id: CiId,
    pub driver: Driver,
    pub os: String,
    pub cluster: Option<String>,
    pub hypervisor: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub power: Power,
    /// Whether the guest answers.
    pub reachable: bool,
    /// Address for SSH. Null for a `model` VM.
    pub address: Option<String>,
    /// How to reach a `linux` VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshAccess>,
    pub boot_id: Uuid,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// How to reach a real guest over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshAccess {
    pub address: String,
    pub port: u16,
    pub user: String,
    /// The guest's public host key, as in a file of known hosts after the address: `ssh-ed25519 AAAA...`.
    pub host_key: String,
    /// Path of the private key on the machine of the sim-engine. Only the sim-engine's user can read it.
    pub key_file: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPower {
    pub action: PowerAction,
}

/// A snapshot to take. The same `owner` and `purpose` on the same VM return the existing snapshot.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshot {
    /// What needs the snapshot: `run:<id>`.
    pub owner: String,
    #[serde(default)]
    pub purpose: String,
    /// How long the sim-engine keeps the snapshot, counted from now by its clock: 1 to 31622400 (366 days). Exactly one of
    /// this and `expires_at` is needed; programs use this one, because clocks differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
    /// The sim-engine deletes the snapshot after this time, at most 366 days ahead by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    pub id: Uuid,
    pub vm_id: CiId,
    pub owner: String,
    pub purpose: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub size_bytes: i64,
}

/// Result of a revert that was rehearsed on a clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rehearsal {
    /// Whether the machine's driver can clone. If not, nothing was rehearsed.
    pub cloned: bool,
    /// Duration of the revert.
    pub seconds: Option<f64>,
}

/// The content of a `model` guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Guest {
    pub id: CiId,
    pub os: String,
    pub packaging: Packaging,
    pub boot_id: Uuid,
    pub booted_at: DateTime<Utc>,
    pub reboot_pending: bool,
    /// Services that still run code which an update has replaced.
    #[serde(default)]
    pub stale_services: StaleServices,
    pub disk_free_percent: f64,
    pub clock_offset_ms: i64,
    pub packages: Vec<GuestPackage>,
    pub services: Vec<GuestService>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestPackage {
    pub name: String,
    pub version: String,
    /// Newest version in the guest's repository, if it is newer than the installed one.
    pub candidate: Option<String>,
    pub held: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestService {
    pub name: String,
    pub port: Option<u16>,
    pub active: bool,
    /// Whether it is active and works.
    pub healthy: bool,
    pub config_valid: bool,
    pub sessions: u32,
}

/// A package transaction in a guest. Sent twice with the same id, it runs once and returns the same answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTransaction {
    /// `<run id>:<attempt>`.
    pub transaction_id: String,
    /// Version by package. A package that has this version or a newer one does not change.
    pub packages: BTreeMap<String, String>,
    /// The owner of the run. The guest refuses an owner with a lower epoch than it has seen. Null: a transaction without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<RunOwner>,
}

/// One of the processes that own a run, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunOwner {
    pub run_id: String,
    /// How often the run has been claimed, from 1. The larger of two epochs belongs to the later owner.
    pub epoch: u32,
}

/// Registers the present owner of a run at a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRunOwner {
    /// How often the run has been claimed, from 1.
    pub epoch: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    Running,
    Completed,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transaction {
    pub transaction_id: String,
    pub state: TransactionState,
    pub changed: Vec<PackageChange>,
    /// Error of the package manager.
    pub failure: Option<String>,
    pub reboot_pending: bool,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageChange {
    pub package: String,
    pub from: String,
    pub to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAction {
    Start,
    Stop,
    Restart,
    /// Accept no new sessions. Open ones end within the guest's drain time.
    Drain,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlService {
    pub action: ServiceAction,
}

/// A reboot. With `boot_id` it happens only if the guest still runs under that boot: sent twice, it reboots once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reboot {
    pub boot_id: Option<Uuid>,
}

/// What a repository offers for an OS: versions by package, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    pub packages: BTreeMap<String, Vec<String>>,
}

/// Kinds of faults that can be injected; the path segment of `POST /sim/inject/{kind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The guest stops answering until it is powered on, reset or reverted. The fault strikes at once, and then at guest
    /// operations until it is spent. By default it strikes once.
    HostFailure,
    /// A package transaction fails.
    PatchFailure,
    /// A service does not work after its next start, reboot or update.
    ServiceFailure,
    /// Operations take `delay_seconds` longer.
    Slow,
    /// The disk is full: package transactions fail before they change anything.
    DiskFull,
    /// The guest continues to run but cannot be reached.
    NetworkPartition,
}

/// A fault to inject into one VM.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFault {
    pub vm_id: CiId,
    /// Probability that it strikes at an operation, above 0 and at most 1.
    #[serde(default = "certain")]
    pub probability: f64,
    /// How often it strikes before it is spent. By default it strikes until it is deleted.
    #[serde(default)]
    pub times: Option<u32>,
    /// The service, only for `service-failure`. By default all services of the VM.
    #[serde(default)]
    pub service: Option<String>,
    #[serde(default)]
    pub delay_seconds: Option<f64>,
    /// Seed of the draws if `probability` is below 1.
    #[serde(default)]
    pub seed: u64,
}

fn certain() -> f64 {
    1.0
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    pub id: Uuid,
    pub kind: FaultKind,
    pub vm_id: CiId,
    pub probability: f64,
    pub times_left: Option<u32>,
    pub service: Option<String>,
    pub delay_seconds: Option<f64>,
    pub strikes: u32,
    pub created_at: DateTime<Utc>,
}

/// Everything that exists, for the synchronisation of the CMDB. `version` grows with every change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SimState {
    pub version: i64,
    pub vms: Vec<Vm>,
    pub hypervisors: Vec<Hypervisor>,
    pub clusters: Vec<Cluster>,
}

/// What changed after `since`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SimStateDiff {
    pub since: i64,
    pub version: i64,
    pub changed: Vec<Vm>,
    pub deleted: Vec<CiId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Hypervisor {
    pub id: String,
    pub cluster: Option<String>,
    pub vms: Vec<CiId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    pub id: String,
    pub hypervisors: Vec<String>,
    pub vms: Vec<CiId>,
}
