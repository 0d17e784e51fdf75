//! Settling hosts that were interrupted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ansible::{Event, HostOutcomeKind, Playbook, PlaybookRun, Variables};
use domain::{
    ids::CiId,
    plan::{Plan, Target},
    run::Answer,
};
use service_kit::{ApiError, ApiResult};
use tokio::sync::watch;

use super::{Order, Task};
use crate::engine::{
    playbook::{self, MARGIN, how_it_ended, playbook_run},
    transition::Evidence,
};

/// The plan of a run that has got as far as touching hosts.
pub(super) fn plan_of<'a>(task: &Task<'a>) -> ApiResult<&'a Plan> {
    task.loaded
        .plan
        .as_ref()
        .ok_or_else(|| ApiError::internal(format!("run {} acts without a plan", task.loaded.row.id)))
}

/// The targets among `hosts`.
pub(super) fn targets_of<'a>(
    plan: &'a Plan,
    hosts: &'a BTreeSet<CiId>,
) -> impl Iterator<Item = (&'a CiId, &'a Target)> {
    plan.targets.iter().filter(|(id, _)| hosts.contains(*id))
}

/// A run of a playbook over hosts of the plan, with the variables every playbook of a run gets.
pub(super) fn run_over(
    task: &Task<'_>,
    playbook: Playbook,
    hosts: &BTreeSet<CiId>,
    timeout: Duration,
    variables: impl Fn(&CiId, &Target, &mut Variables),
) -> ApiResult<PlaybookRun> {
    let plan = plan_of(task)?;
    let run = &task.loaded.row;
    let own = |id: &CiId, target: &Target| {
        let mut own = Variables::new();
        let attempt = run.machine.hosts.get(id).map_or(1, |host| host.attempts.max(1));
        own.set("pm_run_id", run.id.to_string());
        own.set("pm_attempt", attempt);
        variables(id, target, &mut own);
        own
    };
    let run_dir = playbook::run_dir(task.app, run.id, task.pending.step);
    let mut playbook_run = playbook_run(task.app, playbook, targets_of(plan, hosts), own, run_dir, timeout)?;
    let workflow = &plan.workflow;
    let extra = &mut playbook_run.extra_vars;
    extra.set("pm_min_disk_free_percent", workflow.min_disk_free_percent);
    extra.set("pm_drain_timeout_seconds", workflow.drain_timeout_seconds);
    extra.set("pm_health_timeout_seconds", workflow.health_timeout_seconds);
    extra.set("pm_health_stable_seconds", workflow.health_stable_seconds);
    Ok(playbook_run)
}

/// How much time one host's whole workflow may take.
pub(super) fn host_timeout(plan: &Plan) -> Duration {
    Duration::from_secs(u64::from(plan.workflow.host_timeout_seconds)) + MARGIN
}

/// Plays a playbook whose only result is an outcome per host.
pub(super) async fn play_outcomes(
    task: &Task<'_>,
    run: PlaybookRun,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<BTreeMap<CiId, Result<(), String>>> {
    let mut results = BTreeMap::new();
    let mut playing = playbook::start(task, run).await?;
    let mut ended = None;
    while let Some(event) = playing.next().await {
        match event {
            Event::HostResult(result) => {
                if let Some(outcome) = result.outcome() {
                    let result_of_host = match outcome.outcome {
                        HostOutcomeKind::Succeeded => Ok(()),
                        _ => Err(outcome.reason.unwrap_or_else(|| "it failed without a reason".to_owned())),
                    };
                    results.insert(result.host, result_of_host);
                }
            }
            Event::Ended(how) => ended = Some(how),
            _ => {}
        }
    }
    for host in hosts {
        results.entry(host.clone()).or_insert_with(|| Err(how_it_ended(ended.as_ref())));
    }
    Ok(results)
}

pub(super) async fn settle(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let plan = plan_of(task)?;
    let run = run_over(task, Playbook::SettleHost, hosts, host_timeout(plan), |_, target, variables| {
        variables.set("pm_updates", updates(target));
    })?;
    // Settling is what a stop asks for: it is not stopped itself.
    let results = play_outcomes(&undisturbed(task), run, hosts).await?;
    let text = format!(
        "settled {} of {} interrupted hosts",
        results.values().filter(|r| r.is_ok()).count(),
        hosts.len()
    );
    Ok((Answer::Settled(results), Evidence::logged(text)))
}

/// The planned packages of a target: name to version.
pub(super) fn updates(target: &Target) -> serde_json::Map<String, serde_json::Value> {
    target.updates.iter().map(|update| (update.package.clone(), update.to.clone().into())).collect()
}

/// The same task deaf to orders: work that brings hosts to a safe state is finished.
pub(super) fn undisturbed<'a>(task: &Task<'a>) -> Task<'a> {
    Task { orders: watch::channel(Order::GoOn).1, ..*task }
}
