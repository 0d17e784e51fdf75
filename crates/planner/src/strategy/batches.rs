//! Strategies by batches: at most as many nodes of each service at once as it can spare.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::{
    Action, CANARY_PAUSE_SECONDS, NodePlan, StepName, indexed_scenario::IndexedScenario, node_plan::Part,
};

/// No batch.
const NONE: u32 = u32::MAX;

/// All services in parallel, the most critical nodes first.
pub fn rolling(indexed: &IndexedScenario, plan: &mut NodePlan) {
    add(indexed, plan, Action::Patch, &by_service(indexed, indexed.most_important_first()));
}

/// As `rolling`, but at most `batch_size` at once.
pub fn batch_rolling(indexed: &IndexedScenario, batch_size: usize, plan: &mut NodePlan) {
    add(indexed, plan, Action::Patch, &by_size(indexed, indexed.most_important_first(), batch_size));
}

/// The least important node of each service that can spare one, a pause, then the rest as `rolling`.
pub fn canary(indexed: &IndexedScenario, plan: &mut NodePlan) {
    let nodes = &indexed.scenario.nodes;
    let mut canary_of: Vec<Option<usize>> = vec![None; indexed.spare.len()];
    // Services whose first patchable node comes first in the file come first.
    let mut services = Vec::new();
    let importance = |index: usize| {
        let node = &nodes[index];
        (node.criticality, super::indexed_scenario::ordered(node.patch.severity), indexed.rank[index])
    };
    for index in indexed.patchable() {
        let service = nodes[index].service;
        if indexed.spare[service] == 0 {
            continue;
        }
        match &mut canary_of[service] {
            None => {
                services.push(service);
                canary_of[service] = Some(index);
            }
            Some(least) if importance(index) < importance(*least) => *least = index,
            Some(_) => {}
        }
    }
    let canaries: Vec<u32> =
        services.iter().filter_map(|service| canary_of[*service]).map(|node| node as u32).collect();
    add(indexed, plan, Action::PatchCanary, &by_service(indexed, &canaries));
    if !canaries.is_empty() {
        plan.pause(StepName::Whole(Part::CanaryPause), CANARY_PAUSE_SECONDS, false);
    }
    let is_canary =
        |node: &u32| canary_of[indexed.service_of[*node as usize] as usize] == Some(*node as usize);
    let rest = indexed.most_important_first().iter().copied().filter(|node| !is_canary(node));
    add(indexed, plan, Action::Patch, &by_service(indexed, &rest.collect::<Vec<u32>>()));
}

/// The batch of each node and how many batches there are.
struct Batches {
    of_node: Vec<u32>,
    count: u32,
}

/// Batches become steps, sorted by id.
fn add(indexed: &IndexedScenario, plan: &mut NodePlan, action: Action, batches: &Batches) {
    let mut sizes = vec![0_u32; batches.count as usize];
    batches.of_node.iter().filter(|batch| **batch != NONE).for_each(|batch| sizes[*batch as usize] += 1);
    let mut next: Vec<u32> = sizes
        .iter()
        .scan(0, |first, size| {
            *first += size;
            Some(*first - size)
        })
        .collect();
    let mut nodes = vec![0; sizes.iter().sum::<u32>() as usize];
    for node in &indexed.by_id {
        let batch = batches.of_node[*node as usize];
        if batch != NONE {
            nodes[next[batch as usize] as usize] = *node;
            next[batch as usize] += 1;
        }
    }
    plan.add_numbered(action, &sizes, &nodes);
}

/// Takes nodes in the given order, per batch at most as many of each service as it can spare. If none can be taken, the
/// first remaining node becomes a batch of its own.
fn by_service(indexed: &IndexedScenario, nodes: &[u32]) -> Batches {
    let mut batches = Batches { of_node: vec![NONE; indexed.rank.len()], count: 0 };
    let mut taken = vec![0_u32; indexed.spare.len()];
    for node in nodes {
        let service = indexed.service_of[*node as usize] as usize;
        if let Some(batch) = taken[service].checked_div(indexed.spare[service]) {
            taken[service] += 1;
            batches.of_node[*node as usize] = batch;
            batches.count = batches.count.max(batch + 1);
        }
    }
    batches.add_stuck(indexed, nodes);
    batches
}

/// Like [`by_service`], with at most `batch_size` nodes per batch.
///
/// Nodes are visited once in their order. Nodes whose service cannot spare another one in this batch wait in a queue of
/// their service, and a heap knows which head comes next. So the cost of a batch is proportional to its size.
fn by_size(indexed: &IndexedScenario, nodes: &[u32], batch_size: usize) -> Batches {
    let service_of = |position: usize| indexed.service_of[nodes[position] as usize] as usize;
    let mut batches = Batches { of_node: vec![NONE; indexed.rank.len()], count: 0 };
    let mut waiting: Vec<VecDeque<usize>> = vec![VecDeque::new(); indexed.spare.len()];
    let mut heads: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    // For each service the batch that took from it last, and how many.
    let mut taken = vec![(NONE, 0_u32); indexed.spare.len()];
    let mut cursor = 0;
    loop {
        let batch = batches.count;
        let mut size = 0;
        let mut resting = Vec::new();
        while size < batch_size {
            // A waiting node was visited before, so its place is before the cursor's.
            let (position, service, waited) = match heads.pop() {
                Some(Reverse((position, service))) => (position, service, true),
                None if cursor < nodes.len() => {
                    cursor += 1;
                    (cursor - 1, service_of(cursor - 1), false)
                }
                None => break,
            };
            if indexed.spare[service] == 0 {
                continue;
            }
            let taken = &mut taken[service];
            if taken.0 != batch {
                *taken = (batch, 0);
            }
            let has_room = taken.1 < indexed.spare[service];
            if !waited && (!has_room || !waiting[service].is_empty()) {
                if waiting[service].is_empty() {
                    resting.push(Reverse((position, service)));
                }
                waiting[service].push_back(position);
                continue;
            }
            taken.1 += 1;
            size += 1;
            batches.of_node[nodes[position] as usize] = batch;
            if waited {
                waiting[service].pop_front();
                if let Some(next) = waiting[service].front() {
                    let head = Reverse((*next, service));
                    if taken.1 < indexed.spare[service] { heads.push(head) } else { resting.push(head) }
                }
            }
        }
        heads.extend(resting);
        if size == 0 {
            break;
        }
        batches.count += 1;
    }
    batches.add_stuck(indexed, nodes);
    batches
}

impl Batches {
    /// Nodes of services that can spare none: each a batch of its own, last.
    fn add_stuck(&mut self, indexed: &IndexedScenario, nodes: &[u32]) {
        for node in nodes {
            if indexed.spare[indexed.service_of[*node as usize] as usize] == 0 {
                self.of_node[*node as usize] = self.count;
                self.count += 1;
            }
        }
    }
}
