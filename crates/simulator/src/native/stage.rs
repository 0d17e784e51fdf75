//! What does not change from run to run.

use std::collections::BTreeMap;

use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};
use planner::{
    Compatibility, Scenario,
    scenario::{Health, Node, NodeKind, PATCHED},
};

use super::{adjacency::Adjacency, options::NativeOptions};

pub struct Stage<'a> {
    pub scenario: &'a Scenario,
    pub options: &'a NativeOptions,
    pub nodes: Vec<NodeFacts>,
    /// Version at the start, by number; [`PATCHED_VERSION`] for those that have their patch.
    pub version: Vec<u32>,
    /// What a host takes down with it.
    pub contained: Adjacency,
    /// The circle of each service: services that depend on each other suffer together. Mostly it is alone in it.
    pub circle_of: Vec<u32>,
    pub circle: Adjacency,
    /// Circles that depend on a circle, itself left out.
    pub dependents: Adjacency,
    /// Edges that are not plainly compatible, by node, as indexes into `watched`.
    pub edges: Adjacency,
    pub watched: Vec<Watched>,
}

pub const PATCHED_VERSION: u32 = 0;

/// What a run asks of a node again and again, close together in memory.
#[derive(Clone, Copy)]
pub struct NodeFacts {
    pub nominal_ms: u64,
    pub failure_probability: f64,
    /// Criticality x severity.
    pub weight: f64,
    pub service: u32,
    pub goes_down: bool,
    pub reboots: bool,
    pub rollback_supported: bool,
    pub patchable: bool,
    pub starts_down: bool,
}

#[derive(Clone, Copy)]
pub struct Watched {
    pub source: u32,
    pub target: u32,
    pub incompatible: bool,
    pub allowed_ms: u64,
}

impl<'a> Stage<'a> {
    pub fn new(scenario: &'a Scenario, options: &'a NativeOptions) -> Self {
        let nodes = &scenario.nodes;
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::from([(PATCHED, PATCHED_VERSION)]);
        let version = nodes.iter().map(|node| {
            let next = numbers.len() as u32;
            *numbers.entry(&node.version).or_insert(next)
        });
        let version = version.collect();

        let (mut contained, mut dependents) = (Vec::new(), Vec::new());
        let (mut watched, mut edges) = (Vec::new(), Vec::new());
        for edge in &scenario.edges {
            let (source, target) = (&nodes[edge.source], &nodes[edge.target]);
            if target.kind == NodeKind::Host && source.kind != NodeKind::Host {
                contained.push((edge.target, edge.source));
            } else if source.service != target.service {
                dependents.push((target.service, source.service));
            }
            if edge.compatibility != Compatibility::Compatible && edge.source != edge.target {
                edges.push((edge.source, watched.len()));
                edges.push((edge.target, watched.len()));
                watched.push(Watched {
                    source: edge.source as u32,
                    target: edge.target as u32,
                    incompatible: edge.compatibility == Compatibility::Incompatible,
                    allowed_ms: u64::from(edge.mixed_max_duration_seconds) * 1000,
                });
            }
        }
        for pairs in [&mut contained, &mut dependents] {
            pairs.sort_unstable();
            pairs.dedup();
        }
        let circle_of = circles(scenario.services.len(), &dependents);
        let members: Vec<_> =
            circle_of.iter().enumerate().map(|(service, circle)| (*circle as usize, service)).collect();
        let between = dependents.into_iter().filter_map(|(provider, dependent)| {
            let (provider, dependent) = (circle_of[provider] as usize, circle_of[dependent] as usize);
            (provider != dependent).then_some((provider, dependent))
        });
        let mut between: Vec<(usize, usize)> = between.collect();
        between.sort_unstable();
        between.dedup();
        Self {
            scenario,
            options,
            nodes: nodes.iter().map(NodeFacts::of).collect(),
            version,
            contained: Adjacency::new(nodes.len(), &contained),
            dependents: Adjacency::new(scenario.services.len(), &between),
            circle: Adjacency::new(scenario.services.len(), &members),
            circle_of,
            edges: Adjacency::new(nodes.len(), &edges),
            watched,
        }
    }
}

impl NodeFacts {
    fn of(node: &Node) -> Self {
        Self {
            nominal_ms: u64::from(node.patch.duration_seconds) * 1000,
            failure_probability: node.patch.failure_probability,
            weight: node.weight(),
            service: node.service as u32,
            goes_down: node.goes_down(),
            reboots: node.patch.requires_reboot,
            rollback_supported: node.patch.rollback_supported,
            patchable: node.patchable,
            starts_down: node.health != Health::Healthy,
        }
    }
}

/// The number of each service's circle.
fn circles(count: usize, dependents: &[(usize, usize)]) -> Vec<u32> {
    let mut graph: DiGraphMap<usize, ()> = dependents.iter().copied().collect();
    (0..count).for_each(|service| _ = graph.add_node(service));
    let mut circle_of = vec![0; count];
    for (number, circle) in kosaraju_scc(&graph).into_iter().enumerate() {
        circle.into_iter().for_each(|service| circle_of[service] = number as u32);
    }
    circle_of
}
