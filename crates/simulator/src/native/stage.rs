//! What does not change from run to run.

use std::collections::BTreeMap;

use planner::{
    Compatibility, Scenario,
    scenario::{Health, Node, NodeKind, PATCHED},
};

use super::{adjacency::Adjacency, options::NativeOptions};
use crate::distribution::Sampler;

pub struct Stage<'a> {
    pub scenario: &'a Scenario,
    pub options: &'a NativeOptions,
    pub nodes: Vec<NodeState>,
    /// Criticality x severity.
    pub weights: Vec<f64>,
    pub duration_factor: Sampler,
    /// What a host takes down with it.
    pub contained: Adjacency,
    /// The circle of each service: services that depend on each other suffer together. Mostly it is alone in it.
    pub circle_of: Vec<u32>,
    pub circle: Adjacency,
    /// Circles that depend on a circle, itself left out.
    pub dependents: Adjacency,
    /// Edges that are not plainly compatible, node by node; each stands with both of its ends.
    links: Vec<Link>,
}

pub const PATCHED_VERSION: u32 = 0;
/// No time: not yet, or not at present.
pub const NEVER: u64 = u64::MAX;

/// All that an event about a node touches, on one line of the cache: what it is, and how it stands in a run.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct NodeState {
    pub failure_probability: f64,
    pub nominal_seconds: u32,
    pub service: u32,
    /// Where its links begin, if it has any.
    first_link: u32,
    flags: u8,
    /// An attempt runs, or none will follow.
    pub begun: bool,
    /// It waits for its service to spare it.
    pub parked: bool,
    /// Its second self stands ready for the switch.
    pub built: bool,
    pub attempts: u32,
    /// Since when it is down by itself.
    pub down_since: u64,
    pub patched_at: u64,
    pub version: u32,
    /// How many of the hosts that contain it are down.
    pub hosts_down: u32,
    /// Who waits behind it.
    pub next_parked: u32,
    /// Where it stands in the plan, once it has been looked at.
    pub place: u32,
    pub step: u32,
}

const GOES_DOWN: u8 = 1;
const REBOOTS: u8 = 2;
const ROLLBACK_SUPPORTED: u8 = 4;
const PATCHABLE: u8 = 8;
const STARTS_DOWN: u8 = 16;
const STANDS_ALONE: u8 = 32;
const HAS_LINKS: u8 = 64;

/// An edge that is not plainly compatible, as one of its ends sees it.
#[derive(Clone, Copy)]
pub struct Link {
    pub other: u32,
    pub allowed_seconds: u32,
    pub incompatible: bool,
    /// The ends differ in version before anything begins.
    pub differs_at_first: bool,
    /// The last of its node.
    last: bool,
}

impl<'a> Stage<'a> {
    pub fn new(scenario: &'a Scenario, options: &'a NativeOptions) -> Self {
        let nodes = &scenario.nodes;
        let mut states: Vec<NodeState> = nodes.iter().zip(versions(nodes)).map(NodeState::of).collect();
        let (mut contained, mut dependents) = (Vec::new(), Vec::new());
        for edge in &scenario.edges {
            let (source, target) = (&nodes[edge.source], &nodes[edge.target]);
            if target.kind == NodeKind::Host && source.kind != NodeKind::Host {
                contained.push((edge.target as u32, edge.source as u32));
                states[edge.source].flags &= !STANDS_ALONE;
                states[edge.target].flags &= !STANDS_ALONE;
            } else if source.service != target.service {
                dependents.push((target.service as u32, source.service as u32));
            }
        }
        let services = scenario.services.len();
        distinct(&mut contained);
        distinct(&mut dependents);
        let circle_of = Adjacency::new(services, &dependents).circles();
        let members: Vec<(u32, u32)> = circle_of.iter().copied().zip(0..).collect();
        let between = dependents.into_iter().filter_map(|(provider, dependent)| {
            let (provider, dependent) = (circle_of[provider as usize], circle_of[dependent as usize]);
            (provider != dependent).then_some((provider, dependent))
        });
        let mut between: Vec<(u32, u32)> = between.collect();
        distinct(&mut between);
        Self {
            scenario,
            options,
            duration_factor: Sampler::new(&options.duration_factor),
            links: links(scenario, &mut states),
            weights: nodes.iter().map(Node::weight).collect(),
            nodes: states,
            contained: Adjacency::new(nodes.len(), &contained),
            dependents: Adjacency::new(services, &between),
            circle: Adjacency::new(services, &members),
            circle_of,
        }
    }

