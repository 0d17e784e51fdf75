//! The dependency graph of a fleet: the part of the CMDB that planning needs.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::CiId;
use serde::{Deserialize, Serialize};

/// Hosts, their services, and which host depends on which.
///
/// It may contain more hosts than a plan has targets: members that are not patched still count for their service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostGraph {
    pub hosts: BTreeMap<CiId, HostNode>,
    pub services: BTreeMap<CiId, ServiceNode>,
    pub edges: Vec<HostEdge>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostNode {
    /// Services of the CMDB that this host is a member of.
    #[serde(default)]
    pub services: BTreeSet<CiId>,
    /// 1 (no impact) to 5 (the business stops).
    pub criticality: u8,
    /// Highest CVSS score among the host's missing advisories, 0 to 10.
    #[serde(default)]
    pub severity: f64,
    /// Whether it serves at the time of planning. A host that is down does not count as an up member of its services.
    #[serde(default = "yes")]
    pub up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNode {
    /// Members that must serve at any time.
    pub min_up: u32,
}

/// `source` depends on `target`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostEdge {
    pub source: CiId,
    pub target: CiId,
    #[serde(default)]
    pub compatibility: Compatibility,
}

/// How well two ends of a dependency work together while only one is patched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    #[default]
    Compatible,
    /// They work, but worse.
    Degraded,
    /// They do not work: both must be patched together.
    Incompatible,
}

impl HostGraph {
    /// Members of each service that the hosts name. A service without members is listed as empty.
    pub fn members(&self) -> BTreeMap<&CiId, BTreeSet<&CiId>> {
        let mut members: BTreeMap<&CiId, BTreeSet<&CiId>> =
            self.services.keys().map(|service| (service, BTreeSet::new())).collect();
        for (host, node) in &self.hosts {
            for service in &node.services {
                members.entry(service).or_default().insert(host);
            }
        }
        members
    }

    /// 0 for a service that the graph does not describe.
    pub fn min_up(&self, service: &CiId) -> u32 {
        self.services.get(service).map_or(0, |node| node.min_up)
    }

    /// A host that the graph does not know counts as up.
    pub fn is_up(&self, host: &CiId) -> bool {
        self.hosts.get(host).is_none_or(|node| node.up)
    }
}

fn yes() -> bool {
    true
}
