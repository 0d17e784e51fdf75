//! Which hosts may be taken down next: never more than the budget, and never a service below its minimum.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::HostRun;
use crate::{
    ids::CiId,
    plan::{Plan, Subject},
};

/// The next hosts of a wave, in the wave's order. Hosts that are down after a failure still count against the budget and
/// are missing from their services. Those that are down for a reason outside the run are missing from their services too; to
/// patch one of them costs its services nothing more.
pub(super) fn next_batch(
    plan: &Plan,
    hosts: &BTreeMap<CiId, HostRun>,
    candidates: &[CiId],
    down_elsewhere: &BTreeSet<CiId>,
) -> BTreeSet<CiId> {
    // A failed customer does not count against the budget: each customer has its own installation.
    let is_apart = plan.subject() == Subject::Customer;
    let is_down = |host: &HostRun| host.state.is_working() || !is_apart && host.state.may_be_down();
    let mut down: BTreeSet<&CiId> = hosts
        .iter()
        .filter(|(_, host)| is_down(host) && host.state.may_be_down())
        .map(|(id, _)| id)
        .collect();
    let mut batch = BTreeSet::new();
    for candidate in candidates {
        if batch.len() >= plan.limits.batch_size() {
            break;
        }
        // A host that is down already, and is tried again, takes nothing more.
        if down.contains(candidate) {
            batch.insert(candidate.clone());
            continue;
        }
        if down.len() >= plan.limits.max_parallel as usize {
            continue;
        }
        let missing: BTreeSet<&CiId> = down.iter().copied().chain(down_elsewhere).collect();
        if down_elsewhere.contains(candidate) || plan.can_spare(candidate, &missing) {
            down.insert(candidate);
            batch.insert(candidate.clone());
        }
    }
    batch
}
