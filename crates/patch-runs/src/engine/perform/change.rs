//! Change control: the request for this very plan, its approval, and the start of the work.

use api_types::itsm::{
    Change, ChangeKind, ChangeState, CreateChange, Decision, ExecuteChange, Risk, UpdateChange,
};
use api_types::patch::RunTrigger;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::ChangeId,
    plan::Plan,
    pre_approval::{NoPreApproval, PreApproval},
    run::{Answer, Approval, WaitCause},
};
use service_kit::{
    ApiResult,
    duties::{self, Decider, Part},
    text_enum::to_text,
};

use super::{admit, subjects};
use crate::engine::Task;
use crate::{
    app::{change_text, itsm_records, transition::Evidence},
    store::{runs, subject_locks},
};
use patch_compliance::upstream_error;

/// Opens the change for the run's plan and submits it. Repeated after a crash, it finds the change that it opened.
pub(super) async fn open_change(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let (row, plan, app) = (&task.loaded.row, task.plan()?, task.app);
    let rule = &row.policy.change;
    let is_rollback = row.trigger == RunTrigger::Rollback;
    let pre_approval = pre_approval(task, plan).await?;
    let kind = match &pre_approval {
        _ if row.emergency || is_rollback => ChangeKind::Emergency,
        Some(PreApproval::Granted { .. }) => ChangeKind::Standard,
        Some(PreApproval::Refused { .. }) | None => ChangeKind::Normal,
    };
    let (template, preapproved_by) = match (kind, &pre_approval) {
        (ChangeKind::Standard, Some(PreApproval::Granted { by })) => {
            (rule.standard_template.clone(), Some(by.clone()))
        }
        _ => (None, None),
    };
    let (start_at, end_at) = span(task, kind);
    let what = row.advisory.as_deref().map_or_else(
        || format!("policy {}", row.policy.name),
        |advisory| format!("remediation of {advisory}"),
    );
    let text = subjects(task).change_text(task, plan, &what)?;
    let waves = plan
        .waves
        .iter()
        .map(|wave| format!("{}: {}", wave.name, change_text::counted(wave.hosts.len(), "host")));
    let request = CreateChange {
        kind,
        short_description: itsm_records::line(&text.short_description),
        description: format!(
            "{}{}{}",
            origin_text(task).await?,
            pre_approval_text(kind, pre_approval.as_ref()),
            text.description
        ),
        risk: if row.prediction.as_ref().is_some_and(|p| p.halt_probability > 0.2) {
            Risk::High
        } else {
            Risk::Moderate
        },
        requested_by: Some(row.requested_by.clone()),
        editors: row.editors.clone(),
        preapproved_by,
        assignment_group: None,
        ci_ids: plan.subjects().into_iter().cloned().collect(),
        plan_hash: Some(plan.hash().to_string()),
        start_at,
        end_at,
        implementation_plan: itsm_records::prose(waves, "; "),
        backout_plan: text.backout_plan,
        test_plan: format!(
            "{} tests on each staging host before and after; verification of every host.",
            plan.staging_tests.len()
        ),
        template,
        approver_emails: rule.approver_emails.clone(),
        evidence: itsm_records::plan_evidence(row, plan),
    };
    let key = format!("run-{}-change", row.id);
    let change = app.itsm.create_change_once(&request, &key).await.map_err(upstream_error)?;
    let change = match change.state {
        // A repeated request returns the change as it was when it was created, so read its current state.
        ChangeState::Draft => {
            let now = app.itsm.get_change(&change.id).await.map_err(upstream_error)?;
            match now.state {
                ChangeState::Draft => submit_with_conflicts(task, &now).await?,
                _ => now,
            }
        }
        _ => change,
    };
    let text = format!("opened change {} for plan {}", change.id, &plan.hash().as_str()[..12]);
    Ok((Answer::ChangeOpened { change_id: change.id }, Evidence::logged(text)))
}

