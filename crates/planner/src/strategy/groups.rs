//! Strategies by incompatibility groups.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{
    Action, GUARDRAIL_PAUSE_SECONDS, NodePlan, PlanError, StepName,
    indexed_scenario::{IndexedScenario, ordered},
    node_plan::Part,
};
use crate::scenario::Scenario;

/// Groups of a scenario that have patchable nodes, in file order.
pub struct Groups {
    /// The number of each group among all groups of the scenario.
    number: Vec<u32>,
    /// The highest risk of its nodes.
    risk: Vec<u64>,
    start: Vec<u32>,
    /// Patchable nodes, group by group, in file order.
    nodes: Vec<u32>,
    /// The group of each patchable node.
    of_node: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Groups {
    pub fn new(scenario: &Scenario) -> Self {
        let (number_of, risks) = scenario.groups_and_risks();
        let count = number_of.len();
        let patchable = || scenario.nodes.iter().zip(0..).filter(|(node, _)| node.patchable).map(|(_, n)| n);
        let mut index_of = vec![NONE; count];
        let mut groups = Self {
            number: Vec::with_capacity(count),
            risk: Vec::with_capacity(count),
            start: Vec::with_capacity(count + 1),
            nodes: vec![0; count],
            of_node: vec![NONE; count],
        };
        for node in patchable() {
            let number = number_of[node];
            if index_of[number] == NONE {
                index_of[number] = groups.number.len() as u32;
                groups.number.push(number as u32);
                groups.risk.push(0);
                groups.start.push(0);
            }
            let group = index_of[number] as usize;
            groups.of_node[node] = group as u32;
            groups.risk[group] = groups.risk[group].max(ordered(risks[node]));
            groups.start[group] += 1;
        }
        let mut next = 0;
        for start in &mut groups.start {
            (*start, next) = (next, next + *start);
        }
        groups.start.push(next);
        let mut next = groups.start.clone();
        for node in patchable() {
            let next = &mut next[groups.of_node[node] as usize];
            groups.nodes[*next as usize] = node as u32;
            *next += 1;
        }
        groups
    }

    fn count(&self) -> usize {
        self.number.len()
    }

    fn of(&self, group: usize) -> &[u32] {
        &self.nodes[self.start[group] as usize..self.start[group + 1] as usize]
    }

    /// Groups of equal risk are ordered by `name`, a unique number below 2^35.
    fn riskiest_first(&self, name: impl Fn(usize) -> u64) -> Vec<u32> {
        // Risk, name and index in one number compare without branches.
        let key = |group: usize| {
            u128::from(!self.risk[group]) << 64 | u128::from(name(group)) << 29 | group as u128
        };
        let mut keys: Vec<u128> = (0..self.count()).map(key).collect();
        keys.sort_unstable();
        keys.into_iter().map(|key| (key & MOST_GROUPS) as u32).collect()
    }
}

/// Pairs of groups, the first of which depends on the second, with the numbers of `of_node`; repeated as often as in the
/// file.
fn dependencies<'a>(scenario: &'a Scenario, of_node: &'a [u32]) -> impl Iterator<Item = (u32, u32)> + 'a {
    let groups = scenario.edges.iter().map(|edge| (of_node[edge.source], of_node[edge.target]));
    groups.filter(|(dependent, provider)| *dependent != NONE && *provider != NONE && dependent != provider)
}

/// With this many groups, the highest number has nine digits, which leaves room for the whole sort key.
const MOST_GROUPS: u128 = (1 << 29) - 1;

/// A number that sorts like its decimal text: 10 before 2.
fn text_order(number: u32) -> u64 {
    let digits = number.checked_ilog10().unwrap_or(0);
    // Left aligned; of 1 and 10 the shorter comes first.
    (u64::from(number) * 10_u64.pow(8 - digits)) << 4 | u64::from(digits)
}

/// One group per step, each after all groups it depends on; the riskiest ready group first, and at equal risk by the text
/// of its number.
pub fn dep_greedy(indexed: &IndexedScenario, plan: &mut NodePlan) -> Result<(), PlanError> {
    let groups = indexed.groups();
    // Groups are renumbered by their turn without dependencies, so that data used together is close together.
    let order = groups.riskiest_first(|group| text_order(groups.number[group]));
    let mut turn_of = vec![0_u32; groups.count()];
    order.iter().zip(0..).for_each(|(group, turn)| turn_of[*group as usize] = turn);
    let of_node = groups.of_node.iter().map(|group| turn_of.get(*group as usize).copied().unwrap_or(NONE));
    let of_node: Vec<u32> = of_node.collect();
    let mut missing = vec![0_u32; order.len()];
    let mut first = vec![0_u32; order.len() + 1];
    for (dependent, provider) in dependencies(indexed.scenario, &of_node) {
        missing[dependent as usize] += 1;
        first[provider as usize + 1] += 1;
    }
    (0..order.len()).for_each(|turn| first[turn + 1] += first[turn]);
    let mut dependents = vec![0_u32; first[order.len()] as usize];
    let mut next = first.clone();
    for (dependent, provider) in dependencies(indexed.scenario, &of_node) {
        let next = &mut next[provider as usize];
        dependents[*next as usize] = dependent;
        *next += 1;
    }

    let ready = missing.iter().zip(0..).filter(|(count, _)| **count == 0);
    let mut ready: BinaryHeap<Reverse<u32>> = ready.map(|(_, turn)| Reverse(turn)).collect();
    plan.reserve(groups.count(), groups.nodes.len());
    while let Some(Reverse(turn)) = ready.pop() {
        let turn = turn as usize;
        let name = StepName::Numbered(Action::Patch, plan.steps.len() as u32 + 1);
        match groups.of(order[turn] as usize) {
            [node] => plan.add(name, Action::Patch, [*node as usize]),
            nodes => {
                let mut nodes: Vec<usize> = nodes.iter().map(|node| *node as usize).collect();
                nodes.sort_unstable_by_key(|node| indexed.rank[*node]);
                plan.add(name, Action::Patch, nodes);
            }
        }
        for dependent in &dependents[first[turn] as usize..first[turn + 1] as usize] {
            let missing = &mut missing[*dependent as usize];
            *missing -= 1;
            if *missing == 0 {
                ready.push(Reverse(*dependent));
            }
        }
    }
    if plan.steps.len() == groups.count() {
        Ok(())
    } else {
        let missing: Vec<u32> = turn_of.iter().map(|turn| missing[*turn as usize]).collect();
        Err(PlanError::DependencyCycle(cycle(indexed.scenario, groups, &missing)))
    }
}

/// The nodes of one cycle: from any group that never became ready, back along its dependencies, until a group repeats.
fn cycle(scenario: &Scenario, groups: &Groups, missing: &[u32]) -> Vec<String> {
    let mut waits_for: BTreeMap<usize, usize> = BTreeMap::new();
    for (dependent, provider) in dependencies(scenario, &groups.of_node) {
        if missing[provider as usize] > 0 {
            let first = waits_for.entry(dependent as usize).or_insert(provider as usize);
            *first = (*first).min(provider as usize);
        }
    }
    let mut path: Vec<usize> = Vec::new();
    let mut at = missing.iter().position(|count| *count > 0);
    while let Some(group) = at {
        if let Some(start) = path.iter().position(|seen| *seen == group) {
            path.drain(..start);
            break;
        }
        path.push(group);
        at = waits_for.get(&group).copied();
    }
    let id = |group: &usize| &scenario.nodes[groups.of(*group)[0] as usize].id;
    path.iter().map(|group| format!("`{}`", id(group))).collect()
}

/// Riskiest group first. A group that its services cannot spare gets a second set and a switch; any other is patched at
/// once. A pause follows each.
pub fn hybrid(indexed: &IndexedScenario, plan: &mut NodePlan) {
    let groups = indexed.groups();
    let first_id = |group: usize| groups.of(group).iter().map(|node| indexed.rank[*node as usize]).min();
    let order = groups.riskiest_first(|group| first_id(group).unwrap_or(0).into());
    plan.reserve(3 * order.len(), 2 * groups.nodes.len());
    for (group, number) in order.into_iter().zip(1..) {
        let nodes = groups.of(group as usize);
        let members = || nodes.iter().map(|node| *node as usize);
        let min_up = members().map(|node| indexed.min_up_of[node]).max().unwrap_or(0);
        let name = |part| StepName::Group(number, part);
        if min_up as usize >= nodes.len() {
            plan.add(name(Part::Build), Action::BlueGreenBuild, members());
            plan.add(name(Part::Switch), Action::BlueGreenSwitch, members());
        } else {
            plan.add(name(Part::Rolling), Action::Patch, members());
        }
        plan.pause(name(Part::Cooldown), GUARDRAIL_PAUSE_SECONDS, true);
    }
}

#[cfg(test)]
mod tests {
    use super::text_order;

    #[test]
    fn numbers_sort_as_texts() {
        let mut numbers: Vec<u32> = (0..1200).chain([99_999, 1_000_000, (1 << 29) - 1]).collect();
        let mut texts = numbers.clone();
        numbers.sort_by_key(|number| text_order(*number));
        texts.sort_by_key(|number| number.to_string());
        assert_eq!(numbers, texts);
    }
}
