//! The plan: the immutable, hashed content of a run. Execution has no choices left to make.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    ids::{CiId, GivenService, RunId},
    package::{OmittedUpdate, PackageUpdate, Packaging, Unverified},
    pin::Pin,
    preflight::PreflightFailure,
    release::{Check, Deployment, WaveStart},
    selector::Tags,
    strategy::Strategy,
    transaction::Foreseen,
    workflow::{HostTest, HostWorkflow, Reboot, Rollback, RollbackMode},
};

/// A rollout as data: which hosts, which packages, in which waves, behind which gates, within which limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Plan {
    pub intent: Intent,
    pub strategy: Strategy,
    pub waves: Vec<Wave>,
    pub targets: BTreeMap<CiId, Target>,
    /// Services that must keep `min_up` members while the plan runs.
    pub services: BTreeMap<CiId, ServiceBudget>,
    pub limits: Limits,
    pub workflow: HostWorkflow,
    pub reboot: Reboot,
    pub rollback: Rollback,
    /// Hours for which snapshots are kept; absent: no snapshots are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_retention_hours: Option<u32>,
    /// Run before and after the update on the hosts of staging waves.
    pub staging_tests: Vec<HostTest>,
    /// Selected hosts that are not patched because they could not be scanned, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unscanned: BTreeMap<CiId, String>,
    /// Selected hosts that are not patched because they do not pass preflight, and the checks that they fail.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_ready: BTreeMap<CiId, Vec<PreflightFailure>>,
    /// How many selected hosts have nothing to install.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub up_to_date: u32,
    /// Whether every host installs exactly the versions of this plan, which its pilots test first.
    #[serde(default, skip_serializing_if = "Pin::is_none")]
    pub pin: Pin,
    pub notes: Vec<Note>,
}

/// What the plan does to each target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Intent {
    /// Installs the updates of its targets.
    Patch,
    /// Returns the targets to the snapshots that an earlier run took.
    Rollback { of_run: RunId, snapshots: BTreeMap<CiId, Uuid> },
    /// Deploys a version of the product to customers, or rolls it back. Its hosts are customers.
    Deploy(Box<Deployment>),
}

/// What a plan or a run works on. All of its ids are of this kind; a host and a customer may have the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Host,
    Customer,
}

/// One host of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Target {
    pub os: String,
    pub packaging: Packaging,
    pub tags: Tags,
    /// Operating-system services that are stopped, started and watched, in start order.
    pub services: Vec<GivenService>,
    /// How the playbooks reach it.
    pub connection: Connection,
    pub updates: Vec<PackageUpdate>,
    pub rollback_mode: RollbackMode,
    /// Missing updates that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<OmittedUpdate>,
    /// How long its workflow is expected to take. It starts only in an opening that has this much time left.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expected_seconds: u32,
    /// It waited for a reboot at its last scan before the plan was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reboot_pending: bool,
    /// Why the versions of its updates are not verified; absent: its repositories offer them, or it is a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified: Option<Unverified>,
    /// What its package manager would do for exactly these updates. It was asked when the plan was made.
    #[serde(default, skip_serializing_if = "Foreseen::is_not_asked")]
    pub transaction: Foreseen,
    /// Where its owner is notified: an e-mail address or a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_email: Option<String>,
    /// It has no Python, and the policy installs it before anything else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bootstrap_python: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Connection {
    /// A `model` guest, through the sim-engine's API.
    Model,
    Ssh {
        address: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Public host key: `ssh-ed25519 AAAA...`; absent: the first one that the host presents is pinned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_key: Option<String>,
        /// Host through which it is reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jump: Option<JumpHost>,
        /// Path of the Python that runs Ansible's modules on it; absent: Ansible finds one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        python: Option<String>,
    },
}

/// A jump host: it only forwards connections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JumpHost {
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

/// Hosts patched in parallel, and what must hold before the next wave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Wave {
    pub name: String,
    pub kind: WaveKind,
    pub hosts: Vec<CiId>,
    pub gate: Gate,
    /// What must hold before each of its hosts is started; absent: it starts when the wave before it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<WaveStart>,
    /// Must pass after its hosts are done, before the next wave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum WaveKind {
    /// Patched and tested before production; a regression stops the run.
    Staging,
    /// First of their cluster; one failure stops the run.
    Pilot,
    Batch,
}

