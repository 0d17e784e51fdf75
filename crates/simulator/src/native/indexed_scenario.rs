//! The data of a scenario that does not change between runs.

use std::collections::BTreeMap;

use planner::{
    Scenario,
    scenario::{Health, Node, NodeKind, PATCHED},
};

use super::{adjacency::Adjacency, attempt::AttemptInput, links::Links, options::NativeOptions};
use crate::distribution::Sampler;

pub struct IndexedScenario<'a> {
    pub scenario: &'a Scenario,
    pub options: &'a NativeOptions,
    pub nodes: Vec<Traits>,
    pub attempt_inputs: Vec<AttemptInput>,
    /// Criticality x severity.
    pub weights: Vec<f64>,
    pub duration_factor: Sampler,
    /// What each host takes down with it.
    pub contained: Adjacency,
    /// The component of each service: services that depend on each other suffer together. Most are alone in theirs.
    pub component_of: Vec<u32>,
    pub component: Adjacency,
    /// Components that depend on a component, except itself.
    pub dependents: Adjacency,
    pub links: Links,
}

pub const PATCHED_VERSION: u32 = 0;

/// The properties of a node that matter to its neighbours.
#[derive(Clone, Copy)]
pub struct Traits {
    pub service: u32,
    pub first_link: u32,
    flags: u8,
}

const GOES_DOWN: u8 = 1;
const PATCHABLE: u8 = 2;
const STARTS_DOWN: u8 = 4;
const STARTS_PATCHED: u8 = 8;
const STANDS_ALONE: u8 = 16;

impl<'a> IndexedScenario<'a> {
    pub fn new(scenario: &'a Scenario, options: &'a NativeOptions) -> Self {
        let versions = versions(&scenario.nodes);
        let (links, first_links) = Links::new(scenario, &versions);
        let numbered = scenario.nodes.iter().zip(&versions).zip(first_links);
        let mut nodes: Vec<Traits> =
            numbered.map(|((node, version), first_link)| Traits::of(node, *version, first_link)).collect();
        let is_host: Vec<bool> = scenario.nodes.iter().map(|node| node.kind == NodeKind::Host).collect();
        let (mut contained, mut dependents) = (Vec::new(), Vec::new());
        for edge in &scenario.edges {
            let (source, target) = (nodes[edge.source].service, nodes[edge.target].service);
            if is_host[edge.target] && !is_host[edge.source] {
                contained.push((edge.target as u32, edge.source as u32));
                nodes[edge.source].flags &= !STANDS_ALONE;
                nodes[edge.target].flags &= !STANDS_ALONE;
            } else if source != target {
                dependents.push((target, source));
            }
        }
        let services = scenario.services.len();
        let dependents = Adjacency::distinct(services, &dependents);
        let component_of = dependents.components();
        let members: Vec<(u32, u32)> = component_of.iter().copied().zip(0..).collect();
        let between = dependents.pairs().filter_map(|(provider, dependent)| {
            let (provider, dependent) = (component_of[provider as usize], component_of[dependent as usize]);
            (provider != dependent).then_some((provider, dependent))
        });
        let between: Vec<(u32, u32)> = between.collect();
        Self {
            scenario,
            options,
            duration_factor: Sampler::new(&options.duration_factor),
            links,
            attempt_inputs: scenario.nodes.iter().map(AttemptInput::of).collect(),
            weights: scenario.nodes.iter().map(Node::weight).collect(),
            contained: Adjacency::distinct(nodes.len(), &contained),
            dependents: Adjacency::distinct(services, &between),
            component: Adjacency::new(services, &members),
            component_of,
            nodes,
        }
    }
}

impl Traits {
    fn of(node: &Node, version: u32, first_link: u32) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self {
            service: node.service as u32,
            first_link,
            flags: flag(node.goes_down(), GOES_DOWN)
                | flag(node.patchable, PATCHABLE)
                | flag(node.health != Health::Healthy, STARTS_DOWN)
                | flag(version == PATCHED_VERSION, STARTS_PATCHED)
                | STANDS_ALONE,
        }
    }

    pub fn goes_down(&self) -> bool {
        self.flags & GOES_DOWN != 0
    }

    pub fn is_patchable(&self) -> bool {
        self.flags & PATCHABLE != 0
    }

    pub fn starts_down(&self) -> bool {
        self.flags & STARTS_DOWN != 0
    }

    pub fn starts_patched(&self) -> bool {
        self.flags & STARTS_PATCHED != 0
    }

    /// It contains nothing and is not contained: taking it down costs only its own service a member.
    pub fn stands_alone(&self) -> bool {
        self.flags & STANDS_ALONE != 0
    }
}

fn versions(nodes: &[Node]) -> Vec<u32> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::from([(PATCHED, PATCHED_VERSION)]);
    // Neighbouring nodes mostly have the same version.
    let mut last = (PATCHED, PATCHED_VERSION);
    let number = |node| {
        let Node { version, .. }: &Node = node;
        if version != last.0 {
            let next = numbers.len() as u32;
            last = (version, *numbers.entry(version).or_insert(next));
        }
        last.1
    };
    nodes.iter().map(number).collect()
}
