//! REPORT and ALERT: closes the change, opens an incident, and notifies recipients.

use std::collections::BTreeSet;

use api_types::access::Outcome;
use api_types::itsm::{
    ChangeState, Channel, CloseChange, CloseCode, CreateIncident, CreateNotification, Severity, limits,
};
use api_types::patch::{HostStatus, RunTrigger};
use domain::{
    ids::CiId,
    package::OmittedUpdate,
    policy::NoticeScope,
    run::{Answer, HostState, Run, Stop},
};
use service_kit::{ApiError, ApiResult, text_enum::to_text};

use super::{reboots, subjects};
use crate::engine::Task;
use crate::{
    app::{following_runs, itsm_records, left_out::left_out, transition::Evidence},
    store::run_hosts,
    upstream_error,
};

/// Updates the records of the subjects and closes the change with its evidence.
pub(super) async fn report(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let actual = subjects(task).report(task).await?;
    let closed = close_change(task).await?;
    Ok((Answer::Reported, Evidence { actual, ..Evidence::logged(closed) }))
}

async fn close_change(task: &Task<'_>) -> ApiResult<String> {
    let (row, app) = (&task.loaded.row, task.app);
    let Some(id) = &row.machine.change_id else { return Ok("no change was opened".to_owned()) };
    let machine = &row.machine;
    let change = app.itsm.get_change(id).await.map_err(upstream_error)?;
    let hosts = || machine.hosts.values();
    let bad = hosts().filter(|host| host.has_failed()).count();
    let rolled_back =
        hosts().filter(|host| host.state == HostState::RolledBack && !host.has_failed()).count();
    let good = hosts().filter(|host| host.state == HostState::Succeeded).count() + rolled_back;
    let (unscanned, not_ready) =
        task.loaded.plan.as_deref().map_or((0, 0), |plan| (plan.unscanned.len(), plan.not_ready.len()));
    let is_rollback =
        row.trigger == RunTrigger::Rollback || matches!(machine.stop, Some(Stop::RollBack { .. }));
    let statuses = {
        let mut conn = app.pool.acquire().await?;
        run_hosts::list_host_statuses(&mut conn, row.id).await?
    };
    let incomplete = if is_rollback { 0 } else { count_incomplete(task, &statuses) };
    let done = if is_rollback { "rolled back" } else { subjects(task).done_text() };
    let why = machine.stop.as_ref().map_or_else(String::new, |stop| format!("; {}", stop.reason()));
    let skipped = hosts().filter(|host| host.state == HostState::Skipped).count();
    let counts = [
        (skipped, "skipped"),
        (unscanned, "could not be scanned"),
        (not_ready, "not ready"),
        (incomplete, "with updates that were left out"),
    ];
    let left_out: String = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    let pending = {
        let mut conn = app.pool.acquire().await?;
        match run_hosts::count_pending_restarts(&mut conn, row.id).await? {
            0 => String::new(),
            count => format!(", {count} with services that wait for a restart"),
        }
    };
    let request = CloseChange {
        close_code: Some(match (bad, &machine.stop) {
            (0, None) if left_out.is_empty() => CloseCode::Successful,
            // A rollback that was ordered, and did its work.
            (0, Some(Stop::RollBack { .. })) => CloseCode::SuccessfulIssues,
            (_, None) if good > 0 => CloseCode::SuccessfulIssues,
            _ => CloseCode::Unsuccessful,
        }),
        close_notes: format!(
            "{good} of {} {done} and verified, {bad} failed{left_out}{pending}{why}",
            machine.hosts.len()
        ),
        evidence: itsm_records::work_evidence(row, task.loaded.plan.as_deref(), &statuses),
    };
    let closed = match change.state {
        ChangeState::InProgress if request.close_code == Some(CloseCode::Unsuccessful) => {
            app.itsm.fail_change(id, &request).await
        }
        ChangeState::InProgress => app.itsm.complete_change(id, &request).await,
        // The work never started, so the change must not be approved any more.
        ChangeState::Draft | ChangeState::PendingApproval | ChangeState::Approved => {
            let unused = CloseChange { close_code: None, ..request.clone() };
            app.itsm.cancel_change(id, &unused).await
        }
        ChangeState::Completed | ChangeState::Failed | ChangeState::Rejected | ChangeState::Cancelled => {
            Ok(Outcome::Done(change))
        }
    };
    let closed = closed
        .map_err(upstream_error)?
        .done()
        .ok_or_else(|| ApiError::internal("ITSM asks a second person about the change of a run"))?;
    Ok(format!("change {id} is {}: {}", to_text(&closed.state)?, request.close_notes))
}

/// The hosts that the run could not take into its plan. A dry run leaves nothing behind.
fn left_behind(task: &Task<'_>) -> Vec<CiId> {
    let plan = task.loaded.plan.as_deref().filter(|_| !task.loaded.row.dry_run);
    plan.into_iter().flat_map(|plan| plan.unscanned.keys().chain(plan.not_ready.keys())).cloned().collect()
}

/// The hosts on which the run leaves a selected fix missing.
fn count_incomplete(task: &Task<'_>, hosts: &[HostStatus]) -> usize {
    let left_out = left_out(task.loaded.plan.as_deref(), hosts);
    left_out.values().filter(|left_out| left_out.iter().any(OmittedUpdate::stays_missing)).count()
}

