//! Edges that are not fully compatible, node by node. They are looked up from everywhere in the graph, so they are small.

use planner::{Compatibility, Scenario, scenario::Edge};

pub struct Links {
    /// The links of a node are contiguous; the node knows the first one.
    links: Vec<Link>,
    /// How long the ends of each may differ in version.
    allowed_seconds: Vec<u32>,
}

/// An edge seen from one end: the number of the other end, and three bits.
#[derive(Clone, Copy)]
pub struct Link(u32);

const LAST_OF_ITS_NODE: u32 = 1 << 31;
const INCOMPATIBLE: u32 = 1 << 30;
const DIFFERS_AT_FIRST: u32 = 1 << 29;
/// The first link of a node that has none.
pub const NO_LINKS: u32 = u32::MAX;

impl Links {
    /// The links, and the first one of each node. `versions` are those of the nodes before the start.
    pub fn new(scenario: &Scenario, versions: &[u32]) -> (Self, Vec<u32>) {
        let watched = || {
            let edges = scenario.edges.iter();
            edges.filter(|e| e.compatibility != Compatibility::Compatible && e.source != e.target)
        };
        let mut start = vec![0_u32; versions.len() + 1];
        for edge in watched() {
            start[edge.source + 1] += 1;
            start[edge.target + 1] += 1;
        }
        (0..versions.len()).for_each(|node| start[node + 1] += start[node]);
        let count = start[versions.len()] as usize;
        let mut all = Self { links: vec![Link(0); count], allowed_seconds: vec![0; count] };
        let mut next = start.clone();
        for edge in watched() {
            for (end, other) in [(edge.source, edge.target), (edge.target, edge.source)] {
                let index = next[end] as usize;
                next[end] += 1;
                all.links[index] =
                    Link::new(edge, other, versions[end] != versions[other], next[end] == start[end + 1]);
                all.allowed_seconds[index] = edge.mixed_max_duration_seconds;
            }
        }
        let begins = start.windows(2).map(|ends| if ends[0] < ends[1] { ends[0] } else { NO_LINKS });
        (all, begins.collect())
    }

    /// With their numbers.
    #[inline]
    pub fn from(&self, begin: u32) -> impl Iterator<Item = (usize, Link)> {
        let begin = if begin == NO_LINKS { self.links.len() } else { begin as usize };
        let mut is_over = false;
        let links = self.links[begin..].iter().zip(begin..);
        links
            .take_while(move |(link, _)| !std::mem::replace(&mut is_over, link.0 & LAST_OF_ITS_NODE != 0))
            .map(|(link, number)| (number, *link))
    }

    pub fn allowed_ms(&self, number: usize) -> u64 {
        u64::from(self.allowed_seconds[number]) * 1000
    }
}

impl Link {
    fn new(edge: &Edge, other: usize, differs_at_first: bool, is_last: bool) -> Self {
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        Self(
            other as u32
                | bit(is_last, LAST_OF_ITS_NODE)
                | bit(edge.compatibility == Compatibility::Incompatible, INCOMPATIBLE)
                | bit(differs_at_first, DIFFERS_AT_FIRST),
        )
    }

    #[inline]
    pub fn other(self) -> usize {
        (self.0 & (DIFFERS_AT_FIRST - 1)) as usize
    }

    pub fn is_incompatible(self) -> bool {
        self.0 & INCOMPATIBLE != 0
    }

    /// The ends differ in version before the start.
    pub fn differs_at_first(self) -> bool {
        self.0 & DIFFERS_AT_FIRST != 0
    }
}
