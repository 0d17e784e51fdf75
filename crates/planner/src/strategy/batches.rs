//! Strategies that go by batches: of each service at most as many nodes at once as it can spare.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::{Action, CANARY_PAUSE_SECONDS, NodePlan, StepName, ground::Ground, node_plan::Part};

/// No batch.
const NONE: u32 = u32::MAX;

/// All services side by side, the most critical nodes first.
pub fn rolling(ground: &Ground, plan: &mut NodePlan) {
    add(ground, plan, Action::Patch, &by_service(ground, ground.most_important_first()));
}

/// As `rolling`, but at most `batch_size` at once.
pub fn batch_rolling(ground: &Ground, batch_size: usize, plan: &mut NodePlan) {
    add(ground, plan, Action::Patch, &by_size(ground, ground.most_important_first(), batch_size));
}

/// The least important node of each service that can spare one, a pause, then the rest as `rolling`.
pub fn canary(ground: &Ground, plan: &mut NodePlan) {
    let nodes = &ground.scenario.nodes;
    let mut canary_of: Vec<Option<usize>> = vec![None; ground.spare.len()];
    // Services whose first patchable node comes first in the file come first.
    let mut services = Vec::new();
    let importance = |index: usize| {
        let node = &nodes[index];
        (node.criticality, super::ground::ordered(node.patch.severity), ground.rank[index])
    };
    for index in ground.patchable() {
        let service = nodes[index].service;
        if ground.spare[service] == 0 {
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
    add(ground, plan, Action::PatchCanary, &by_service(ground, &canaries));
    if !canaries.is_empty() {
        plan.pause(StepName::Whole(Part::CanaryPause), CANARY_PAUSE_SECONDS, false);
    }
    let is_canary =
        |node: &u32| canary_of[ground.service_of[*node as usize] as usize] == Some(*node as usize);
    let rest = ground.most_important_first().iter().copied().filter(|node| !is_canary(node));
    add(ground, plan, Action::Patch, &by_service(ground, &rest.collect::<Vec<u32>>()));
}

/// The batch of each node and how many batches there are.
struct Batches {
    of_node: Vec<u32>,
    count: u32,
}

/// Batches become steps, sorted by id.
fn add(ground: &Ground, plan: &mut NodePlan, action: Action, batches: &Batches) {
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
    for node in &ground.by_id {
        let batch = batches.of_node[*node as usize];
        if batch != NONE {
            nodes[next[batch as usize] as usize] = *node;
            next[batch as usize] += 1;
        }
    }
    plan.add_numbered(action, &sizes, &nodes);
}

/// Takes nodes in the given order, of each service at most its spare a batch. When nothing can be taken, the first node
/// left becomes a batch of its own.
fn by_service(ground: &Ground, nodes: &[u32]) -> Batches {
    let mut batches = Batches { of_node: vec![NONE; ground.rank.len()], count: 0 };
    let mut taken = vec![0_u32; ground.spare.len()];
    for node in nodes {
        let service = ground.service_of[*node as usize] as usize;
        if let Some(batch) = taken[service].checked_div(ground.spare[service]) {
            taken[service] += 1;
            batches.of_node[*node as usize] = batch;
            batches.count = batches.count.max(batch + 1);
        }
    }
    batches.add_stuck(ground, nodes);
    batches
}

/// As [`by_service`], and of all services together at most `batch_size` a batch.
///
/// Nodes are looked at in their order once; those whose service has given all it can to a batch wait in a queue of their
/// service, and a heap knows whose head comes next. So a batch costs no more than it takes.
fn by_size(ground: &Ground, nodes: &[u32], batch_size: usize) -> Batches {
    let service_of = |position: usize| ground.service_of[nodes[position] as usize] as usize;
    let mut batches = Batches { of_node: vec![NONE; ground.rank.len()], count: 0 };
    let mut waiting: Vec<VecDeque<usize>> = vec![VecDeque::new(); ground.spare.len()];
    let mut heads: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    // For each service the batch that took from it last, and how many.
    let mut taken = vec![(NONE, 0_u32); ground.spare.len()];
    let mut cursor = 0;
    loop {
        let batch = batches.count;
        let mut size = 0;
        let mut resting = Vec::new();
        while size < batch_size {
            // Whoever waits was looked at before, so its place is before the cursor's.
            let (position, service, waited) = match heads.pop() {
                Some(Reverse((position, service))) => (position, service, true),
                None if cursor < nodes.len() => {
                    cursor += 1;
                    (cursor - 1, service_of(cursor - 1), false)
                }
                None => break,
            };
            if ground.spare[service] == 0 {
                continue;
            }
            let taken = &mut taken[service];
            if taken.0 != batch {
                *taken = (batch, 0);
            }
            let has_room = taken.1 < ground.spare[service];
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
                    if taken.1 < ground.spare[service] { heads.push(head) } else { resting.push(head) }
                }
            }
        }
        heads.extend(resting);
        if size == 0 {
            break;
        }
        batches.count += 1;
    }
    batches.add_stuck(ground, nodes);
    batches
}

impl Batches {
    /// Nodes of services that can spare none: each a batch of its own, last.
    fn add_stuck(&mut self, ground: &Ground, nodes: &[u32]) {
        for node in nodes {
            if ground.spare[ground.service_of[*node as usize] as usize] == 0 {
                self.of_node[*node as usize] = self.count;
                self.count += 1;
            }
        }
    }
}
