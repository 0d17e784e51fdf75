//! PLAN: which hosts, which updates, in which waves; and the forecast.

use api_types::patch::RunTrigger;
use domain::{
    package::OmittedUpdate,
    plan::Plan,
    policy::Policy,
    preflight::failures_text,
    run::{Answer, Event},
    workflow::{HostWorkflow, RollbackPreference},
};
use futures::FutureExt;
use planner::PlanRequest;
use service_kit::{ApiError, ApiResult};

use crate::engine::Task;
use crate::{
    App,
    app::{
        change_text::counted,
        plans::{self, PlannedRun},
        predictions,
        transition::{Evidence, PlanEvidence},
    },
    engine::playbook,
};
use patch_compliance::app::compliance;

/// Left-out updates of a host that the log names.
const MOST_LEFT_OUT: usize = 10;

pub(super) async fn plan(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let (row, app) = (&task.loaded.row, task.app);
    // A rollback runs no update.
    if row.trigger != RunTrigger::Rollback
        && let Some(reason) = refused_update(app, &row.policy.workflow)
    {
        return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let plans::Gathered { request, remarks } = match gather(task, plans::Demand::AsPolicy, None).await? {
        Ok(gathered) => gathered,
        Err(reason) => return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason))),
    };
    if request.targets.is_empty() && request.unscanned.is_empty() && request.not_ready.is_empty() {
        return Ok((
            Answer::NothingToDo,
            Evidence::logged("nothing to do: no selected host is missing a wanted update"),
        ));
    }
    let PlannedRun { plan, forecast, shown } = make(task, request).await?;
    if let Some(note) = plan.errors().next() {
        let reason = format!("the plan breaks a rule ({}): {}", note.code, note.text);
        return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    }
    if row.trigger != RunTrigger::Rollback
        && let Some(reason) = rollback_window_error(&row.policy, forecast.work_seconds.p95)
    {
        return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let mut conn = app.pool.acquire().await?;
    let hosts: Vec<_> = plan.targets.keys().cloned().collect();
    let before = compliance::share(&mut conn, &hosts).await?;
    let text = format!(
        "planned {} in {} by {}, plan {}; {} of {} compliant now",
        counted(plan.targets.len(), "host"),
        counted(plan.waves.len(), "wave"),
        plan.strategy,
        &plan.hash().as_str()[..12],
        before.compliant,
        before.total
    );
    let skipped = plan.unscanned.iter();
    let mut log: Vec<_> = skipped
        .map(|(host, reason)| (Some(host.clone()), format!("skipped: could not be scanned: {reason}")))
        .collect();
    log.extend(plan.not_ready.iter().map(|(host, failures)| {
        (Some(host.clone()), format!("skipped: not ready: {}", failures_text(failures)))
    }));
    log.extend(remarks);
    log.extend(plan.targets.iter().filter_map(|(host, target)| {
        Some((Some(host.clone()), format!("left out: {}", left_out_text(&target.omitted)?)))
    }));
    log.push((None, text));
    // A forecast of nothing is no prediction.
    let forecast = (!plan.targets.is_empty()).then_some((forecast, shown));
    let evidence = Evidence {
        plan: Some(PlanEvidence { plan: plan.into(), forecast, compliance_before: before }),
        log,
        ..Evidence::default()
    };
    Ok((Answer::Planned, evidence))
}

/// Why the policy's own update may not run: an administrator allows its programs no longer.
pub(super) fn refused_update(app: &App, workflow: &HostWorkflow) -> Option<String> {
    let (_, reason) = workflow.refused_update(&app.compliance.settings.update_programs)?;
    Some(format!("the policy's own update is refused: {reason}"))
}

/// The fixes that a plan leaves missing on a host, and why; `None` if there are none.
fn left_out_text(omitted: &[OmittedUpdate]) -> Option<String> {
    let missing: Vec<&OmittedUpdate> = omitted.iter().filter(|one| one.stays_missing()).collect();
    let named = missing.iter().take(MOST_LEFT_OUT);
    let mut text: Vec<String> =
        named.map(|one| format!("`{}` ({})", one.package, one.explanation())).collect();
    if let more @ 1.. = missing.len().saturating_sub(MOST_LEFT_OUT) {
        text.push(format!("{more} more"));
    }
    (!text.is_empty()).then(|| text.join(", "))
}

/// What is planned, after a scan of the hosts whose last scan is too old; or why nothing can be planned.
/// If a plan is approved already, package managers are asked only about its packages: no other is installed.
pub(super) async fn gather(
    task: &Task<'_>,
    demand: plans::Demand,
    approved: Option<&Plan>,
) -> ApiResult<Result<plans::Gathered, String>> {
    let (row, app) = (&task.loaded.row, task.app);
    let input = plans::PlanInput::of_run(row);
    let run_dir = playbook::run_dir(app, row.id, task.pending.step);
    let announce = |seconds| {
        let event = Event::TakesLonger { step: task.pending.step, seconds };
        task.report_event(event, Evidence::default()).boxed()
    };
    let freshness =
        plans::Freshness::Rescan { run: row, run_dir: &run_dir, demand, approved, announce: &announce };
    match plans::gather(app, &input, freshness).await {
        Ok(gathered) => Ok(Ok(gathered)),
        Err(error) if error.status() == axum::http::StatusCode::SERVICE_UNAVAILABLE => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// The plan of the run, which works from now on, or from its slot if that is later.
pub(super) async fn make(task: &Task<'_>, request: PlanRequest) -> ApiResult<PlannedRun> {
    let (row, app) = (&task.loaded.row, task.app);
    let mut conn = app.pool.acquire().await?;
    let (durations, observations) = predictions::duration_model(app, &mut conn, &request.targets).await?;
    let begins = row.scheduled_for.map_or(app.clock.now(), |slot| slot.max(app.clock.now()));
    let schedule =
        if row.waits_for_openings() { plans::schedule(&mut conn, &row.policy, begins).await? } else { None };
    drop(conn);
    let made = tokio::task::spawn_blocking(move || {
        plans::make_plan(&request, &durations, observations, schedule.as_ref())
    });
    made.await.map_err(ApiError::internal)
}

/// Why hosts could not be rolled back for as long as the policy requires.
fn rollback_window_error(policy: &Policy, run_seconds: f64) -> Option<String> {
    let wanted = policy.rollback_window_hours?;
    let run_hours = (run_seconds / 3600.0).ceil() as u32;
    let kept = policy.snapshot_retention_hours;
    // Packages can be downgraded while the repositories offer the older versions.
    if policy.rollback_preference == RollbackPreference::Downgrade {
        None
    } else if !policy.pre_patch_snapshot {
        Some(format!("the policy requires a rollback window of {wanted} h but takes no snapshots"))
    } else if wanted > kept {
        Some(format!("the policy requires a rollback window of {wanted} h but keeps snapshots for {kept} h"))
    } else if wanted.saturating_add(run_hours) > kept.saturating_add(1) {
        Some(format!(
            "the policy requires a rollback window of {wanted} h after a run that takes up to {run_hours} h, but keeps \
             snapshots for {kept} h"
        ))
    } else {
        None
    }
}
