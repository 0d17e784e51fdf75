//! EXECUTE: one playbook takes a batch of hosts through their workflow.

use std::collections::{BTreeMap, BTreeSet};

use ansible::{
    Event as PlaybookEvent, HostOutcome, HostOutcomeKind, HostResult as TaskResult, HostStatus,
    PackageChange, Playbook,
};
use api_types::patch::{ChangedPackage, HostStepState};
use domain::{
    bootstrap::python_command,
    ids::CiId,
    package::{OmitCause, OmittedUpdate, Packaging},
    pin,
    plan::{Plan, Target},
    restart::StaleServices,
    run::{Answer, Event, HostResult, HostState},
    workflow::WorkflowStep,
};
use serde_json::json;
use service_kit::ApiResult;

use super::{
    hosts::{load_keys, playbook_timeout, run_over, targets_of},
    plan::refused_update,
    reboots,
    step_tracker::StepTracker,
};
use crate::engine::Task;
use crate::{
    app::transition::{Evidence, Report},
    engine::playbook::{self, end_reason},
    store::{
        host_steps::StepRecord,
        run_diffs,
        run_records::{self, HostFacts},
    },
};

pub(super) async fn patch(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<(Answer, Evidence)> {
    let plan = task.plan()?;
    if let Some(reason) = refused_update(task.app, &plan.workflow) {
        return Ok((Answer::CouldNot { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let unfinished: BTreeSet<CiId> = hosts
        .iter()
        .filter(|host| task.loaded.row.machine.hosts.get(*host).is_some_and(|run| run.state.is_working()))
        .cloned()
        .collect();
    let (keys, unfinished, unreachable) = load_keys(task, &unfinished).await?;
    for (host, reason) in unreachable {
        fail_untouched(task, host, reason).await?;
    }
    let (unfinished, untested) = leave_out_failed_tests(task, plan, unfinished).await?;
    if unfinished.is_empty() {
        return Ok((Answer::Patched { unfinished: BTreeMap::new() }, Evidence::default()));
    }
    let reboot_of = reboots::choose(task, &unfinished).await?;
    let (boot_ids, drift) = {
        let mut conn = task.app.pool.acquire().await?;
        let boot_ids = run_records::list_boot_ids(&mut conn, task.loaded.row.id).await?;
        (boot_ids, run_diffs::find_run_diff(&mut conn, task.loaded.row.id).await?)
    };
    let run = run_over(
        task,
        playbook_for(plan, &unfinished),
        &unfinished,
        &keys,
        playbook_timeout(task.app, plan, unfinished.len()),
        |id, target, variables| {
            let mut versions = target.versions();
            if let Some((drift, _)) = &drift {
                versions.extend(drift.accepted_versions(id));
            }
            let is_left_out =
                |package: &str| untested.get(id).is_some_and(|left_out| left_out.contains(package));
            versions.retain(|package, _| !is_left_out(package));
            variables.set("pm_updates", json!(versions));
            if !plan.pin.is_none() {
                variables.set("pm_pinned", json!(target.pinned_versions()));
            }
            if target.bootstrap_python {
                variables.set("pm_bootstrap_command", python_command(target.packaging, &target.os));
            }
            variables.set("pm_removals", json!(target.transaction.removed_names()));
            variables.set("pm_reboot", json!(reboot_of.get(id).copied().unwrap_or(plan.reboot)));
            if let Some(boot_id) = boot_ids.get(id) {
                variables.set("pm_boot_id_before", boot_id.as_str());
            }
            let workflow = &plan.workflow;
            variables.set("pm_pre_downtime_commands", workflow.pre_downtime_commands.clone());
            variables.set("pm_pre_update_commands", workflow.pre_update_commands.clone());
            variables.set("pm_post_update_commands", workflow.post_update_commands.clone());
            variables.set("pm_update_commands", workflow.update_commands.clone());
        },
    )
    .await?;
    let machine = &task.loaded.row.machine;
    let attempts = machine.hosts.iter().map(|(host, run)| (host.clone(), run.attempts)).collect();
    let mut reporter = Reporter {
        step: task.pending.step,
        hosts: &unfinished,
        steps: StepTracker::new(attempts),
        seen: BTreeMap::new(),
    };
    let mut playing = playbook::start(task, run).await?;
    let mut ended = None;
    loop {
        let events = playing.next_events().await;
        if events.is_empty() {
            break;
        }
        let mut reports = Vec::new();
        for event in events {
            match event {
                PlaybookEvent::Ended(how) => ended = Some(how),
                event => reports.extend(reporter.report(event)),
            }
        }
        task.report(reports).await?;
    }
    let result = if playing.is_stopping() {
        HostResult::Interrupted
    } else {
        HostResult::Failed { reason: end_reason(ended.as_ref()), step: None }
    };
    let rest = unfinished.into_iter().map(|host| (host, result.clone()));
    Ok((Answer::Patched { unfinished: rest.collect() }, Evidence::default()))
}

/// Leaves out what failed hosts of a pinning plan were to test. Returns the hosts on which something is left to do, and what each
/// of them leaves out.
async fn leave_out_failed_tests(
    task: &Task<'_>,
    plan: &Plan,
    mut hosts: BTreeSet<CiId>,
) -> ApiResult<(BTreeSet<CiId>, BTreeMap<CiId, BTreeSet<String>>)> {
    let states = &task.loaded.row.machine.hosts;
    let has_passed = |id: &CiId| states.get(id).is_some_and(|host| host.state == HostState::Succeeded);
    let failed = |id: &CiId| (id.clone(), pin::test_has_failed(plan, id, has_passed));
    let untested: BTreeMap<CiId, BTreeSet<String>> =
        hosts.iter().map(failed).filter(|(_, packages)| !packages.is_empty()).collect();
    for (id, packages) in &untested {
        let left_out: Vec<OmittedUpdate> =
            packages.iter().map(|package| OmittedUpdate::new(package, OmitCause::NotTested)).collect();
        let text = format!("left out, because no pilot has passed with it: `{}`", named(packages));
        let facts = HostFacts { left_out, ..HostFacts::default() };
        let evidence = Evidence {
            host_facts: vec![(id.clone(), facts)],
            log: vec![(Some(id.clone()), text)],
            ..Evidence::default()
        };
        task.report(vec![Report { event: None, evidence }]).await?;
        if plan.targets.get(id).is_some_and(|target| target.updates.len() == packages.len()) {
            fail_untouched(task, id.clone(), "no pilot has passed with any of its updates".to_owned())
                .await?;
            hosts.remove(id);
        }
    }
    Ok((hosts, untested))
}

fn named(packages: &BTreeSet<String>) -> String {
    packages.iter().map(String::as_str).collect::<Vec<_>>().join("`, `")
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
    task.report_event(Event::HostFinished { step: task.pending.step, host, result }, evidence).await
}

/// Makes reports to the run of the events of a playbook.
struct Reporter<'a> {
    /// The number of the action.
    step: u64,
    hosts: &'a BTreeSet<CiId>,
    steps: StepTracker,
    /// The last state of each host that was reported.
    seen: BTreeMap<CiId, HostState>,
}

impl Reporter<'_> {
    /// What an event means for the run; `None` if it means nothing.
    fn report(&mut self, event: PlaybookEvent) -> Option<Report> {
        let report = match event {
            PlaybookEvent::HostStarted { host, step, .. } if self.hosts.contains(&host) => {
                self.task_started(host, step)
            }
            PlaybookEvent::HostResult(result) if self.hosts.contains(&result.host) => self.task_ended(result),
            _ => return None,
        };
        let Evidence { steps, boot_ids, log, .. } = &report.evidence;
        let says_nothing =
            report.event.is_none() && steps.is_empty() && boot_ids.is_empty() && log.is_empty();
        (!says_nothing).then_some(report)
    }

    fn task_started(&mut self, host: CiId, step: Option<WorkflowStep>) -> Report {
        let evidence = Evidence { steps: self.steps.task_started(&host, step), ..Evidence::default() };
        let reached = step.map(WorkflowStep::host_state).filter(|state| self.seen.get(&host) != Some(state));
        let event = reached.map(|state| {
            self.seen.insert(host.clone(), state);
            Event::HostProgressed { step: self.step, host, state }
        });
        Report { event, evidence }
    }

    fn task_ended(&mut self, result: TaskResult) -> Report {
        let steps = self.steps.task_ended(&result).into_iter().collect();
        let mut evidence = Evidence { steps, ..Evidence::default() };
        let boot_id = || result.data.as_ref()?.get("pm_boot_id")?.as_str();
        if let (Some(WorkflowStep::Precheck), Some(boot_id)) = (result.step, boot_id()) {
            evidence.boot_ids.push((result.host.clone(), boot_id.to_owned()));
        }
        let Some(outcome) = result.outcome() else {
            if matches!(result.status, HostStatus::Failed) && result.item.is_none() {
                let text = format!("{}: {}", result.task, result.message.as_deref().unwrap_or("failed"));
                evidence.log.push((Some(result.host), text));
            }
            return Report { event: None, evidence };
        };
        evidence.steps.extend(self.steps.close(&result.host));
        let (result_of_host, text) = host_result(&outcome, self.steps.current_step(&result.host));
        evidence.log.push((Some(result.host.clone()), text));
        evidence.host_facts.push((result.host.clone(), facts_of(&outcome)));
        let event = Event::HostFinished { step: self.step, host: result.host, result: result_of_host };
        Report { event: Some(event), evidence }
    }
}

fn host_result(outcome: &HostOutcome, failed_step: Option<WorkflowStep>) -> (HostResult, String) {
    let reason = outcome.reason.clone().unwrap_or_else(|| "no reason was given".to_owned());
    match outcome.outcome {
        HostOutcomeKind::Succeeded => {
            let rebooted = if outcome.rebooted { ", rebooted" } else { "" };
            let pending = outcome.stale_services.as_ref().and_then(StaleServices::pending_text);
            // A host whose services run replaced code does not have what was installed.
            let state = pending.unwrap_or_else(|| "healthy".to_owned());
            let mut text = format!("{}{rebooted}, {state}", changed_text(&outcome.changed));
            for newer in left_out_of(outcome) {
                text.push_str(&format!("; left out: `{}` ({})", newer.package, newer.explanation()));
            }
            for warning in &outcome.warnings {
                text.push_str("; warning: ");
                text.push_str(warning);
            }
            (HostResult::Succeeded, text)
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

/// How many packages changed, and how many of them are new or gone.
fn changed_text(changed: &[PackageChange]) -> String {
    let installed = changed.iter().filter(|change| change.from.is_none()).count();
    let removed = changed.iter().filter(|change| change.to.is_none()).count();
    let mut text = match changed.len() {
        1 => "1 package changed".to_owned(),
        count => format!("{count} packages changed"),
    };
    let parts = [(installed, "newly installed"), (removed, "removed")];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    if !parts.is_empty() {
        text = format!("{text} ({})", parts.join(", "));
    }
    text
}

fn facts_of(outcome: &HostOutcome) -> HostFacts {
    let changed = outcome.changed.iter();
    HostFacts {
        changed: changed
            .map(|c| ChangedPackage { package: c.package.clone(), from: c.from.clone(), to: c.to.clone() })
            .collect(),
        rebooted: outcome.rebooted,
        stale_services: outcome.stale_services.clone(),
        left_out: left_out_of(outcome).collect(),
    }
}

fn left_out_of(outcome: &HostOutcome) -> impl Iterator<Item = OmittedUpdate> {
    outcome.newer.iter().map(|one| OmittedUpdate::newer_than_tested(&one.package, &one.version))
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
