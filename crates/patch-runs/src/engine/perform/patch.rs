//! EXECUTE: one playbook takes a batch of hosts through their workflow.

use std::collections::{BTreeMap, BTreeSet};

use ansible::{
    Event as PlaybookEvent, HostOutcome, HostOutcomeKind, HostResult as TaskResult, HostStatus, Playbook,
};
use api_types::patch::{ChangedPackage, HostStepState};
use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Plan, Target},
    run::{Answer, Event, HostResult, HostState},
    workflow::WorkflowStep,
};
use serde_json::json;
use service_kit::{ApiError, ApiResult, problem_types};

use super::{
    hosts::{load_keys, playbook_timeout, run_over, targets_of, updates},
    reboots,
    step_tracker::StepTracker,
};
use crate::engine::Task;
use crate::{
    app::transition::{self, Evidence, TransitionError},
    engine::{
        RETRY_AFTER,
        playbook::{self, end_reason},
    },
    store::{
        host_steps::StepRecord,
        run_records::{self, HostFacts},
    },
};

pub(super) async fn patch(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let plan = task.plan()?;
    let unfinished: BTreeSet<CiId> = hosts
        .iter()
        .filter(|host| task.loaded.row.machine.hosts.get(*host).is_some_and(|run| run.state.is_working()))
        .cloned()
        .collect();
    let (keys, unfinished, unreachable) = load_keys(task, &unfinished).await?;
    for (host, reason) in unreachable {
        fail_untouched(task, host, reason).await?;
    }
    if unfinished.is_empty() {
        return Ok((Answer::Patched { unfinished: BTreeMap::new() }, Evidence::default()));
    }
    let reboot_of = reboots::choose(task, &unfinished).await?;
    let boot_ids = {
        let mut conn = task.app.pool.acquire().await?;
        run_records::list_boot_ids(&mut conn, task.loaded.row.id).await?
    };
    let run = run_over(
        task,
        playbook_for(plan, &unfinished),
        &unfinished,
        &keys,
        playbook_timeout(task.app, plan, unfinished.len()),
        |id, target, variables| {
            variables.set("pm_updates", updates(target));
            variables.set("pm_reboot", json!(reboot_of.get(id).copied().unwrap_or(plan.reboot)));
            if let Some(boot_id) = boot_ids.get(id) {
                variables.set("pm_boot_id_before", boot_id.as_str());
            }
            let workflow = &plan.workflow;
            variables.set("pm_pre_downtime_commands", workflow.pre_downtime_commands.clone());
            variables.set("pm_pre_update_commands", workflow.pre_update_commands.clone());
            variables.set("pm_post_update_commands", workflow.post_update_commands.clone());
        },
    )?;
    let machine = &task.loaded.row.machine;
    let attempts = machine.hosts.iter().map(|(host, run)| (host.clone(), run.attempts)).collect();
    let mut steps = StepTracker::new(attempts);
    let mut playing = playbook::start(task, run).await?;
    let mut seen: BTreeMap<CiId, HostState> = BTreeMap::new();
    let mut ended = None;
    while let Some(event) = playing.next().await {
        match event {
            PlaybookEvent::HostStarted { host, step, .. } if unfinished.contains(&host) => {
                let evidence = Evidence { steps: steps.task_started(&host, step), ..Evidence::default() };
                let state = step.map(WorkflowStep::host_state);
                match state.filter(|state| seen.get(&host) != Some(state)) {
                    Some(state) => {
                        seen.insert(host.clone(), state);
                        let event = Event::HostProgressed { step: task.pending.step, host, state };
                        report_event(task, event, evidence).await?;
                    }
                    None => store(task, evidence).await?,
                }
            }
            PlaybookEvent::HostResult(result) if unfinished.contains(&result.host) => {
                record_task_result(task, &mut steps, result).await?
            }
            PlaybookEvent::Ended(how) => ended = Some(how),
            _ => {}
        }
    }
    let result = if playing.is_stopping() {
        HostResult::Interrupted
    } else {
        HostResult::Failed { reason: end_reason(ended.as_ref()), step: None }
    };
    let rest = unfinished.into_iter().map(|host| (host, result.clone()));
    Ok((Answer::Patched { unfinished: rest.collect() }, Evidence::default()))
}

/// Fails a host that was not changed, because it cannot be reached.
async fn fail_untouched(task: &Task<'_>, host: CiId, reason: String) -> ApiResult<()> {
    let attempt = task.loaded.row.machine.hosts.get(&host).map_or(1, |run| run.attempts);
    let (step, detail) = (WorkflowStep::Precheck, Some(reason.clone()));
    let record =
        StepRecord { host: host.clone(), attempt, step, state: HostStepState::Failed, tries: 1, detail };
    let evidence = Evidence {
        steps: vec![record],
        log: vec![(Some(host.clone()), format!("not changed: {reason}"))],
        ..Evidence::default()
    };
    let result = HostResult::Failed { reason: format!("not changed: {reason}"), step: Some(step) };
    report_event(task, Event::HostFinished { step: task.pending.step, host, result }, evidence).await
}