/// Whether the template of the policy approves this plan.
async fn pre_approval(task: &Task<'_>, plan: &Plan) -> ApiResult<Option<PreApproval>> {
    let row = &task.loaded.row;
    let (Some(granted @ PreApproval::Granted { .. }), Some(name)) =
        (&row.pre_approval, &row.policy.change.standard_template)
    else {
        return Ok(row.pre_approval.clone());
    };
    let refused = |cause| Ok(Some(PreApproval::Refused { cause }));
    if let Some(cause) = NoPreApproval::of_plan(plan, &task.app.settings.never_pre_approved) {
        return refused(cause);
    }
    let templates = task.app.itsm.list_templates().await.map_err(upstream_error)?;
    let now = task.app.clock.now();
    if !templates.iter().any(|template| template.name == *name && template.is_in_force(now)) {
        return refused(NoPreApproval::NoTemplate { template: name.clone() });
    }
    Ok(Some(granted.clone()))
}

/// For the approver of a run that its template does not approve.
fn pre_approval_text(kind: ChangeKind, pre_approval: Option<&PreApproval>) -> String {
    match pre_approval {
        Some(PreApproval::Refused { cause }) if kind == ChangeKind::Normal => {
            format!("The template of the policy does not approve this: {cause}.\n")
        }
        _ => String::new(),
    }
}

/// Adds what else touches the hosts in the time of the change to its description, and submits it.
async fn submit_with_conflicts(task: &Task<'_>, draft: &Change) -> ApiResult<Change> {
    let itsm = &task.app.itsm;
    let found = itsm.list_conflicts(&draft.id).await.map_err(upstream_error)?;
    let conflicts = change_text::conflicts(&found.conflicts);
    // Not again after a crash.
    if !conflicts.is_empty() && !draft.description.starts_with(&conflicts) {
        let description = Some(format!("{conflicts}\n{}", draft.description));
        let update = UpdateChange { description, ..UpdateChange::default() };
        itsm.update_change(&draft.id, &update, None).await.map_err(upstream_error)?;
    }
    itsm.submit_change(&draft.id).await.map_err(upstream_error)
}

/// Why a run exists that plans an earlier one again, for the people who approved that one.
async fn origin_text(task: &Task<'_>) -> ApiResult<String> {
    let row = &task.loaded.row;
    let Some(voided) = row.of_run.filter(|_| row.trigger == RunTrigger::Replan) else {
        return Ok(String::new());
    };
    let mut conn = task.app.pool.acquire().await?;
    let voided = runs::get_run(&mut conn, voided).await?;
    let change = voided.machine.change_id.map(|id| format!(", whose change was {id}")).unwrap_or_default();
    let reason: String = voided.reason.unwrap_or_default().chars().take(300).collect();
    Ok(format!("Replaces run {}{change}: {reason}\n", voided.id))
}

/// A quarter: the longest that ITSM plans a change for.
const MAX_WORK_SECONDS: f64 = 90.0 * 86_400.0;

/// How long the waves of a plan may wait for their conditions, within the limit of the releases template.
fn longest_wait(plan: &Plan) -> TimeDelta {
    let waits = plan.waves.iter().filter_map(|wave| wave.start.as_ref());
    let waits: TimeDelta = waits.map(|start| TimeDelta::seconds(i64::from(start.longest_wait_seconds))).sum();
    waits.min(TimeDelta::days(90))
}

/// From the slot or the start of the run until the approval has timed out and the work has had a week. A template allows one week in
/// total.
///
/// Computed from the run's record only, not from the clock: a request that is repeated after a crash must be the same to get
/// the change that was opened under its idempotency key.
fn span(task: &Task<'_>, kind: ChangeKind) -> (DateTime<Utc>, DateTime<Utc>) {
    let row = &task.loaded.row;
    let start = row.scheduled_for.unwrap_or(row.created_at);
    let wait = match kind {
        ChangeKind::Standard => TimeDelta::zero(),
        ChangeKind::Normal | ChangeKind::Emergency => {
            TimeDelta::hours(i64::from(row.policy.change.approval_timeout_hours))
        }
    };
    // A run that spans several openings takes as long as it was predicted to.
    let predicted = row.prediction.as_ref().map_or(0.0, |prediction| prediction.duration_p95_seconds);
    let work = match kind {
        // The template allows no more.
        ChangeKind::Standard => TimeDelta::days(7),
        ChangeKind::Normal | ChangeKind::Emergency => {
            TimeDelta::days(7) + TimeDelta::seconds(predicted.min(MAX_WORK_SECONDS) as i64)
        }
    };
    let longest = task.loaded.plan.as_deref().map(longest_wait).unwrap_or_default();
    (start, start + wait + work + longest)
}

