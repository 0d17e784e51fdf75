//! PLAN: which hosts, what each lacks, in which waves; and what is to be expected of it.

use domain::{policy::Policy, run::Answer, workflow::RollbackPreference};
use service_kit::{ApiError, ApiResult};

use super::Task;
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
            Evidence::logged("nothing to do: no selected host lacks a wanted update"),
        ));
    }
    if let Some(reason) = cannot_go_back_long_enough(&row.policy) {
        return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason)));
    }
    let mut conn = app.pool.acquire().await?;
    let (durations, observations) = predictions::duration_model(app, &mut conn, &request.targets).await?;
    let schedule = match row.emergency {
        true => None,
        false => plans::schedule(app, &mut conn, &row.policy).await?,
    };
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

/// Why the hosts could not go back for as long as the policy wants.
fn cannot_go_back_long_enough(policy: &Policy) -> Option<String> {
    let wanted = policy.rollback_window_hours?;
    match policy.pre_patch_snapshot {
        // Packages go back for as long as their older versions are to be had.
        _ if policy.rollback_preference == RollbackPreference::Downgrade => None,
        false => Some(format!("the policy wants a way back for {wanted} h and takes no snapshots")),
        true if wanted > policy.snapshot_retention_hours => Some(format!(
            "the policy wants a way back for {wanted} h and keeps snapshots for {} h",
            policy.snapshot_retention_hours
        )),
        true => None,
    }
}