/// Opens an incident if a host failed or a fault stopped the run, and notifies the recipients of the policy.
pub(super) async fn alert(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let (row, app) = (&task.loaded.row, task.app);
    let machine = &row.machine;
    let failed: Vec<CiId> =
        machine.hosts.iter().filter(|(_, host)| host.has_failed()).map(|(id, _)| id.clone()).collect();
    let left_behind = left_behind(task);
    // A run that touches no host harms none.
    let by_fault = matches!(&machine.stop, Some(Stop::Halted { .. } | Stop::Failed { .. }))
        && !row.dry_run
        && !machine.hosts.is_empty();
    let mut evidence = Evidence::default();
    let not_rebooted = reboots::still_due(task).await?;
    if !failed.is_empty() || !left_behind.is_empty() || by_fault || !not_rebooted.is_empty() {
        let why = machine.stop.as_ref().map_or_else(String::new, |stop| format!(": {}", stop.reason()));
        let lines = failed.iter().chain(&left_behind).filter_map(|host| {
            let run = machine.hosts.get(host)?;
            Some(format!("{host}: {} ({})", run.error.as_deref().unwrap_or("failed"), run.state.name()))
        });
        let skipped = match left_behind.len() {
            0 => String::new(),
            count => format!(", {count} could not be scanned or were not ready"),
        };
        let request = CreateIncident {
            short_description: itsm_records::line(&format!(
                "Patch run of {}: {} of {} hosts failed{skipped}{why}",
                row.policy.name,
                failed.len(),
                machine.hosts.len()
            )),
            description: itsm_records::prose(
                lines.chain(not_rebooted.iter().map(|host| {
                    format!("{host}: an earlier run left its reboot to this run, which did not do it")
                })),
                "\n",
            ),
            severity: if by_fault { Severity::High } else { Severity::Medium },
            ci_ids: failed.iter().chain(&left_behind).take(limits::CIS).cloned().collect(),
            change_id: machine.change_id.clone(),
            correlation_id: Some(format!("run:{}", row.id)),
        };
        let incident = app.itsm.create_incident(&request).await.map_err(upstream_error)?;
        evidence.log.push((None, format!("opened incident {}: {}", incident.id, request.short_description)));
        evidence.incident_id = Some(incident.id);
    }
    let follows = plan_again(task).await?;
    evidence.log.extend(follows.iter().map(|text| (None, text.clone())));
    let is_complete = failed.is_empty() && left_behind.is_empty();
    let outcome = outcome_text(machine, is_complete);
    let has_succeeded = machine.stop.is_none() && is_complete;
    let scope = if has_succeeded { row.policy.notices.success } else { row.policy.notices.failure };
    let recipients = row.policy.notify.iter().filter(|_| scope != NoticeScope::None);
    for recipient in recipients.collect::<BTreeSet<_>>() {
        let request = CreateNotification {
            channel: if recipient.contains("://") { Channel::Webhook } else { Channel::Email },
            recipient: recipient.clone(),
            subject: format!("Patch run {outcome}: {}", row.policy.name),
            body: format!(
                "Run {} has ended: {outcome}.\n{} hosts, {} failed.\n{}{}/dashboard/runs/{}\n",
                row.id,
                machine.hosts.len(),
                failed.len(),
                follows.as_ref().map_or_else(String::new, |text| format!("{text}\n")),
                app.settings.public_url,
                row.id
            ),
            dedupe_key: Some(format!("run:{}:{recipient}", row.id)),
            customer: None,
        };
        match app.itsm.create_notification(&request).await {
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => evidence.log.push((None, format!("cannot notify `{recipient}`: {error}"))),
            Ok(_) => {}
        }
    }
    evidence.log.extend(subjects(task).alert(task).await?);
    Ok((Answer::Alerted, evidence))
}

/// Starts the run that follows one whose approval had become void, so that nobody has to order it at the hour of the slot. The
/// answer says what follows.
async fn plan_again(task: &Task<'_>) -> ApiResult<Option<String>> {
    let row = &task.loaded.row;
    if !matches!(row.machine.stop, Some(Stop::Voided { .. })) {
        return Ok(None);
    }
    if row.holds_vault_token {
        return Ok(Some(
            "Nothing follows, because the run had a Vault token of its own; start it again with a new token."
                .to_owned(),
        ));
    }
    let again = following_runs::start_again(task.app, row).await?;
    let address = format!("{}/dashboard/runs/{}", task.app.settings.public_url, again.id);
    Ok(Some(format!(
        "Run {} plans it again and opens a new change, which needs an approval: {address}",
        again.id
    )))
}

fn outcome_text(machine: &Run, is_complete: bool) -> &'static str {
    match (&machine.stop, is_complete) {
        (Some(Stop::Cancelled { .. }), _) => "cancelled",
        (Some(Stop::Expired { .. }), _) => "expired",
        (Some(Stop::Voided { .. }), _) => "voided",
        (Some(Stop::RollBack { .. }), _) => "rolled back",
        (Some(_), _) => "stopped",
        (None, true) => "succeeded",
        (None, false) => "completed with errors",
    }
}
