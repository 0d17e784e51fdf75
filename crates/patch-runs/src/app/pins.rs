//! Limits the plan of a policy that pins content to what its pilots test. What they do not test is left out, and the package
//! managers of the hosts are asked again about the rest.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    pin::{self, Tested},
    plan::{Plan, Target},
};
use patch_compliance::app::updates;
use planner::{PlanRequest, host_plan};
use service_kit::ApiResult;

use super::{
    preflight::{self, Asking},
    transactions::{self, Pins},
};
use crate::App;

/// A round may change which hosts are pilots. Two are usual.
const MOST_ROUNDS: usize = 4;

/// Limits the hosts that test nothing, and returns those on which nothing is left to do, with the reason. `staging` has the
/// operating systems of all staging hosts, also of those that miss nothing. Without `asking`, nobody is asked.
pub(super) async fn limit_to_tested(
    app: &App,
    asking: Option<&Asking<'_, '_>>,
    staging: &BTreeMap<CiId, String>,
    request: &mut PlanRequest,
) -> ApiResult<BTreeMap<CiId, String>> {
    let mut impossible = BTreeMap::new();
    for _round in 0..MOST_ROUNDS {
        let plan = host_plan(request);
        let untested = pin::untested(&plan, installed(app, &plan, staging).await?);
        if untested.is_empty() {
            return Ok(impossible);
        }
        let (mut again, mut pins) = (BTreeMap::new(), Pins::new());
        for (id, found) in untested {
            let Some(target) = request.targets.get_mut(&id) else { continue };
            let mut tested = target.owned_pins();
            tested.retain(|package, _| !found.planned.contains(package) && !found.along.contains(package));
            target.leave_out_untested(&found.planned);
            pins.insert(id.clone(), tested);
            again.insert(id, target.clone());
        }
        if let Some(asking) = asking {
            impossible.extend(preflight::ask_pinned(app, asking, &pins, &mut again).await?);
        }
        for (id, target) in again {
            if let Some(reason) = impossible.get(&id) {
                tracing::debug!("`{id}` is not patched: {reason}");
                request.targets.remove(&id);
            } else if target.updates.is_empty() && !target.reboot_pending {
                impossible.insert(id.clone(), transactions::nothing_left(&target.omitted));
                request.targets.remove(&id);
            } else {
                request.targets.insert(id, target);
            }
        }
    }
    let plan = host_plan(request);
    for id in pin::untested(&plan, installed(app, &plan, staging).await?).into_keys() {
        request.targets.remove(&id);
        let reason = "its updates cannot be limited to what pilots test, because the pilots keep changing";
        impossible.insert(id, reason.to_owned());
    }
    Ok(impossible)
}

/// What the hosts that test have installed already.
async fn installed(app: &App, plan: &Plan, staging: &BTreeMap<CiId, String>) -> ApiResult<Tested> {
    let os_of = |id: &CiId| plan.targets.get(id).map(|target: &Target| &target.os).or(staging.get(id));
    let hosts: BTreeSet<&CiId> = pin::testers(plan).into_iter().chain(staging.keys()).collect();
    let hosts: Vec<CiId> = hosts.into_iter().cloned().collect();
    let mut conn = app.pool.acquire().await?;
    let mut tested = Tested::default();
    for (id, versions) in updates::installed_versions(&mut conn, &hosts).await? {
        let Some(os) = os_of(&id) else { continue };
        for (package, version) in versions {
            tested.add(os, &package, &version);
        }
    }
    Ok(tested)
}