    #[inline]
    pub fn links_of(&self, node: &NodeState) -> &[Link] {
        if node.flags & HAS_LINKS == 0 {
            return &[];
        }
        let rest = &self.links[node.first_link as usize..];
        let count = rest.iter().position(|link| link.last).map_or(rest.len(), |last| last + 1);
        &rest[..count]
    }
}

/// The links of all nodes, of which each learns its own part.
fn links(scenario: &Scenario, nodes: &mut [NodeState]) -> Vec<Link> {
    let watched = || {
        let edges = scenario.edges.iter();
        edges.filter(|e| e.compatibility != Compatibility::Compatible && e.source != e.target)
    };
    let mut start = vec![0_u32; nodes.len() + 1];
    for edge in watched() {
        start[edge.source + 1] += 1;
        start[edge.target + 1] += 1;
    }
    for (index, node) in nodes.iter_mut().enumerate() {
        start[index + 1] += start[index];
        node.first_link = start[index];
        if start[index + 1] > start[index] {
            node.flags |= HAS_LINKS;
        }
    }
    let none =
        Link { other: 0, allowed_seconds: 0, incompatible: false, differs_at_first: false, last: false };
    let mut links = vec![none; start[nodes.len()] as usize];
    let mut next = start.clone();
    for edge in watched() {
        for (end, other) in [(edge.source, edge.target), (edge.target, edge.source)] {
            links[next[end] as usize] = Link {
                other: other as u32,
                allowed_seconds: edge.mixed_max_duration_seconds,
                incompatible: edge.compatibility == Compatibility::Incompatible,
                differs_at_first: nodes[end].version != nodes[other].version,
                last: next[end] + 1 == start[end + 1],
            };
            next[end] += 1;
        }
    }
    links
}

impl NodeState {
    /// Up and idle; whoever starts down is taken down afterwards.
    fn of((node, version): (&Node, u32)) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self {
            failure_probability: node.patch.failure_probability,
            nominal_seconds: node.patch.duration_seconds,
            service: node.service as u32,
            first_link: 0,
            begun: false,
            parked: false,
            built: false,
            attempts: 0,
            down_since: NEVER,
            patched_at: if version == PATCHED_VERSION { 0 } else { NEVER },
            version,
            hosts_down: 0,
            next_parked: 0,
            place: 0,
            step: 0,
            flags: flag(node.goes_down(), GOES_DOWN)
                | flag(node.patch.requires_reboot, REBOOTS)
                | flag(node.patch.rollback_supported, ROLLBACK_SUPPORTED)
                | flag(node.patchable, PATCHABLE)
                | flag(node.health != Health::Healthy, STARTS_DOWN)
                | STANDS_ALONE,
        }
    }

    pub fn goes_down(&self) -> bool {
        self.flags & GOES_DOWN != 0
    }

    pub fn reboots(&self) -> bool {
        self.flags & REBOOTS != 0
    }

    pub fn rollback_supported(&self) -> bool {
        self.flags & ROLLBACK_SUPPORTED != 0
    }

    pub fn is_patchable(&self) -> bool {
        self.flags & PATCHABLE != 0
    }

    pub fn starts_down(&self) -> bool {
        self.flags & STARTS_DOWN != 0
    }

    /// It contains nothing and nothing contains it: taking it down costs its own service a member and no other.
    pub fn stands_alone(&self) -> bool {
        self.flags & STANDS_ALONE != 0
    }
}

fn versions(nodes: &[Node]) -> Vec<u32> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::from([(PATCHED, PATCHED_VERSION)]);
    // Nodes beside each other mostly have the same.
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

fn distinct(pairs: &mut Vec<(u32, u32)>) {
    pairs.sort_unstable();
    pairs.dedup();
}
