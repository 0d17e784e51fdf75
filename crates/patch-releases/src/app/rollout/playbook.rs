//! Customers that are deployed to by a playbook, which runs the vendor's own program on their hosts: one playbook for all of
//! them at once.
//!
//! A host knows a deployment by its id and does it once. Whatever is lost on the way, be it a connection or this process,
//! the playbook is played again and is told how it went.

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
    deploy::{Begun, End, Way, begin, finish, keep_previous},
    deployment,
};
use patch_runs::{
    app::{
        keys::{self, Keys},
        playbooks::connection_to,
    },
    engine::playbook::{self, MARGIN, end_reason, playbook_run},
};

/// Between two times at which hosts that were not reached are tried.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A playbook that says nothing so often will not say anything.
const MOST_TRIES: u32 = 20;

/// Brings customers where they go; each end is recorded and told as soon as it has come.
pub(super) async fn bring(task: &Task<'_>, ids: Vec<&CiId>, way: Way) -> ApiResult<BTreeMap<CiId, End>> {
    let mut ends = BTreeMap::new();
    let mut open: BTreeMap<CiId, Begun<'_>> = BTreeMap::new();
    for id in ids {
        let begun = begin(task, id, way).await?;
        match begun.end.clone() {
            Some(end) => end_of(task, &begun, end, &mut ends).await?,
            None => drop(open.insert(id.clone(), begun)),
        }
    }
    for tries in 1.. {
        let mut reasons = play(task, &mut open, &mut ends).await?;
        let seconds = deployment(task)?.deployment_timeout_seconds;
        let limit = TimeDelta::seconds(i64::from(seconds));
        let now = task.app.clock.now();
        let too_late: Vec<CiId> = open
            .iter()
            .filter(|(_, begun)| tries >= MOST_TRIES || begun.known.requested_at + limit <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in too_late {
            let last = reasons.remove(&id).unwrap_or_default();
            if let Some(begun) = open.remove(&id) {
                let end = End::Unknown(format!("no outcome within {seconds} s; {last}"));
                end_of(task, &begun, end, &mut ends).await?;
            }
        }
        if open.is_empty() {
            break;
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    Ok(ends)
}

async fn end_of(
    task: &Task<'_>,
    begun: &Begun<'_>,
    end: End,
    ends: &mut BTreeMap<CiId, End>,
) -> ApiResult<()> {
    finish(task, begun, &end).await?;
    ends.insert(begun.known.customer.clone(), end);
    Ok(())
}

/// Plays the playbook once over those that are open, and gives why some of them still are.
async fn play(
    task: &Task<'_>,
    open: &mut BTreeMap<CiId, Begun<'_>>,
    ends: &mut BTreeMap<CiId, End>,
) -> ApiResult<BTreeMap<CiId, String>> {
    let targets: BTreeMap<CiId, Target> =
        open.iter().filter_map(|(id, begun)| Some((id.clone(), host(&begun.target.deployer)?))).collect();
    let keys =
        Keys::load(&task.app.runs, Some(&task.loaded.row), keys::ssh_hosts(&task.app.runs, &targets)).await;
    let mut reachable = BTreeMap::new();
    for (id, target) in &targets {
        match connection_to(&task.app.runs, id, target, &keys) {
            Ok(_) => drop(reachable.insert(id, target)),
            // Nothing was begun on it, and asking again changes nothing.
            Err(error) => {
                if let Some(begun) = open.remove(id) {
                    let end = End::Failed(format!("its host cannot be entered: {error}"));
                    end_of(task, &begun, end, ends).await?;
                }
            }
        }
    }
    let mut reasons = BTreeMap::new();
    if reachable.is_empty() {
        return Ok(reasons);
    }
    let run = run_over(task, reachable, &keys, open)?;
    // A deployment that has begun goes on whatever the run wants meanwhile.
    let mut playing = match playbook::start(&task.without_stop(), run).await {
        Ok(playing) => playing,
        Err(error) => return Ok(open.keys().map(|id| (id.clone(), error.to_string())).collect()),
    };
    let mut ended = None;
    while let Some(event) = playing.next().await {
        match event {
            Event::HostResult(result) => match end_said(&result) {
                Some(Ok(end)) => {
                    let Some(begun) = open.remove(&result.host) else { continue };
                    let previous = result.previous_release().and_then(|version| version.parse().ok());
                    keep_previous(task, &begun.known, previous).await?;
                    end_of(task, &begun, end, ends).await?;
                }
                Some(Err(reason)) => drop(reasons.insert(result.host, reason)),
                // Something went wrong before the host could say anything about the deployment.
                None if result.status == HostStatus::Failed => {
                    drop(reasons.insert(result.host, result.message.unwrap_or_default()));
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

/// How it ended, or why that is not known yet.
fn end_said(result: &HostResult) -> Option<Result<End, String>> {
    let outcome = result.outcome()?;
    let reason = outcome.reason.unwrap_or_else(|| "it failed without a reason".to_owned());
    Some(match outcome.outcome {
        HostOutcomeKind::Succeeded => Ok(End::Done),
        HostOutcomeKind::Failed => Ok(End::Failed(reason)),
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
    })
}

fn run_over<'a>(
    task: &Task<'_>,
    targets: impl IntoIterator<Item = (&'a CiId, &'a Target)>,
    keys: &Keys,
    open: &BTreeMap<CiId, Begun<'_>>,
) -> ApiResult<PlaybookRun> {
    let plan = deployment(task)?;
    let variables = |id: &CiId, _: &Target| {
        let mut own = Variables::new();
        let Some(Begun { known, .. }) = open.get(id) else { return own };
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
