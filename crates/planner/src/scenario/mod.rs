//! A what-if scenario: nodes with their patches, dependencies between them, and a seed.
//!
//! Nodes and edges are addressed by their index, in the order in which the file lists them.

mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::read::{ScenarioError, read};
use crate::{components::components, graph::Compatibility};

/// Version of a patched node.
pub const PATCHED: &str = "v_new";
/// Version of an unpatched node; a rollback returns to it.
pub const UNPATCHED: &str = "v_old";

#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub name: String,
    pub seed: i64,
    pub metadata: BTreeMap<String, serde_json::Value>,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// In the order in which nodes first name them.
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub id: String,
    pub kind: NodeKind,
    /// Index into the scenario's services.
    pub service: usize,
    /// 1 to 5.
    pub criticality: u8,
    /// At least 1; part of the format, not used.
    pub redundancy: u32,
    pub min_up: u32,
    /// Other nodes are not planned, but count for their service and stay exposed.
    pub patchable: bool,
    pub group: Option<String>,
    pub version: String,
    pub health: Health,
    pub patch: Patch,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub name: String,
    /// The highest value among its members.
    pub min_up: u32,
    pub members: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NodeKind {
    Host,
    ServiceInstance,
    Database,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Health {
    #[default]
    Healthy,
    Down,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patch {
    pub duration_seconds: u32,
    pub requires_restart: bool,
    pub requires_reboot: bool,
    /// 0 to 1.
    pub failure_probability: f64,
    pub rollback_supported: bool,
    /// 0 to 10.
    pub severity: f64,
}

/// `source` depends on `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub source: usize,
    pub target: usize,
    pub compatibility: Compatibility,
    /// How long the ends of an incompatible edge may differ in version.
    pub mixed_max_duration_seconds: u32,
}

impl Node {
    /// Whether its patch takes it down.
    pub fn goes_down(&self) -> bool {
        self.patch.requires_restart || self.patch.requires_reboot
    }

    /// The exposure per second without the patch.
    pub fn weight(&self) -> f64 {
        f64::from(self.criticality) * self.patch.severity
    }
}

impl Scenario {
    /// Patchable nodes in file order.
    pub fn patchable(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].patchable).collect()
    }

    /// The incompatibility group of each node, numbered from 0 by first node in file order, and the risk of each node:
    /// severity x criticality x (1 + number of distinct dependencies in and out).
    ///
    /// If the file repeats a pair, one incompatible edge of it is enough to group its nodes, and the pair counts as one
    /// dependency, as in the reference.
    pub fn groups_and_risks(&self) -> (Vec<usize>, Vec<f64>) {
        let incompatible = self.edges.iter().filter(|edge| edge.compatibility == Compatibility::Incompatible);
        let groups = components(self.nodes.len(), incompatible.map(|edge| (edge.source, edge.target)));
        let mut degree = vec![0_u32; self.nodes.len()];
        for (source, target) in self.distinct_pairs() {
            degree[source] += 1;
            degree[target] += 1;
        }
        let risk = |(node, degree): (&Node, u32)| {
            node.patch.severity * f64::from(node.criticality) * f64::from(1 + degree)
        };
        (groups, self.nodes.iter().zip(degree).map(risk).collect())
    }

    /// Each pair (source, target) once, in order of the pairs.
    fn distinct_pairs(&self) -> Vec<(usize, usize)> {
        // Sorted by source without comparing; then each source's few by target.
        let mut start = vec![0_u32; self.nodes.len() + 1];
        self.edges.iter().for_each(|edge| start[edge.source + 1] += 1);
        (0..self.nodes.len()).for_each(|node| start[node + 1] += start[node]);
        let mut next = start.clone();
        let mut targets = vec![0_u32; self.edges.len()];
        for edge in &self.edges {
            targets[next[edge.source] as usize] = edge.target as u32;
            next[edge.source] += 1;
        }
        let mut pairs = Vec::with_capacity(self.edges.len());
        for source in 0..self.nodes.len() {
            let targets = &mut targets[start[source] as usize..start[source + 1] as usize];
            targets.sort_unstable();
            pairs.extend(targets.iter().map(|target| (source, *target as usize)));
        }
        pairs.dedup();
        pairs
    }
}
