//! Strategies that go by incompatibility groups.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
};

use super::{Action, GUARDRAIL_PAUSE_SECONDS, PlanError, Step};
use crate::scenario::Scenario;

struct Group {
    /// Its number among all groups of the scenario.
    number: usize,
    /// Patchable nodes, in file order.
    nodes: Vec<usize>,
    risk: f64,
}

fn groups(scenario: &Scenario) -> Vec<Group> {
    let (number_of, risks) = (scenario.groups(), scenario.risks());
    let mut groups: Vec<Group> = Vec::new();
    let mut index_of = vec![None; scenario.nodes.len()];
    for node in scenario.patchable() {
        let number = number_of[node];
        let index = *index_of[number].get_or_insert_with(|| {
            groups.push(Group { number, nodes: Vec::new(), risk: f64::NEG_INFINITY });
            groups.len() - 1
        });
        groups[index].nodes.push(node);
        groups[index].risk = groups[index].risk.max(risks[node]);
    }
    groups
}

/// A group that is ready; the greatest is taken first.
struct Ready {
    risk: f64,
    /// Groups of equal risk go by the text of their number: `10` before `2`.
    name: String,
    index: usize,
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        self.risk.total_cmp(&other.risk).then_with(|| other.name.cmp(&self.name))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ready {}

/// One group a step, a group after all those it depends on, of the ready ones the riskiest first.
pub fn dep_greedy(scenario: &Scenario) -> Result<Vec<Step>, PlanError> {
    let groups = groups(scenario);
    let mut group_of = vec![None; scenario.nodes.len()];
    for (index, group) in groups.iter().enumerate() {
        group.nodes.iter().for_each(|node| group_of[*node] = Some(index));
    }
    let mut edges = Vec::with_capacity(scenario.edges.len());
    for edge in &scenario.edges {
        if let (Some(dependent), Some(provider)) = (group_of[edge.source], group_of[edge.target])
            && dependent != provider
        {
            edges.push((provider, dependent));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    let mut missing = vec![0_usize; groups.len()];
    edges.iter().for_each(|(_, dependent)| missing[*dependent] += 1);

    let ready =
        |index: usize| Ready { risk: groups[index].risk, name: groups[index].number.to_string(), index };
    let mut heap: BinaryHeap<Ready> =
        (0..groups.len()).filter(|index| missing[*index] == 0).map(ready).collect();
    let mut steps = Vec::with_capacity(groups.len());
    while let Some(Ready { index, .. }) = heap.pop() {
        let mut nodes = groups[index].nodes.clone();
        nodes.sort_unstable_by(|a, b| scenario.nodes[*a].id.cmp(&scenario.nodes[*b].id));
        steps.push(Step::patch("patch-1", nodes));
        let first = edges.partition_point(|(provider, _)| *provider < index);
        for (_, dependent) in edges[first..].iter().take_while(|(provider, _)| *provider == index) {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                heap.push(ready(*dependent));
            }
        }
    }
    match steps.len() == groups.len() {
        true => Ok(steps),
        false => Err(PlanError::DependencyCycle(cycle(scenario, &groups, &edges, &missing))),
    }
}

/// The nodes of one cycle: from any group that never became ready, back along what it waits for, until a group repeats.
fn cycle(scenario: &Scenario, groups: &[Group], edges: &[(usize, usize)], missing: &[usize]) -> Vec<String> {
    let mut waits_for = BTreeMap::new();
    for (provider, dependent) in edges.iter().filter(|(provider, _)| missing[*provider] > 0) {
        waits_for.entry(*dependent).or_insert(*provider);
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
    path.iter().map(|group| format!("`{}`", scenario.nodes[groups[*group].nodes[0]].id)).collect()
}

/// Riskiest group first. A group whose services cannot spare it gets a second set and a switch, any other is patched
/// at once; a pause after each.
pub fn hybrid(scenario: &Scenario) -> Vec<Step> {
    let mut groups = groups(scenario);
    let first_id = |group: &Group| group.nodes.iter().map(|node| scenario.nodes[*node].id.as_str()).min();
    groups.sort_by(|a, b| b.risk.total_cmp(&a.risk).then_with(|| first_id(a).cmp(&first_id(b))));
    let mut steps = Vec::new();
    for (index, Group { nodes, .. }) in groups.into_iter().enumerate() {
        let name = format!("group-{}", index + 1);
        let min_up = nodes.iter().map(|node| scenario.nodes[*node].min_up).max().unwrap_or(0);
        if min_up as usize >= nodes.len() {
            steps.push(Step::new(format!("{name}-bluegreen-build"), Action::BlueGreenBuild, nodes.clone()));
            steps.push(Step::new(format!("{name}-bluegreen-switch"), Action::BlueGreenSwitch, nodes));
        } else {
            steps.push(Step::patch(format!("{name}-rolling"), nodes));
        }
        steps.push(Step::pause(format!("{name}-cooldown"), GUARDRAIL_PAUSE_SECONDS, true));
    }
    steps
}
