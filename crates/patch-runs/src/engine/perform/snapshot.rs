//! SNAPSHOT and rollback.

use std::collections::{BTreeMap, BTreeSet};

use ansible::Playbook;
use api_types::sim::{CreateSnapshot, Rehearsal, Snapshot};
use domain::{
    ids::CiId,
    plan::{Plan, Target, WaveKind},
    run::{Answer, Stage},
};
use futures::{StreamExt, stream};
use service_kit::ApiResult;
use uuid::Uuid;

use super::hosts::play_outcomes;
use crate::app::transition::Evidence;
use crate::engine::Task;
use crate::store::snapshots::{self, SnapshotRow};
use patch_compliance::upstream_error;

/// Snapshots taken at the same time, or as many as hosts in work if these are more.
const MIN_CONCURRENT: usize = 8;

/// Takes a snapshot of each host. The sim-engine recognises the snapshot of the run, so a repetition takes no second one. A host
/// that has waited for another opening gets a new one, which replaces the old.
pub(super) async fn snapshot(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let plan = task.plan()?;
    let hours = plan.snapshot_retention_hours.unwrap_or(1);
    let is_renewed = task.loaded.row.machine.stage() == Some(Stage::Executing);
    let renewal =
        if is_renewed { format!(", renewed by action {}", task.pending.step) } else { String::new() };
    let purpose = format!("before patching{renewal}");
    let request = CreateSnapshot {
        owner: format!("run:{}", task.loaded.row.id),
        purpose,
        duration_seconds: Some(hours * 3600),
        expires_at: None,
    };
    let taken = stream::iter(hosts.iter().cloned())
        .map(|host| async {
            let taken = task.app.sim.create_snapshot(&host, &request).await;
            (host, taken)
        })
        .buffer_unordered(MIN_CONCURRENT.max(task.app.settings.forks.into()))
        .collect::<Vec<_>>()
        .await;
    let mut results: BTreeMap<CiId, Result<Uuid, String>> = BTreeMap::new();
    let mut rows = Vec::new();
    for (host, taken) in taken {
        match taken {
            Ok(snapshot) => {
                if is_renewed {
                    remove_replaced(task, &host, &snapshot).await?;
                }
                rows.push(SnapshotRow {
                    id: snapshot.id,
                    host: host.clone(),
                    expires_at: snapshot.expires_at,
                });
                results.insert(host, Ok(snapshot.id))
            }
            // The sim-engine is unavailable, which is not a failure of the host: the whole action is retried.
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => results.insert(host, Err(error.to_string())),
        };
    }
    let mut transaction = task.owned.begin().await?;
    snapshots::upsert_snapshots(&mut transaction, task.loaded.row.id, &rows).await?;
    transaction.commit().await?;
    let mut log = Vec::new();
    if let Some((host, snapshot)) = first_of_production(plan, &results) {
        match task.app.sim.rehearse_revert(&host, snapshot).await {
            Ok(rehearsal) => log.push((Some(host), rehearsal_text(&rehearsal))),
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => {
                let reason = format!("the rollback was rehearsed on a clone of `{host}` and failed: {error}");
                return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
            }
        }
    }
    let good = results.values().filter(|result| result.is_ok()).count();
    log.insert(0, (None, format!("{good} of {} snapshots taken, kept for {hours} h", hosts.len())));
    Ok((Answer::Snapshots(results), Evidence { log, ..Evidence::default() }))
}

/// Deletes the snapshots that the run took of a host in an earlier opening.
async fn remove_replaced(task: &Task<'_>, host: &CiId, kept: &Snapshot) -> ApiResult<()> {
    let sim = &task.app.sim;
    let all = sim.list_snapshots(host).await.map_err(upstream_error)?;
    for old in all.into_iter().filter(|old| old.owner == kept.owner && old.id != kept.id) {
        match sim.delete_snapshot(host, old.id).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(upstream_error(error)),
        }
    }
    Ok(())
}

/// The host whose rollback is rehearsed: the first of the first production wave.
fn first_of_production(plan: &Plan, taken: &BTreeMap<CiId, Result<Uuid, String>>) -> Option<(CiId, Uuid)> {
    let wave = plan.waves.iter().find(|wave| wave.kind != WaveKind::Staging)?;
    let host = wave.hosts.first()?;
    Some((host.clone(), *taken.get(host)?.as_ref().ok()?))
}

fn rehearsal_text(rehearsal: &Rehearsal) -> String {
    match rehearsal.seconds.filter(|_| rehearsal.cloned) {
        Some(seconds) => format!("the rollback was rehearsed on a clone in {seconds:.1} s"),
        None => "the rollback was not rehearsed: the driver of this host cannot clone".to_owned(),
    }
}

/// The versions before the update: name to version.
fn versions_before(target: &Target) -> serde_json::Map<String, serde_json::Value> {
    target.updates.iter().map(|update| (update.package.clone(), update.from.clone().into())).collect()
}

/// Rolls hosts back to their snapshots, or their packages to the previous versions, and waits until they are healthy.
pub(super) async fn roll_back(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let snapshots: BTreeMap<&CiId, Uuid> = hosts
        .iter()
        .filter_map(|host| Some((host, task.loaded.row.machine.hosts.get(host)?.snapshot?)))
        .collect();
    let task = &task.without_stop();
    let results = play_outcomes(task, Playbook::RollbackSnapshot, hosts, |id, target, variables| {
        match snapshots.get(id) {
            Some(snapshot) => drop(variables.set("pm_snapshot_id", snapshot.to_string())),
            // The plan found that the packages can be downgraded.
            None => drop(variables.set("pm_downgrades", versions_before(target))),
        }
    })
    .await?;
    let restored: Vec<CiId> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(host, _)| host.clone()).collect();
    let lines = results.iter().map(|(host, result)| match result {
        Ok(()) if snapshots.contains_key(host) => {
            (Some(host.clone()), "rolled back to its snapshot, healthy".to_owned())
        }
        Ok(()) => (Some(host.clone()), "rolled back to its previous packages, healthy".to_owned()),
        Err(reason) => (Some(host.clone()), format!("could not be rolled back: {reason}")),
    });
    let evidence = Evidence { log: lines.collect(), restored, ..Evidence::default() };
    Ok((Answer::RolledBack(results), evidence))
}