/// What must pass after a wave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Gate {
    /// The staging tests are run again and compared with those before the wave.
    pub tests: bool,
    pub soak_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServiceBudget {
    pub min_up: u32,
    pub members: Vec<CiId>,
    /// Members that may be down at once, for whatever reason; absent: only `min_up` limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Hosts down at once, those that failed and stayed down included.
    pub max_parallel: u32,
    /// The run halts when more hosts than this have failed.
    pub error_threshold: u32,
    /// How often a failed host is retried.
    pub retries: u32,
    /// Hosts that one playbook works on at once. No batch is larger, so that no host of it waits for a place; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<u32>,
    /// Hosts without a service that may be down at once; absent: only `max_parallel` limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable_without_service: Option<u32>,
}

impl Limits {
    /// The most hosts of one batch.
    pub fn batch_size(&self) -> usize {
        self.forks.unwrap_or(u32::MAX).min(self.max_parallel).max(1) as usize
    }
}

/// A remark about a plan. An `error` forbids its execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Note {
    pub severity: NoteSeverity,
    /// Stable name of the finding: `service-cannot-keep-min-up`.
    pub code: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NoteSeverity {
    Info,
    Warning,
    Error,
}

/// SHA-256 of a plan's canonical JSON, as 64 hex digits: what an approver approves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct PlanHash(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a plan hash is 64 hex digits")]
pub struct InvalidPlanHash;

impl Plan {
    /// Canonical: every map is ordered, every list has a defined order, and fields are written in the order of their declaration.
    pub fn hash(&self) -> PlanHash {
        let json = serde_json::to_vec(self).unwrap_or_default();
        PlanHash(hex::encode(Sha256::digest(json)))
    }

    /// Everything that the plan works on: hosts, or customers.
    pub fn subjects(&self) -> Vec<&CiId> {
        match &self.intent {
            Intent::Deploy(deployment) => deployment.customers.keys().collect(),
            Intent::Patch | Intent::Rollback { .. } => self.targets.keys().collect(),
        }
    }

    pub fn subject(&self) -> Subject {
        match &self.intent {
            Intent::Deploy(_) => Subject::Customer,
            Intent::Patch | Intent::Rollback { .. } => Subject::Host,
        }
    }

    /// What is deployed to customers, when that is what the plan is for.
    pub fn deployment(&self) -> Option<&Deployment> {
        match &self.intent {
            Intent::Deploy(deployment) => Some(deployment),
            Intent::Patch | Intent::Rollback { .. } => None,
        }
    }

    /// The wave of a host.
    pub fn wave_of(&self, host: &CiId) -> Option<usize> {
        self.waves.iter().position(|wave| wave.hosts.contains(host))
    }

    pub fn errors(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.severity == NoteSeverity::Error)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Target {
    /// The planned packages: name to version.
    pub fn versions(&self) -> BTreeMap<&str, &str> {
        self.updates.iter().map(|update| (update.package.as_str(), update.to.as_str())).collect()
    }
}

impl Plan {
    /// Whether the work on a host reboots it for certain. Its updates may show the need of others.
    pub fn reboots(&self, target: &Target) -> bool {
        match self.reboot {
            Reboot::Never => false,
            Reboot::IfRequired => target.reboot_pending,
            Reboot::Always => true,
        }
    }

    /// Whether the services of a host, or the hosts without a service, can spare it while `down` are down.
    pub fn can_spare(&self, host: &CiId, down: &BTreeSet<&CiId>) -> bool {
        let mut services = self.services.values().filter(|service| service.members.contains(host)).peekable();
        if services.peek().is_some() {
            return services.all(|service| {
                let still_up = service.members.iter().filter(|member| !down.contains(member)).count();
                still_up > service.must_stay_up()
            });
        }
        self.limits.max_unavailable_without_service.is_none_or(|most| {
            let is_member =
                |host: &CiId| self.services.values().any(|service| service.members.contains(host));
            down.iter().filter(|host| !is_member(host)).count() < most as usize
        })
    }
}

impl ServiceBudget {
    /// Members that no host may be taken down below: `min_up`, or more if fewer may be unavailable.
    pub fn must_stay_up(&self) -> usize {
        let available =
            self.max_unavailable.map_or(0, |most| self.members.len().saturating_sub(most as usize));
        available.max(self.min_up as usize)
    }
}

impl PlanHash {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanHash {
    type Err = InvalidPlanHash;

    fn from_str(text: &str) -> Result<Self, InvalidPlanHash> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPlanHash)
        }
    }
}

crate::string_conversions!(PlanHash);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
