//! Strategies that go by incompatibility groups.

use std::collections::{BTreeMap, BinaryHeap};

use super::{
    Action, GUARDRAIL_PAUSE_SECONDS, NodePlan, PlanError, StepName,
    ground::{Ground, ordered},
    step::Part,
};
use crate::scenario::Scenario;

/// Those groups of a scenario that have patchable nodes, in file order.
pub struct Groups {
    /// The number of each among all groups of the scenario.
    number: Vec<u32>,
    /// The highest of its nodes.
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

    /// Pairs of groups of which the first depends on the second; as often as the file says it.
    fn dependencies<'a>(&'a self, scenario: &'a Scenario) -> impl Iterator<Item = (u32, u32)> + 'a {
        let groups = scenario.edges.iter().map(|edge| (self.of_node[edge.source], self.of_node[edge.target]));
        groups
            .filter(|(dependent, provider)| *dependent != NONE && *provider != NONE && dependent != provider)
    }
}

/// As many groups have room in a number beside risk and name.
const MOST_GROUPS: u128 = (1 << 29) - 1;
/// After every [`text_order`]: base 11, ten places.
const LAST_TEXT: u64 = 11_u64.pow(10);

/// A number whose order is that of the decimal texts: 10 before 2.
fn text_order(number: u32) -> u64 {
    let digits = number.checked_ilog10().unwrap_or(0);
    // Base 11, ten places, left aligned; an absent digit comes before all others.
    let all = (0..=digits).rev().map(|place| u64::from(number / 10_u32.pow(place) % 10) + 1);
    all.chain(std::iter::repeat(0)).take(10).fold(0, |order, digit| order * 11 + digit)
}

/// One group a step, a group after all those it depends on, of the ready ones the riskiest first; of equal risk by the
/// text of its number.
pub fn dep_greedy(ground: &Ground, plan: &mut NodePlan) -> Result<(), PlanError> {
    let groups = ground.groups();
    let dependencies = || groups.dependencies(ground.scenario);
    let mut missing = vec![0_u32; groups.count()];
    let mut first = vec![0_u32; groups.count() + 1];
    for (dependent, provider) in dependencies() {
        missing[dependent as usize] += 1;
        first[provider as usize + 1] += 1;
    }
    (0..groups.count()).for_each(|group| first[group + 1] += first[group]);
    let mut dependents = vec![0_u32; first[groups.count()] as usize];
    let mut next = first.clone();
    for (dependent, provider) in dependencies() {
        let next = &mut next[provider as usize];
        dependents[*next as usize] = dependent;
        *next += 1;
    }

    // Risk, name and index in one number: the riskiest is the greatest, of equal risk the first by name.
    let ready = |group: usize| {
        let name = LAST_TEXT - text_order(groups.number[group]);
        u128::from(groups.risk[group]) << 64 | u128::from(name) << 29 | group as u128
    };
    let mut heap: BinaryHeap<u128> =
        (0..groups.count()).filter(|group| missing[*group] == 0).map(ready).collect();
    plan.reserve(groups.count(), groups.nodes.len());
    while let Some(next) = heap.pop() {
        let group = (next & MOST_GROUPS) as usize;
        let name = StepName::Numbered(Action::Patch, plan.steps.len() as u32 + 1);
        match groups.of(group) {
            [node] => plan.add(name, Action::Patch, [*node as usize]),
            nodes => {
                let mut nodes: Vec<usize> = nodes.iter().map(|node| *node as usize).collect();
                nodes.sort_unstable_by_key(|node| ground.rank[*node]);
                plan.add(name, Action::Patch, nodes);
            }
        }
        for dependent in &dependents[first[group] as usize..first[group + 1] as usize] {
            let dependent = *dependent as usize;
            missing[dependent] -= 1;
            if missing[dependent] == 0 {
                heap.push(ready(dependent));
            }
        }
    }
    match plan.steps.len() == groups.count() {
        true => Ok(()),
        false => Err(PlanError::DependencyCycle(cycle(ground.scenario, groups, &missing))),
    }
}

/// The nodes of one cycle: from any group that never became ready, back along what it waits for, until a group repeats.
fn cycle(scenario: &Scenario, groups: &Groups, missing: &[u32]) -> Vec<String> {
    let mut waits_for: BTreeMap<usize, usize> = BTreeMap::new();
    for (dependent, provider) in groups.dependencies(scenario) {
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

/// Riskiest group first. A group whose services cannot spare it gets a second set and a switch, any other is patched
/// at once; a pause after each.
pub fn hybrid(ground: &Ground, plan: &mut NodePlan) {
    let groups = ground.groups();
    let first_id = |group: usize| groups.of(group).iter().map(|node| ground.rank[*node as usize]).min();
    // A rank belongs to one group, so no two keys are the same.
    let mut order: Vec<(u64, u32, u32)> = (0..groups.count())
        .map(|group| (!groups.risk[group], first_id(group).unwrap_or(0), group as u32))
        .collect();
    order.sort_unstable();
    plan.reserve(3 * order.len(), 2 * groups.nodes.len());
    for ((.., group), number) in order.into_iter().zip(1..) {
        let nodes = groups.of(group as usize);
        let members = || nodes.iter().map(|node| *node as usize);
        let min_up = members().map(|node| ground.scenario.nodes[node].min_up).max().unwrap_or(0);
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
    fn numbers_are_ordered_as_texts() {
        let mut numbers: Vec<u32> = (0..1200).chain([99_999, 1_000_000, u32::MAX - 1]).collect();
        let mut texts = numbers.clone();
        numbers.sort_by_key(|number| text_order(*number));
        texts.sort_by_key(|number| number.to_string());
        assert_eq!(numbers, texts);
    }
}