pub(super) async fn check_change(task: &Task<'_>, id: &ChangeId) -> ApiResult<(Answer, Evidence)> {
    let change = task.app.itsm.get_change(id).await.map_err(upstream_error)?;
    let hash = task.plan()?.hash();
    let fits = change.plan_hash.as_deref().is_none_or(|of_change| of_change == hash.as_str());
    let approval = match change.state {
        _ if !fits => Approval::Refused { reason: format!("change {id} is for another plan") },
        ChangeState::Approved | ChangeState::InProgress => match approved_by_author(task, &change).await? {
            Some(reason) => Approval::Refused { reason },
            None => Approval::Approved,
        },
        ChangeState::Draft | ChangeState::PendingApproval => Approval::Waiting,
        ChangeState::Rejected => {
            let said = change
                .approvals
                .last()
                .map(|approval| format!(" by {}: {}", approval.approver, approval.comment));
            Approval::Refused { reason: format!("change {id} was rejected{}", said.unwrap_or_default()) }
        }
        ChangeState::Cancelled | ChangeState::Completed | ChangeState::Failed => {
            Approval::Refused { reason: format!("change {id} is already closed") }
        }
    };
    let evidence = match &approval {
        Approval::Approved => {
            let who = change
                .approvals
                .iter()
                .rev()
                .find(|a| a.voided_at.is_none())
                .map_or("its template".to_owned(), |a| a.approver.clone());
            Evidence::logged(format!("change {id} was approved by {who}"))
        }
        _ => Evidence::default(),
    };
    Ok((Answer::ChangeIs(approval), evidence))
}

/// Why an approval does not count: a change that somebody opened by hand does not name who wrote what the run does.
async fn approved_by_author(task: &Task<'_>, change: &Change) -> ApiResult<Option<String>> {
    let row = &task.loaded.row;
    let mut conn = task.app.pool.acquire().await?;
    for approval in &change.approvals {
        if approval.voided_at.is_some() || approval.decision != Decision::Approved {
            continue;
        }
        let decider = Decider::of_record(&mut conn, &approval.approver).await?;
        let editors = row.editors.iter().map(|editor| Part::new("edited", editor));
        let parts = editors.chain([Part::new("requested", &row.requested_by)]);
        if let Err(refused) =
            duties::may_decide(&decider, &format!("the work of change {}", change.id), parts)
        {
            return Ok(Some(refused.to_string()));
        }
    }
    Ok(None)
}

/// Decides which subjects may start now, if the change is still in force: it may have ended or expired since the last ones
/// started.
pub(super) async fn admit(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let Some(id) = &task.loaded.row.machine.change_id else { return subjects(task).perform(task).await };
    let change = task.app.itsm.get_change(id).await.map_err(upstream_error)?;
    if let Some(reason) = not_in_force(task, &change)? {
        return Ok((
            Answer::ChangeIs(Approval::Refused { reason: reason.clone() }),
            Evidence::logged(format!("nothing more is started: {reason}")),
        ));
    }
    let (answer, evidence) = subjects(task).perform(task).await?;
    match answer {
        Answer::NotYet { cause, reason, retry_at } if cause.is_calendar() && retry_at >= change.end_at => {
            let reason =
                format!("{reason}, which is after the planned end of change {id} at {}", change.end_at);
            Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)))
        }
        answer => Ok((answer, evidence)),
    }
}

