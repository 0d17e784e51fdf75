//! What was left out on the hosts of a run: by its plan, and during its work.

use std::collections::BTreeMap;

use api_types::patch::HostStatus;
use domain::{ids::CiId, package::OmittedUpdate, plan::Plan};

/// Per host, each once. Hosts on which nothing was left out are absent.
pub fn left_out(plan: Option<&Plan>, hosts: &[HostStatus]) -> BTreeMap<CiId, Vec<OmittedUpdate>> {
    let planned = plan.into_iter().flat_map(|plan| &plan.targets);
    let planned = planned.map(|(host, target)| (host, &target.omitted));
    let mut all: BTreeMap<CiId, Vec<OmittedUpdate>> = BTreeMap::new();
    for (host, left_out) in planned.chain(hosts.iter().map(|host| (&host.ci_id, &host.left_out))) {
        if !left_out.is_empty() {
            let of_host = all.entry(host.clone()).or_default();
            of_host.extend(left_out.iter().cloned());
            of_host.sort();
            of_host.dedup();
        }
    }
    all
}
