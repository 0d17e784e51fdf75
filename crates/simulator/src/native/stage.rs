//! What does not change from run to run.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};
use planner::{
    Compatibility, Scenario,
    scenario::{Health, NodeKind, PATCHED},
};

use super::{adjacency::Adjacency, options::NativeOptions};

pub struct Stage<'a> {
    pub scenario: &'a Scenario,
    pub options: &'a NativeOptions,
    /// Criticality x severity, by node.
    pub weight: Vec<f64>,
    /// Version at the start, by number; [`PATCHED_VERSION`] for those that have their patch.
    pub version: Vec<u32>,
    pub starts_down: Vec<bool>,
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

        let mut contained = BTreeSet::new();
        let mut dependents = BTreeSet::new();
        let (mut watched, mut edges) = (Vec::new(), Vec::new());
        for edge in &scenario.edges {
            let (source, target) = (&nodes[edge.source], &nodes[edge.target]);
            if target.kind == NodeKind::Host && source.kind != NodeKind::Host {
                contained.insert((edge.target, edge.source));
            } else if source.service != target.service {
                dependents.insert((target.service, source.service));
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
        let circle_of = circles(scenario.services.len(), &dependents);
        let members: Vec<_> =
            circle_of.iter().enumerate().map(|(service, circle)| (*circle as usize, service)).collect();
        let between = dependents.into_iter().filter_map(|(provider, dependent)| {
            let (provider, dependent) = (circle_of[provider] as usize, circle_of[dependent] as usize);
            (provider != dependent).then_some((provider, dependent))
        });
        let between: BTreeSet<(usize, usize)> = between.collect();
        let listed = |pairs: BTreeSet<(usize, usize)>| pairs.into_iter().collect::<Vec<_>>();
        Self {
            scenario,
            options,
            weight: nodes.iter().map(|node| node.weight()).collect(),
            version,
            starts_down: nodes.iter().map(|node| node.health != Health::Healthy).collect(),
            contained: Adjacency::new(nodes.len(), &listed(contained)),
            dependents: Adjacency::new(scenario.services.len(), &listed(between)),
            circle: Adjacency::new(scenario.services.len(), &members),
            circle_of,
            edges: Adjacency::new(nodes.len(), &edges),
            watched,
        }
    }
}

/// The number of each service's circle.
fn circles(count: usize, dependents: &BTreeSet<(usize, usize)>) -> Vec<u32> {
    let mut graph: DiGraphMap<usize, ()> = dependents.iter().copied().collect();
    (0..count).for_each(|service| _ = graph.add_node(service));
    let mut circle_of = vec![0; count];
    for (number, circle) in kosaraju_scc(&graph).into_iter().enumerate() {
        circle.into_iter().for_each(|service| circle_of[service] = number as u32);
    }
    circle_of
}
