//! After a rollout: customers are notified, and an emergency is reviewed.

use api_types::itsm::CreateProblem;
use domain::ids::CiId;
use service_kit::ApiResult;

use super::Task;
use super::{deployment, notices};
use crate::store::releases;
use patch_compliance::upstream_error;
use patch_runs::app::transition::LogLines;

/// Returns lines for the run's log.
pub(super) async fn follow_up(task: &Task<'_>) -> ApiResult<LogLines> {
    let row = &task.loaded.row;
    if task.loaded.plan.as_deref().is_none_or(|plan| plan.deployment().is_none()) || row.dry_run {
        return Ok(Vec::new());
    }
    let mut log = notices::send_after(task, &task.plan()?.waves).await?;
    let deployment = deployment(task)?;
    if deployment.emergency && row.machine.hosts.values().any(domain::run::HostRun::was_touched) {
        let mut conn = task.app.pool.acquire().await?;
        // Recorded like a notice, so that an emergency is reviewed once.
        let key = CiId::new("review").map_err(service_kit::ApiError::internal)?;
        let known = releases::list_notices(&mut conn, row.id, "review").await?;
        let rollout = releases::get_rollout_request(&mut conn, row.id).await?;
        drop(conn);
        if known.is_empty() {
            let request = CreateProblem {
                short_description: format!("Review of the emergency release {}", deployment.version),
                description: format!(
                    "Run {} deployed {} to all tiers at once: {}\nReview why it could not wait, which items of the checklist were waived, and the result for each customer.",
                    row.id, deployment.version, rollout.reason
                ),
                incident_ids: row.incident_id.iter().cloned().collect(),
            };
            let problem = task.app.runs.itsm.create_problem(&request).await.map_err(upstream_error)?;
            let mut conn = task.app.pool.acquire().await?;
            releases::insert_notice(&mut conn, row.id, &key, "review", task.app.clock.now()).await?;
            log.push((None, format!("problem {} requests the review of this emergency", problem.id)));
        }
    }
    Ok(log)
}
