//! Strategies that go by batches: of each service at most as many nodes at once as it can spare.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use super::{Action, CANARY_PAUSE_SECONDS, Step};
use crate::scenario::Scenario;

/// All services side by side, the most critical nodes first.
pub fn rolling(scenario: &Scenario) -> Vec<Vec<usize>> {
    safe_batches(scenario, &most_important_first(scenario), usize::MAX)
}

/// As `rolling`, but at most `batch_size` at once.
pub fn batch_rolling(scenario: &Scenario, batch_size: usize) -> Vec<Vec<usize>> {
    safe_batches(scenario, &most_important_first(scenario), batch_size)
}

/// The least important node of each service that can spare one, a pause, then the rest as `rolling`.
pub fn canary(scenario: &Scenario) -> Vec<Step> {
    let spare = spare(scenario);
    let mut canaries = Vec::new();
    let mut is_canary = vec![false; scenario.nodes.len()];
    // Services whose first patchable node comes first in the file come first.
    let mut first_seen: Vec<usize> = Vec::new();
    let mut seen = vec![false; scenario.services.len()];
    for node in scenario.patchable() {
        let service = scenario.nodes[node].service;
        if !std::mem::replace(&mut seen[service], true) {
            first_seen.push(service);
        }
    }
    for service in first_seen.into_iter().filter(|service| spare[*service] > 0) {
        let members = scenario.services[service].members.iter().copied();
        let least = members.filter(|node| scenario.nodes[*node].patchable).min_by(|a, b| {
            let (a, b) = (&scenario.nodes[*a], &scenario.nodes[*b]);
            (a.criticality.cmp(&b.criticality))
                .then(a.patch.severity.total_cmp(&b.patch.severity))
                .then_with(|| a.id.cmp(&b.id))
        });
        if let Some(node) = least {
            canaries.push(node);
            is_canary[node] = true;
        }
    }
    let mut steps: Vec<Step> = safe_batches(scenario, &canaries, usize::MAX)
        .into_iter()
        .map(|nodes| Step::new("patch_canary-1", Action::PatchCanary, nodes))
        .collect();
    if !canaries.is_empty() {
        steps.push(Step::pause("pause-canary", CANARY_PAUSE_SECONDS, false));
    }
    let mut rest = most_important_first(scenario);
    rest.retain(|node| !is_canary[*node]);
    let rest = safe_batches(scenario, &rest, usize::MAX);
    steps.extend(rest.into_iter().map(|nodes| Step::patch("patch-1", nodes)));
    steps
}

/// By falling criticality, falling severity, id.
fn most_important_first(scenario: &Scenario) -> Vec<usize> {
    let mut nodes = scenario.patchable();
    nodes.sort_unstable_by(|a, b| {
        let (a, b) = (&scenario.nodes[*a], &scenario.nodes[*b]);
        (b.criticality.cmp(&a.criticality))
            .then(b.patch.severity.total_cmp(&a.patch.severity))
            .then_with(|| a.id.cmp(&b.id))
    });
    nodes
}

/// How many nodes each service can spare: its patchable ones less the highest `min_up` among them.
fn spare(scenario: &Scenario) -> Vec<usize> {
    let of_service = |members: &Vec<usize>| {
        let patchable = members.iter().map(|node| &scenario.nodes[*node]).filter(|node| node.patchable);
        let min_up = patchable.clone().map(|node| node.min_up).max().unwrap_or(0);
        patchable.count().saturating_sub(min_up as usize)
    };
    scenario.services.iter().map(|service| of_service(&service.members)).collect()
}

/// Takes nodes in the given order into batches of at most `batch_size`, of each service at most its spare. When nothing
/// can be taken, the first node left becomes a batch of its own. Batches are sorted by id.
///
/// Each service keeps its own queue and a heap knows whose head comes next, so a batch costs no more than it takes.
fn safe_batches(scenario: &Scenario, nodes: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    let spare = spare(scenario);
    let mut queues: Vec<VecDeque<usize>> = vec![VecDeque::new(); scenario.services.len()];
    let mut stuck = BTreeMap::new();
    for (position, node) in nodes.iter().enumerate() {
        let service = scenario.nodes[*node].service;
        match spare[service] {
            0 => _ = stuck.insert(position, *node),
            _ => queues[service].push_back(position),
        }
    }
    let heads =
        queues.iter().enumerate().filter_map(|(service, queue)| Some(Reverse((*queue.front()?, service))));
    let mut heads: BinaryHeap<Reverse<(usize, usize)>> = heads.collect();
    let mut batches = Vec::new();
    while !heads.is_empty() {
        let mut batch = Vec::new();
        let mut resting = Vec::new();
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        while batch.len() < batch_size
            && let Some(Reverse((position, service))) = heads.pop()
        {
            batch.push(nodes[position]);
            queues[service].pop_front();
            let taken = taken.entry(service).or_default();
            *taken += 1;
            if let Some(next) = queues[service].front() {
                let head = Reverse((*next, service));
                if *taken < spare[service] { heads.push(head) } else { resting.push(head) }
            }
        }
        heads.extend(resting);
        batches.push(batch);
    }
    batches.extend(stuck.into_values().map(|node| vec![node]));
    for batch in &mut batches {
        batch.sort_unstable_by(|a, b| scenario.nodes[*a].id.cmp(&scenario.nodes[*b].id));
    }
    batches
}
