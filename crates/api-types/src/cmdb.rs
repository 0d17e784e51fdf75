//! The CMDB: configuration items, relationships, impact, history, maintenance, the graph for planners.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::page::Versioned;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CiType {
    Datacenter,
    Cluster,
    Host,
    Vm,
    Service,
    Application,
    Database,
    Network,
    Storage,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CiStatus {
    Active,
    Decommissioned,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCi {
    pub id: CiId,
    #[serde(rename = "type")]
    pub ci_type: CiType,
    #[serde(default)]
    pub name: Option<String>,
    /// `env`, `os`, `tier`, `owner`, `cluster`, `role`, ...
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Facts for tools: `driver` (`model` or `ssh`), `address`, `port`, `user`, `services`, `criticality`, `min_up`, ...
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    /// Why it is created; kept in the history.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What has changed since a token was given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CiChanges {
    /// The CIs that have changed, in their present state, including decommissioned ones; a change may be reported twice.
    pub items: Vec<Ci>,
    /// The token for the next request.
    pub next_token: String,
    /// There are more changes; ask again at once.
    pub more: bool,
}

/// Changes to a CI. Absent fields stay; a tag or attribute of value `null` is removed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateCi {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub ci_type: Option<CiType>,
    /// `active` reactivates a decommissioned CI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<CiStatus>,
    pub tags: BTreeMap<String, Option<String>>,
    pub attributes: BTreeMap<String, Value>,
    /// Why it is changed; kept in the history.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ci {
    pub id: CiId,
    #[serde(rename = "type")]
    pub ci_type: CiType,
    pub name: String,
    pub status: CiStatus,
    pub tags: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, Value>,
    pub maintenance: Option<Maintenance>,
    pub patch_state: Option<PatchState>,
    /// Increases with every change; the strong ETag is `"<version>"`.
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Ci {
    /// Whether patching manages it: an active host or VM with the tag `os`. `None` for what is never patched.
    pub fn is_managed(&self) -> Option<bool> {
        let is_host = matches!(self.ci_type, CiType::Host | CiType::Vm) && self.status == CiStatus::Active;
        is_host.then(|| self.tags.get("os").is_some_and(|os| !os.is_empty()))
    }
}

impl Versioned for Ci {
    fn version(&self) -> i64 {
        self.version
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Maintenance {
    /// The owner: `run:<id>` or a person.
    pub owner: String,
    pub reason: String,
    pub since: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Turns maintenance on or off. Only its owner (or an admin) may end one. It ends by itself after `duration_seconds`, or at
/// `expires_at`; exactly one of them is needed. The same owner may send `on` again to move the end.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum SetMaintenance {
    On {
        owner: String,
        reason: String,
        /// Counted from now by the CMDB's clock: 1 to 604800 (seven days). Programs use it, because clocks differ.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_seconds: Option<u32>,
        /// A time that people agreed on, at most seven days ahead by the CMDB's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<DateTime<Utc>>,
    },
    Off {
        owner: String,
    },
}

/// The outcome of the last run, written by REPORT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchState {
    /// `compliant`, `non_compliant` or `unknown`.
    pub compliance_status: String,
    pub current_patch_level: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub run_id: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelationshipType {
    Contains,
    Runs,
    MemberOf,
    DependsOn,
    ConnectedTo,
    Uses,
}

/// How the two ends of a `depends_on` tolerate different patch levels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    #[default]
    Compatible,
    Degraded,
    /// Must be patched together.
    Incompatible,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRelationship {
    pub source: CiId,
    pub target: CiId,
    #[serde(rename = "type")]
    pub relationship_type: RelationshipType,
    /// For `depends_on` only.
    #[serde(default)]
    pub compatibility: Option<Compatibility>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Relationship {
    pub id: Uuid,
    pub source: CiId,
    pub target: CiId,
    #[serde(rename = "type")]
    pub relationship_type: RelationshipType,
    pub compatibility: Option<Compatibility>,
    pub created_at: DateTime<Utc>,
}

/// What a CI affects (`upstream`) and what it needs (`downstream`), with the distance in edges.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Impact {
    pub ci_id: CiId,
    pub upstream: Vec<ImpactedCi>,
    pub downstream: Vec<ImpactedCi>,
    /// Whether a direction reached more CIs than are listed.
    #[serde(default)]
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImpactedCi {
    pub ci_id: CiId,
    #[serde(rename = "type")]
    pub ci_type: CiType,
    pub depth: u32,
    /// The relationship by which it was reached first.
    pub via: RelationshipType,
}

/// One entry of a CI's append-only history.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    pub sequence: i64,
    pub at: DateTime<Utc>,
    pub who: String,
    pub action: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub why: Option<String>,
}

/// Selects part of the graph, for selections too long for a URL.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GraphQuery {
    /// The hosts and VMs; an empty selector is refused; `all` selects every host.
    pub selector: Selector,
}

/// Nodes and dependency edges of a selection, in one call, for the planner.
///
/// Nodes are the selected active hosts and VMs, the services they run or are members of, and the services those depend
/// on, at any distance. Edges are every `depends_on` between nodes, and for each one between services, those between hosts:
/// host A depends on host B when a service on A depends on a service on B.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    pub nodes: Vec<GraphNode>,
    pub edges: Vec<GraphEdge>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    pub id: CiId,
    #[serde(rename = "type")]
    pub ci_type: CiType,
    pub tags: BTreeMap<String, String>,
    /// Services (CIs of type `service`, `application`, `database`) this node runs or is a member of.
    pub services: Vec<CiId>,
    /// For a service: every active host and VM that runs it or is a member of it, selected or not, so that `min_up` can be
    /// computed for the whole group.
    #[serde(default)]
    pub hosts: Vec<CiId>,
    /// 1 (least) to 5: the attribute `criticality`, else the highest of its services, else 3.
    pub criticality: u8,
    pub attributes: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct GraphEdge {
    /// The one that depends.
    pub source: CiId,
    /// The one depended on.
    pub target: CiId,
    pub compatibility: Compatibility,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncStatus {
    Never,
    Running,
    Succeeded,
    Failed,
}

/// The last synchronisation with the sim-engine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Sync {
    pub status: SyncStatus,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub created: i64,
    pub updated: i64,
    pub unchanged: i64,
    /// CIs of the CMDB whose machine the sim-engine does not have.
    pub missing: Vec<CiId>,
    pub error: Option<String>,
}

/// The result of an import. Good records are stored and odd ones are named. If every record is refused, or one with `strict`,
/// the import is a 422 that names each one and stores nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// How the list was read: `csv`, `json`, `ndjson`, `ansible_json`, `ansible_yaml`, `ansible_ini`, `netbox`, `netbox_csv`,
    /// `foreman`, `servicenow_csv` or `patchmon`.
    pub format: String,
    /// Whether this was a dry run, which stores nothing.
    #[serde(default)]
    pub dry_run: bool,
    pub read: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    /// Number of refused records; `refused` lists up to 1000 of them.
    #[serde(default)]
    pub refused_count: u64,
    pub refused: Vec<RefusedRecord>,
    /// Number of records that were left out as a whole, such as `localhost` and devices that are not in use.
    #[serde(default)]
    pub left_out_count: u64,
    /// Records that were left out, and what was omitted from accepted ones (connection settings of Ansible, secrets,
    /// templates), up to 1000.
    #[serde(default)]
    pub left_out: Vec<RefusedRecord>,
    /// Number of records of the source, if it says that this list is only a part of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What the operator should know about the list as a whole.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The hosts of this list that patching does not manage after the import.
    #[serde(default)]
    pub unmanaged: Unmanaged,
    /// Groups of the list that look like values of a tag. The parameter `map` makes tags of them.
    #[serde(default)]
    pub proposals: Vec<MappingProposal>,
}

/// A record that was refused or left out, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedRecord {
    /// Line or index of the record, counted from 1.
    pub record: u64,
    /// Line of the list, if its format has lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The record's name, as the list writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Hosts and VMs that patching does not manage, because their tag `os` is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unmanaged {
    pub hosts: u64,
    /// The first ones, up to 10.
    pub first: Vec<CiId>,
    /// The missing tags.
    pub missing: Vec<String>,
}

/// Groups that look like values of the tag `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MappingProposal {
    pub key: String,
    pub groups: Vec<ProposedGroup>,
    /// The value of the parameter `map`: `env=prod,staging`.
    pub map: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposedGroup {
    pub name: String,
    /// Number of hosts in it.
    pub hosts: u64,
}
