//! Playbooks over hosts of a plan, and the recovery of interrupted hosts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ansible::{Event, HostOutcomeKind, Playbook, PlaybookRun, Variables};
use domain::{
    ids::CiId,
    plan::{Plan, Target},
    run::Answer,
    workflow::{Command, Drain, HostWorkflow, WorkflowStep},
};
use serde_json::{Value, json};
use service_kit::{
    ApiError, ApiResult,
    outbound::{HOST, Target as Outbound, Unresolved},
    problem_types,
};

use crate::engine::Task;
use crate::{
    App,
    app::{
        keys::{self, Keys},
        playbooks::{connection_to, names_of},
        transition::Evidence,
    },
    engine::playbook::{self, MARGIN, end_reason, playbook_run},
};

/// The targets among `hosts`.
pub(super) fn targets_of<'a>(
    plan: &'a Plan,
    hosts: &'a BTreeSet<CiId>,
) -> impl Iterator<Item = (&'a CiId, &'a Target)> {
    plan.targets.iter().filter(|(id, _)| hosts.contains(*id))
}

/// A playbook run over hosts of the plan, with the variables that every playbook of a run gets.
pub(super) async fn run_over(
    task: &Task<'_>,
    playbook: Playbook,
    hosts: &BTreeSet<CiId>,
    keys: &Keys,
    timeout: Duration,
    variables: impl Fn(&CiId, &Target, &mut Variables),
) -> ApiResult<PlaybookRun> {
    let plan = task.plan()?;
    let run = &task.loaded.row;
    let drain_addresses = drain_addresses(task.app, &plan.workflow).await?;
    let own = |id: &CiId, target: &Target| {
        let mut own = Variables::new();
        let attempt = run.machine.hosts.get(id).map_or(1, |host| host.attempts.max(1));
        own.set("pm_run_id", run.id.to_string());
        own.set("pm_attempt", attempt);
        own.set("pm_drain", drain_of(&plan.workflow, id, &drain_addresses));
        own.set("pm_maintenance_hooks", hooks_of(task.app, &plan.workflow, id));
        variables(id, target, &mut own);
        own
    };
    let run_dir = playbook::run_dir(task.app, run.id, task.pending.step);
    let mut playbook_run =
        playbook_run(task.app, playbook, targets_of(plan, hosts), keys, own, run_dir, timeout)?;
    let workflow = &plan.workflow;
    let extra = &mut playbook_run.extra_vars;
    extra.set("pm_epoch", task.owned.lease.epoch().0);
    extra.set("pm_min_disk_free_percent", workflow.min_disk_free_percent);
    extra.set("pm_restart_services", json!(workflow.restart_services));
    extra.set("pm_restart_service_names", names_of(&workflow.restart_service_names)?);
    extra.set("pm_drain_timeout_seconds", workflow.drain_timeout_seconds);
    extra.set("pm_health_timeout_seconds", workflow.health_timeout_seconds);
    extra.set("pm_health_stable_seconds", workflow.health_stable_seconds);
    extra.set("pm_patch_timeout_seconds", workflow.rule(WorkflowStep::Update, plan.rollback).timeout_seconds);
    extra
        .set("pm_reboot_timeout_seconds", workflow.rule(WorkflowStep::Reboot, plan.rollback).timeout_seconds);
    let rules = WorkflowStep::ALL.map(|step| (step.name(), workflow.rule(step, plan.rollback)));
    extra.set("pm_steps", serde_json::to_value(BTreeMap::from(rules))?);
    Ok(playbook_run)
}

/// How to check that this host is drained.
fn drain_of(workflow: &HostWorkflow, host: &CiId, addresses: &[IpAddr]) -> Value {
    match &workflow.drain {
        None => Value::Null,
        Some(Drain::Command(command)) => json!({ "command": for_host(command, host) }),
        Some(Drain::Url(url)) => json!({ "url": url.replace(HOST, host.as_str()), "addresses": addresses }),
    }
}

