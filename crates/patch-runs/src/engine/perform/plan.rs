//! PLAN: which hosts, which updates, in which waves; and the forecast.

use domain::{policy::Policy, run::Answer, workflow::RollbackPreference};
use service_kit::{ApiError, ApiResult};

use crate::engine::Task;
use crate::{
    app::{
        plans::{self, PlannedRun},
        predictions,
        transition::{Evidence, PlanEvidence},
    },
    engine::playbook,
};
use patch_compliance::app::compliance;

pub(super) async fn plan(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let (row, app) = (&task.loaded.row, task.app);
    let input = plans::PlanInput::of_run(row);
    let run_dir = playbook::run_dir(app, row.id, task.pending.step);
    let request = match plans::gather(app, &input, plans::Freshness::Rescan { run: row, run_dir: &run_dir })
        .await
    {
        Ok(request) => request,
        Err(error) if error.status() == axum::http::StatusCode::SERVICE_UNAVAILABLE => return Err(error),
        Err(error) => {
            return Ok((Answer::Invalid { reason: error.to_string() }, Evidence::logged(error.to_string())));
        }
    };
    if request.targets.is_empty() {
        return Ok((
            Answer::NothingToDo,
            Evidence::logged("nothing to do: no selected host is missing a wanted update"),
        ));
    }
    if let Some(reason) = rollback_window_error(&row.policy) {
        return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let mut conn = app.pool.acquire().await?;
    let (durations, observations) = predictions::duration_model(app, &mut conn, &request.targets).await?;
    let schedule = if row.emergency { None } else { plans::schedule(app, &mut conn, &row.policy).await? };
    drop(conn);
    let made = tokio::task::spawn_blocking(move || {
        plans::make_plan(&request, &durations, observations, schedule.as_ref())
    });
    let PlannedRun { plan, forecast, shown } = made.await.map_err(ApiError::internal)?;
    if let Some(note) = plan.errors().next() {
        let reason = format!("the plan breaks a rule ({}): {}", note.code, note.text);
        return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let mut conn = app.pool.acquire().await?;
    let hosts: Vec<_> = plan.targets.keys().cloned().collect();
    let before = compliance::share(&mut conn, &hosts).await?;
    let text = format!(
        "planned {} hosts in {} waves by {}, plan {}; {} of {} compliant now",
        plan.targets.len(),
        plan.waves.len(),
        plan.strategy,
        &plan.hash().as_str()[..12],
        before.compliant,
        before.total
    );
    let evidence = Evidence {
        plan: Some(PlanEvidence { plan, forecast: Some((forecast, shown)), compliance_before: before }),
        log: vec![(None, text)],
        ..Evidence::default()
    };
    Ok((Answer::Planned, evidence))
}

/// Why hosts could not be rolled back for as long as the policy requires.
fn rollback_window_error(policy: &Policy) -> Option<String> {
    let wanted = policy.rollback_window_hours?;
    let kept = policy.snapshot_retention_hours;
    // Packages can be downgraded while the repositories offer the older versions.
    if policy.rollback_preference == RollbackPreference::Downgrade {
        None
    } else if !policy.pre_patch_snapshot {
        Some(format!("the policy requires a rollback window of {wanted} h but takes no snapshots"))
    } else if wanted > kept {
        Some(format!("the policy requires a rollback window of {wanted} h but keeps snapshots for {kept} h"))
    } else {
        None
    }
}
