//! Deploys to customers with a playbook, which runs the vendor's own program on their hosts: one playbook run for all of them.
//!
//! A host performs a deployment id once. If the connection or this process is lost, the playbook runs again and reads
//! the result.

use std::{collections::BTreeMap, time::Duration};

use ansible::{Event, HostOutcomeKind, HostResult, HostStatus, Playbook, PlaybookRun, Variables};
use chrono::TimeDelta;
use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Target},
    release::{Deployer, Direction},
    selector::Tags,
    workflow::RollbackMode,
};
use service_kit::ApiResult;

use super::{
    Task,
    deploy::{DeploymentResult, Goal, RecordedDeployment, begin, finish, keep_previous},
    deployment,
};
use patch_runs::{
    app::{
        keys::{self, Keys},
        playbooks::connection_to,
    },
    engine::playbook::{self, MARGIN, end_reason, playbook_run},
};

/// Between two attempts to reach hosts.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// After so many playbook runs without a result, the result is unknown.
const MAX_ATTEMPTS: u32 = 20;

/// Each result is recorded and reported as soon as it is known.
pub(super) async fn deploy_all(
    task: &Task<'_>,
    ids: Vec<&CiId>,
    goal: Goal,
) -> ApiResult<BTreeMap<CiId, DeploymentResult>> {
    let mut results = BTreeMap::new();
    let mut open: BTreeMap<CiId, RecordedDeployment<'_>> = BTreeMap::new();
    for id in ids {
        let recorded = begin(task, id, goal).await?;
        match recorded.result.clone() {
            Some(result) => finish_one(task, &recorded, result, &mut results).await?,
            None => drop(open.insert(id.clone(), recorded)),
        }
    }
    for attempt in 1.. {
        let mut reasons = play(task, &mut open, &mut results).await?;
        let seconds = deployment(task)?.deployment_timeout_seconds;
        let limit = TimeDelta::seconds(i64::from(seconds));
        let now = task.app.clock.now();
        let too_late: Vec<CiId> = open
            .iter()
            .filter(|(_, recorded)| attempt >= MAX_ATTEMPTS || recorded.known.requested_at + limit <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in too_late {
            let last = reasons.remove(&id).unwrap_or_default();
            if let Some(recorded) = open.remove(&id) {
                let result = DeploymentResult::Unknown(format!("no result within {seconds} s; {last}"));
                finish_one(task, &recorded, result, &mut results).await?;
            }
        }
        if open.is_empty() {
            break;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    Ok(results)
}

async fn finish_one(
    task: &Task<'_>,
    recorded: &RecordedDeployment<'_>,
    result: DeploymentResult,
    results: &mut BTreeMap<CiId, DeploymentResult>,
) -> ApiResult<()> {
    finish(task, recorded, &result).await?;
    results.insert(recorded.known.customer.clone(), result);
    Ok(())
}

/// Runs the playbook once for the open deployments. Returns why some of them are still open.
async fn play(
    task: &Task<'_>,
    open: &mut BTreeMap<CiId, RecordedDeployment<'_>>,
    results: &mut BTreeMap<CiId, DeploymentResult>,
) -> ApiResult<BTreeMap<CiId, String>> {
    let targets: BTreeMap<CiId, Target> = open
        .iter()
        .filter_map(|(id, recorded)| Some((id.clone(), host(&recorded.target.deployer)?)))
        .collect();
    let keys =
        Keys::load(&task.app.runs, Some(&task.loaded.row), keys::ssh_hosts(&task.app.runs, &targets)).await;
    let mut reachable = BTreeMap::new();
    for (id, target) in &targets {
        match connection_to(&task.app.runs, id, target, &keys) {
            Ok(_) => drop(reachable.insert(id, target)),
            // Nothing was started on it, and another attempt would fail too.
            Err(error) => {
                if let Some(recorded) = open.remove(id) {
                    let result = DeploymentResult::Failed(format!("its host cannot be accessed: {error}"));
                    finish_one(task, &recorded, result, results).await?;
                }
            }
        }
    }
    let mut reasons = BTreeMap::new();
    if reachable.is_empty() {
        return Ok(reasons);
    }
    let run = run_over(task, reachable, &keys, open)?;
    // A deployment in progress continues even if the run is stopped.
    let mut playing = match playbook::start(&task.without_stop(), run).await {
        Ok(playing) => playing,
        Err(error) => return Ok(open.keys().map(|id| (id.clone(), error.to_string())).collect()),
    };
    let mut ended = None;
    while let Some(event) = playing.next().await {
        match event {
            Event::HostResult(reported) => match result_of(&reported) {
                Some(Ok(result)) => {
                    let Some(recorded) = open.remove(&reported.host) else { continue };
                    let previous = reported.previous_release().and_then(|version| version.parse().ok());
                    keep_previous(task, &recorded.known, previous).await?;
                    finish_one(task, &recorded, result, results).await?;
                }
                Some(Err(reason)) => drop(reasons.insert(reported.host, reason)),
                // It failed before the host could report about the deployment.
                None if reported.status == HostStatus::Failed => {
                    drop(reasons.insert(reported.host, reported.message.unwrap_or_default()));
                }
                None => {}
            },
            Event::Ended(how) => ended = Some(how),
            _ => {}
        }
    }
    for id in open.keys() {
        reasons.entry(id.clone()).or_insert_with(|| end_reason(ended.as_ref()));
    }
    Ok(reasons)
}

/// The result, or why it is not known yet.
fn result_of(result: &HostResult) -> Option<Result<DeploymentResult, String>> {
    let outcome = result.outcome()?;
    let reason = outcome.reason.unwrap_or_else(|| "it failed without a reason".to_owned());
    Some(match outcome.outcome {
        HostOutcomeKind::Succeeded => Ok(DeploymentResult::Succeeded),
        HostOutcomeKind::Failed => Ok(DeploymentResult::Failed(reason)),
        HostOutcomeKind::Stopped | HostOutcomeKind::Unreachable => Err(reason),
    })
}

/// The customer's host as playbooks know hosts.
fn host(deployer: &Deployer) -> Option<Target> {
    let Deployer::Playbook { address, port, user, host_key } = deployer else { return None };
    Some(Target {
        os: "linux".to_owned(),
        packaging: Packaging::Dpkg,
        tags: Tags::new(),
        services: Vec::new(),
        connection: Connection::Ssh {
            address: address.clone(),
            port: *port,
            user: user.clone(),
            host_key: host_key.clone(),
            jump: None,
            python: None,
        },
        updates: Vec::new(),
        rollback_mode: RollbackMode::None,
        omitted: Vec::new(),
        expected_seconds: 0,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        owner_email: None,
        bootstrap_python: false,
    })
}

fn run_over<'a>(
    task: &Task<'_>,
    targets: impl IntoIterator<Item = (&'a CiId, &'a Target)>,
    keys: &Keys,
    open: &BTreeMap<CiId, RecordedDeployment<'_>>,
) -> ApiResult<PlaybookRun> {
    let plan = deployment(task)?;
    let variables = |id: &CiId, _: &Target| {
        let mut own = Variables::new();
        let Some(RecordedDeployment { known, .. }) = open.get(id) else { return own };
        let (direction, artefact) = match known.direction {
            Direction::Forward => ("forward", &plan.artefact),
            Direction::RollBack => ("back", &plan.rollback_artefact),
        };
        own.set("pm_deployment_id", known.id.to_string());
        own.set("pm_release_version", known.to_version.to_string());
        own.set("pm_release_from", known.from_version.to_string());
        own.set("pm_release_direction", direction);
        own.set("pm_release_artefact", artefact.clone().unwrap_or_default());
        own.set("pm_release_timeout_seconds", plan.deployment_timeout_seconds);
        own
    };
    let run_dir = playbook::run_dir(&task.app.runs, task.loaded.row.id, task.pending.step);
    let timeout = Duration::from_secs(u64::from(plan.deployment_timeout_seconds)) + MARGIN;
    playbook_run(&task.app.runs, Playbook::DeployRelease, targets, keys, variables, run_dir, timeout)
}