/// Records the result of one task on one host. An outcome of the whole host is stored at once, not at the end of the batch.
async fn record_task_result(task: &Task<'_>, steps: &mut StepTracker, result: TaskResult) -> ApiResult<()> {
    let mut evidence =
        Evidence { steps: steps.task_ended(&result).into_iter().collect(), ..Evidence::default() };
    if result.step == Some(WorkflowStep::Precheck)
        && let Some(boot_id) =
            result.data.as_ref().and_then(|data| data.get("pm_boot_id")).and_then(|id| id.as_str())
    {
        evidence.boot_ids.push((result.host.clone(), boot_id.to_owned()));
    }
    let Some(outcome) = result.outcome() else {
        if matches!(result.status, HostStatus::Failed) && result.item.is_none() {
            let text = format!("{}: {}", result.task, result.message.as_deref().unwrap_or("failed"));
            evidence.log.push((Some(result.host.clone()), text));
        }
        return store(task, evidence).await;
    };
    evidence.steps.extend(steps.close(&result.host));
    let failed_step = steps.current_step(&result.host);
    let (result_of_host, text) = host_result(&outcome, failed_step);
    evidence.log.push((Some(result.host.clone()), text));
    evidence.host_facts.push((result.host.clone(), facts_of(&outcome)));
    report_event(
        task,
        Event::HostFinished { step: task.pending.step, host: result.host, result: result_of_host },
        evidence,
    )
    .await
}

fn host_result(outcome: &HostOutcome, failed_step: Option<WorkflowStep>) -> (HostResult, String) {
    let reason = outcome.reason.clone().unwrap_or_else(|| "no reason was given".to_owned());
    match outcome.outcome {
        HostOutcomeKind::Succeeded => {
            let rebooted = if outcome.rebooted { ", rebooted" } else { "" };
            (
                HostResult::Succeeded,
                match outcome.changed.len() {
                    1 => format!("1 package changed{rebooted}, healthy"),
                    count => format!("{count} packages changed{rebooted}, healthy"),
                },
            )
        }
        HostOutcomeKind::Failed => {
            let reason = match failed_step {
                Some(step) => format!("{}: {reason}", step.name()),
                None => reason,
            };
            (HostResult::Failed { reason: reason.clone(), step: failed_step }, format!("failed: {reason}"))
        }
        HostOutcomeKind::Unreachable => {
            (HostResult::Unreachable { reason: reason.clone() }, format!("unreachable: {reason}"))
        }
        HostOutcomeKind::Stopped => {
            let step = failed_step.map_or("its first step", WorkflowStep::name);
            (HostResult::Interrupted, format!("stopped before {step}"))
        }
    }
}

fn facts_of(outcome: &HostOutcome) -> HostFacts {
    let changed = outcome.changed.iter();
    HostFacts {
        changed: changed
            .map(|c| ChangedPackage { package: c.package.clone(), from: c.from.clone(), to: c.to.clone() })
            .collect(),
        rebooted: outcome.rebooted,
    }
}

/// Stores evidence without an event.
async fn store(task: &Task<'_>, evidence: Evidence) -> ApiResult<()> {
    if evidence.boot_ids.is_empty() && evidence.log.is_empty() && evidence.steps.is_empty() {
        return Ok(());
    }
    transition::store_as_owner(task.app, task.lease, &evidence).await
}

/// Applies an event to the run. While the database is unavailable it retries, and the playbook's events wait.
pub async fn report_event(task: &Task<'_>, event: Event, evidence: Evidence) -> ApiResult<()> {
    loop {
        match transition::apply_as_owner(task.app, task.lease, event.clone(), evidence.clone()).await {
            Ok(_) | Err(TransitionError::Refused(_)) => return Ok(()),
            Err(TransitionError::Lost) => {
                return Err(ApiError::new(problem_types::LOST, "another process owns the run"));
            }
            Err(TransitionError::Failed(error)) if task.lease.is_alive() => {
                tracing::warn!(run.id = %task.loaded.row.id, "cannot store an event yet: {error}");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(TransitionError::Failed(error)) => return Err(error),
        }
    }
}

/// One playbook for the whole batch: the mixed one only if the batch has both families.
fn playbook_for(plan: &Plan, hosts: &BTreeSet<CiId>) -> Playbook {
    let families: BTreeSet<Packaging> =
        targets_of(plan, hosts).map(|(_, target): (_, &Target)| target.packaging).collect();
    match (families.contains(&Packaging::Rpm), families.contains(&Packaging::Dpkg)) {
        (true, false) => Playbook::PatchRhel,
        (false, true) => Playbook::PatchUbuntu,
        _ => Playbook::PatchMixed,
    }
}