/// Why nothing may be started under the change now.
fn not_in_force(task: &Task<'_>, change: &Change) -> ApiResult<Option<String>> {
    let (plan, id) = (task.plan()?, &change.id);
    let hash = plan.hash();
    Ok(match change.state {
        ChangeState::Approved | ChangeState::InProgress => {
            if change.plan_hash.as_deref() != Some(hash.as_str()) {
                Some(format!("change {id} is approved for another plan"))
            } else if task.app.clock.now() >= change.end_at {
                Some(format!("the planned end of change {id} was at {}", change.end_at))
            } else {
                let uncovered = plan.subjects().into_iter().find(|target| !change.ci_ids.contains(target));
                uncovered.map(|target| format!("change {id} does not cover `{target}`"))
            }
        }
        other => Some(format!("change {id} is no longer approved: its state is `{}`", to_text(&other)?)),
    })
}

/// Checks everything again right before the work: approval, hash, time span, coverage, freezes, window, other runs.
pub(super) async fn validate(task: &Task<'_>, id: &ChangeId) -> ApiResult<(Answer, Evidence)> {
    let (row, plan, app) = (&task.loaded.row, task.plan()?, task.app);
    let now = app.clock.now();
    let not_yet = |cause: WaitCause, reason: String, retry_at: DateTime<Utc>| {
        let evidence = Evidence::logged(format!("waiting: {reason}"));
        Ok((Answer::NotYet { cause, reason, retry_at }, evidence))
    };
    let invalid = |reason: String| Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    let change = app.itsm.get_change(id).await.map_err(upstream_error)?;
    if let Some(reason) = not_in_force(task, &change)? {
        return invalid(reason);
    }
    if now < change.start_at {
        let reason = format!("the planned start of change {id} is at {}", change.start_at);
        return not_yet(WaitCause::ChangeStart, reason, change.start_at);
    }
    let hosts = plan.targets.keys().cloned().collect();
    let openings = admit::openings(task, &hosts, false).await?;
    match openings.wait {
        Some(wait) if openings.now.is_empty() && wait.until < change.end_at => {
            return not_yet(wait.cause, wait.reason, wait.until);
        }
        _ if openings.now.is_empty() && !hosts.is_empty() => {
            return invalid(
                "no opening of its windows before the planned end of its change is long enough for any host"
                    .to_owned(),
            );
        }
        _ => {}
    }
    let mut transaction = task.owned.begin().await?;
    // Customers are locked one by one when they are deployed to: a rollout that waits for weeks must not block an urgent one.
    let ids = subjects(task).locked_together(plan);
    let held = subject_locks::lock_subjects(&mut transaction, row.id, row.subject, &ids, now).await?;
    transaction.commit().await?;
    if let Some((host, other)) = held.first() {
        let reason = format!("`{host}` is locked by run {other}");
        return not_yet(WaitCause::Lock, reason, now + TimeDelta::minutes(1));
    }
    Ok((
        Answer::Valid,
        Evidence::logged(format!(
            "valid: change {id} covers {} and this plan",
            subjects(task).count_text(plan.subjects().len())
        )),
    ))
}

/// Reports the start of the work to ITSM. A change that is already in progress for this plan counts as started.
pub(super) async fn begin_work(task: &Task<'_>, id: &ChangeId) -> ApiResult<(Answer, Evidence)> {
    let app = task.app;
    let change = app.itsm.get_change(id).await.map_err(upstream_error)?;
    if change.state != ChangeState::InProgress {
        let request = ExecuteChange { plan_hash: Some(task.plan()?.hash().to_string()) };
        match app.itsm.execute_change(id, &request).await {
            Ok(_) => {}
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => {
                return Ok((
                    Answer::Invalid { reason: error.to_string() },
                    Evidence::logged(error.to_string()),
                ));
            }
        }
    }
    Ok((Answer::WorkBegun, Evidence::logged(format!("change {id} is in progress"))))
}
