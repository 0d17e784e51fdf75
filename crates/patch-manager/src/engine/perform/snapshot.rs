//! SNAPSHOT and the way back.

use std::collections::{BTreeMap, BTreeSet};

use ansible::Playbook;
use api_types::sim::CreateSnapshot;
use chrono::TimeDelta;
use domain::{ids::CiId, plan::Target, run::Answer};
use futures::{StreamExt, stream};
use service_kit::ApiResult;
use uuid::Uuid;

use super::{
    Task,
    hosts::{plan_of, play_outcomes, undisturbed},
};
use crate::{app::remote, engine::transition::Evidence};

/// Snapshots taken side by side.
const AT_ONCE: usize = 8;

/// Takes a snapshot of each host. The sim-engine knows the run's own snapshot again, so a repetition takes no second one.
pub(super) async fn snapshot(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let plan = plan_of(task)?;
    let hours = i64::from(plan.snapshot_retention_hours.unwrap_or(1));
    let request = CreateSnapshot {
        owner: format!("run:{}", task.loaded.row.id),
        purpose: "before patching".to_owned(),
        expires_at: task.app.clock.now() + TimeDelta::hours(hours),
    };
    let taken = stream::iter(hosts.iter().cloned())
        .map(|host| async {
            let taken = task.app.sim.create_snapshot(&host, &request).await;
            (host, taken)
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut results: BTreeMap<CiId, Result<Uuid, String>> = BTreeMap::new();
    for (host, taken) in taken {
        match taken {
            Ok(snapshot) => results.insert(host, Ok(snapshot.id)),
            // The sim-engine being away is no fault of the host: all of it is tried again.
            Err(error) if error.is_transient() => return Err(remote::failed(error)),
            Err(error) => results.insert(host, Err(error.to_string())),
        };
    }
    let good = results.values().filter(|result| result.is_ok()).count();
    Ok((
        Answer::Snapshots(results),
        Evidence::logged(format!("{good} of {} snapshots taken, kept for {hours} h", hosts.len())),
    ))
}

/// What a downgrade goes back to: name to version.
fn versions_before(target: &Target) -> serde_json::Map<String, serde_json::Value> {
    target.updates.iter().map(|update| (update.package.clone(), update.from.clone().into())).collect()
}

/// Returns hosts to their snapshots, or their packages to the versions before, and waits until they are healthy there.
pub(super) async fn roll_back(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let snapshots: BTreeMap<&CiId, Uuid> = hosts
        .iter()
        .filter_map(|host| Some((host, task.loaded.row.machine.hosts.get(host)?.snapshot?)))
        .collect();
    let task = &undisturbed(task);
    let results = play_outcomes(task, Playbook::RollbackSnapshot, hosts, |id, target, variables| {
        match snapshots.get(id) {
            Some(snapshot) => drop(variables.set("pm_snapshot_id", snapshot.to_string())),
            // The plan found that the packages can go back by themselves.
            None => drop(variables.set("pm_downgrades", versions_before(target))),
        }
    })
    .await?;
    let restored: Vec<CiId> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(host, _)| host.clone()).collect();
    let lines = results.iter().map(|(host, result)| match result {
        Ok(()) if snapshots.contains_key(host) => {
            (Some(host.clone()), "returned to its snapshot, healthy".to_owned())
        }
        Ok(()) => (Some(host.clone()), "returned to the packages before, healthy".to_owned()),
        Err(reason) => (Some(host.clone()), format!("could not be rolled back: {reason}")),
    });
    let evidence = Evidence { log: lines.collect(), restored, ..Evidence::default() };
    Ok((Answer::RolledBack(results), evidence))
}
