//! The properties of a scenario that the strategies need, computed once and kept in flat arrays.

use std::cell::OnceCell;

use super::groups::Groups;
use crate::scenario::Scenario;

pub struct IndexedScenario<'a> {
    pub scenario: &'a Scenario,
    /// Nodes in the order of their ids.
    pub by_id: Vec<u32>,
    /// The place of each node in that order.
    pub rank: Vec<u32>,
    /// The service of each node and its `min_up`: separate from the scenario's large nodes, because of random access.
    pub service_of: Vec<u32>,
    pub min_up_of: Vec<u32>,
    /// How many nodes each service can spare: its patchable ones minus the highest `min_up` among them.
    pub spare: Vec<u32>,
    most_important_first: OnceCell<Vec<u32>>,
    groups: OnceCell<Groups>,
}

impl<'a> IndexedScenario<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        let nodes = &scenario.nodes;
        let mut by_id: Vec<u32> = (0..nodes.len() as u32).collect();
        by_id.sort_unstable_by(|a, b| nodes[*a as usize].id.cmp(&nodes[*b as usize].id));
        let mut rank = vec![0; nodes.len()];
        by_id.iter().zip(0..).for_each(|(node, place)| rank[*node as usize] = place);
        let mut patchable = vec![0_u32; scenario.services.len()];
        let mut min_up = vec![0_u32; scenario.services.len()];
        for node in nodes.iter().filter(|node| node.patchable) {
            patchable[node.service] += 1;
            min_up[node.service] = min_up[node.service].max(node.min_up);
        }
        let spare = patchable.iter().zip(min_up).map(|(count, min_up)| count.saturating_sub(min_up));
        Self {
            spare: spare.collect(),
            service_of: nodes.iter().map(|node| node.service as u32).collect(),
            min_up_of: nodes.iter().map(|node| node.min_up).collect(),
            scenario,
            by_id,
            rank,
            most_important_first: OnceCell::new(),
            groups: OnceCell::new(),
        }
    }

    /// In file order.
    pub fn patchable(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.scenario.nodes.iter().enumerate().filter(|(_, node)| node.patchable).map(|(index, _)| index)
    }

    /// Patchable nodes by falling criticality, falling severity, id.
    pub fn most_important_first(&self) -> &[u32] {
        self.most_important_first.get_or_init(|| {
            let key = |index: usize| {
                let node = &self.scenario.nodes[index];
                let importance =
                    u128::from(node.criticality) << 64 | u128::from(ordered(node.patch.severity));
                !importance << 32 | u128::from(self.rank[index])
            };
            let mut keys: Vec<u128> = self.patchable().map(key).collect();
            keys.sort_unstable();
            keys.into_iter().map(|key| self.by_id[key as u32 as usize]).collect()
        })
    }

    pub fn groups(&self) -> &Groups {
        self.groups.get_or_init(|| Groups::new(self.scenario))
    }
}

/// A number that is not negative as an integer of the same order.
pub fn ordered(number: f64) -> u64 {
    // Negative zero becomes zero.
    (number + 0.0).to_bits()
}