/// The addresses to which the drain check connects: those that are checked now, so that its name cannot lead elsewhere later.
/// Empty without such a check, and if it goes to each host itself.
async fn drain_addresses(app: &App, workflow: &HostWorkflow) -> ApiResult<Vec<IpAddr>> {
    let Some(Drain::Url(url)) = &workflow.drain else { return Ok(Vec::new()) };
    let outbound = &app.compliance.outbound;
    let refused = |why: String| ApiError::new(problem_types::OUTBOUND_REFUSED, format!("drain check: {why}"));
    match outbound.check_for_hosts(url).map_err(|refusal| refused(refusal.to_string()))? {
        Outbound::EachHost => Ok(Vec::new()),
        Outbound::Receiver => match outbound.resolve(&url.replace(HOST, "host")).await {
            Ok(receiver) => Ok(receiver.addresses.iter().map(SocketAddr::ip).collect()),
            Err(Unresolved::Never(why)) => Err(refused(why)),
            Err(Unresolved::Later(why)) => {
                Err(ApiError::new(problem_types::DEPENDENCY_UNAVAILABLE, format!("drain check: {why}")))
            }
        },
    }
}

/// The programs that notify monitoring, in the platform's own folder: operators give a name, never a path.
fn hooks_of(app: &App, workflow: &HostWorkflow, host: &CiId) -> Value {
    let folder = app.compliance.settings.hooks_dir.clone().unwrap_or_default();
    let hooks = |commands: &[Command]| -> Vec<Command> {
        let placed = |command: &Command| {
            let mut words = for_host(command, host);
            if let Some(program) = words.first_mut() {
                *program = folder.join(&*program).to_string_lossy().into_owned();
            }
            words
        };
        commands.iter().map(placed).collect()
    };
    json!({ "on": hooks(&workflow.maintenance_hooks.on), "off": hooks(&workflow.maintenance_hooks.off) })
}

fn for_host(command: &Command, host: &CiId) -> Command {
    command.iter().map(|word| word.replace(HOST, host.as_str())).collect()
}

/// The keys of these hosts, the hosts that can be reached, and why the others cannot.
pub(super) async fn load_keys(
    task: &Task<'_>,
    hosts: &BTreeSet<CiId>,
) -> ApiResult<(Keys, BTreeSet<CiId>, BTreeMap<CiId, String>)> {
    let plan = task.plan()?;
    let entered = keys::ssh_hosts(task.app, targets_of(plan, hosts));
    let keys = Keys::load(task.app, Some(&task.loaded.row), entered).await;
    let (mut reachable, mut unreachable) = (BTreeSet::new(), BTreeMap::new());
    for (id, target) in targets_of(plan, hosts) {
        match connection_to(task.app, id, target, &keys) {
            Ok(_) => drop(reachable.insert(id.clone())),
            Err(error) => drop(unreachable.insert(id.clone(), error.to_string())),
        }
    }
    Ok((keys, reachable, unreachable))
}

/// Time limit of a playbook over so many hosts. Those that wait for a place have their whole time when they get one.
pub(super) fn playbook_timeout(app: &App, plan: &Plan, hosts: usize) -> Duration {
    let rounds = hosts.div_ceil(usize::from(app.settings.forks.max(1))).max(1);
    let of_host = Duration::from_secs(u64::from(plan.workflow.host_timeout_seconds));
    of_host * u32::try_from(rounds).unwrap_or(u32::MAX) + MARGIN
}

/// Runs a playbook with one outcome per host, on the hosts that can be reached.
pub(super) async fn play_outcomes(
    task: &Task<'_>,
    playbook: Playbook,
    hosts: &BTreeSet<CiId>,
    variables: impl Fn(&CiId, &Target, &mut Variables),
) -> ApiResult<BTreeMap<CiId, Result<(), String>>> {
    let (keys, reachable, unreachable) = load_keys(task, hosts).await?;
    let mut results: BTreeMap<CiId, Result<(), String>> =
        unreachable.into_iter().map(|(host, reason)| (host, Err(reason))).collect();
    if reachable.is_empty() {
        return Ok(results);
    }
    let timeout = playbook_timeout(task.app, task.plan()?, reachable.len());
    let run = run_over(task, playbook, &reachable, &keys, timeout, variables).await?;
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
        results.entry(host.clone()).or_insert_with(|| Err(end_reason(ended.as_ref())));
    }
    Ok(results)
}

pub(super) async fn recover(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    // A stop requires this recovery, so it must not be stopped itself.
    let results =
        play_outcomes(&task.without_stop(), Playbook::RecoverHost, hosts, |_, target, variables| {
            variables.set("pm_updates", json!(target.versions()));
        })
        .await?;
    let text = format!(
        "recovered {} of {} interrupted hosts",
        results.values().filter(|r| r.is_ok()).count(),
        hosts.len()
    );
    Ok((Answer::Recovered(results), Evidence::logged(text)))
}
