//! VERIFY: scans the hosts again and compares them with the plan.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    plan::Target,
    run::{Answer, HostState, Verification},
};
use service_kit::ApiResult;

use super::hosts::playbook_timeout;
use crate::engine::Task;
use crate::{
    app::{scans, transition::Evidence},
    engine::playbook,
};
use patch_compliance::app::{compliance, updates};

pub(super) async fn verify(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let (plan, app, row) = (task.plan()?, task.app, &task.loaded.row);
    let (targets, scanned) = scan(task, hosts).await?;
    let mut conn = app.pool.acquire().await?;
    let installed =
        updates::installed_versions(&mut conn, &hosts.iter().cloned().collect::<Vec<_>>()).await?;
    let patched: Vec<CiId> = hosts
        .iter()
        .filter(|host| row.machine.hosts.get(*host).is_some_and(|run| run.state == HostState::Succeeded))
        .cloned()
        .collect();
    let verify_host = |host: &CiId| match scanned.get(host) {
        Some(Ok(())) if !patched.contains(host) => Verification::Healthy,
        Some(Ok(())) => compare_versions(&targets[host], installed.get(host)),
        Some(Err(unscanned)) => {
            Verification::Inconclusive { reason: format!("it could not be scanned: {}", unscanned.reason) }
        }
        None => Verification::Inconclusive { reason: "the scan returned no result for it".to_owned() },
    };
    let results: BTreeMap<CiId, Verification> =
        hosts.iter().map(|host| (host.clone(), verify_host(host))).collect();
    let all: Vec<CiId> = plan.targets.keys().cloned().collect();
    let after = compliance::share(&mut conn, &all).await?;
    let healthy = results.values().filter(|result| **result == Verification::Healthy).count();
    let text = format!(
        "verified {healthy} of {} hosts; {} of {} are compliant",
        hosts.len(),
        after.compliant,
        after.total
    );
    let evidence = Evidence { compliance_after: Some(after), log: vec![(None, text)], ..Evidence::default() };
    Ok((Answer::Verified(results), evidence))
}

/// Scans hosts whose work is not done, after a time of which nothing is known. What is installed already is not installed again:
/// the workflow finds it.
pub(super) async fn rescan(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let (targets, scanned) = scan(task, hosts).await?;
    let mut conn = task.app.pool.acquire().await?;
    let installed =
        updates::installed_versions(&mut conn, &hosts.iter().cloned().collect::<Vec<_>>()).await?;
    drop(conn);
    let mut log = Vec::new();
    let mut results = BTreeMap::new();
    for host in hosts {
        let result = match (scanned.get(host), targets.get(host)) {
            (Some(Ok(())), Some(target)) => {
                if compare_versions(target, installed.get(host)) == Verification::Healthy {
                    let text = "it has the versions of the plan already: it was updated in the meantime";
                    log.push((Some(host.clone()), text.to_owned()));
                }
                Ok(())
            }
            (Some(Err(unscanned)), _) => Err(unscanned.reason.clone()),
            _ => Err("the scan returned no result for it".to_owned()),
        };
        results.insert(host.clone(), result);
    }
    let scanned = results.values().filter(|result| result.is_ok()).count();
    log.push((None, format!("scanned {scanned} of {} hosts that wait to be patched again", hosts.len())));
    Ok((Answer::Rescanned(results), Evidence { log, ..Evidence::default() }))
}

/// Scans these hosts of the plan.
async fn scan(
    task: &Task<'_>,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<(BTreeMap<CiId, Target>, scans::ScanResults)> {
    let (plan, app, row) = (task.plan()?, task.app, &task.loaded.row);
    let targets: BTreeMap<CiId, Target> = plan
        .targets
        .iter()
        .filter(|(id, _)| hosts.contains(*id))
        .map(|(id, target)| (id.clone(), target.clone()))
        .collect();
    let run_dir = playbook::run_dir(app, row.id, task.pending.step);
    let timeout = playbook_timeout(app, plan, targets.len());
    let scanned = scans::scan_hosts(app, Some(row), &targets, &run_dir, timeout).await?;
    Ok((targets, scanned))
}

/// Compares the plan's versions with those of the scan. A newer version is not a failure: it was installed in the meantime.
fn compare_versions(target: &Target, installed: Option<&BTreeMap<String, String>>) -> Verification {
    let found = |package: &str| installed.and_then(|installed| installed.get(package));
    let wrong = target.updates.iter().find(|update| {
        found(&update.package)
            .is_none_or(|version| !updates::is_at_least(target.packaging, version, &update.to))
    });
    match wrong {
        None => Verification::Healthy,
        Some(update) => {
            let version = found(&update.package).map_or("not installed", String::as_str);
            Verification::Failed {
                reason: format!("`{}` is {version}, the plan requires {}", update.package, update.to),
            }
        }
    }
}
