//! PLAN of a release: makes the plan of customers.

use api_types::patch::{ComplianceShare, ReleaseMode};
use domain::run::Answer;
use service_kit::ApiResult;

use super::Task;
use crate::{
    app::{customer_events::CustomerEvent, rollouts},
    store::releases as store,
};
use patch_runs::app::transition::{Evidence, PlanEvidence};

pub(super) async fn plan(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let mut conn = task.app.pool.acquire().await?;
    let rollout = store::get_rollout_request(&mut conn, task.loaded.row.id).await?;
    let planned = rollouts::make_plan(&mut conn, &rollout).await?;
    let plan = planned.plan;
    if plan.subjects().is_empty() && rollout.mode != ReleaseMode::Validate {
        let text = "there is nothing to do for any customer";
        return Ok((Answer::NothingToDo, Evidence::logged(text)));
    }
    let text = format!(
        "planned {} for {} customers in {} waves, plan {}",
        rollout.version,
        plan.subjects().len(),
        plan.waves.len(),
        &plan.hash().as_str()[..12]
    );
    let mut evidence = Evidence::logged(text);
    for left in &planned.left_out {
        CustomerEvent::LeftOut.add_to(&mut evidence, &left.customer, &left.reason);
    }
    let compliance_before = ComplianceShare::default();
    evidence.plan = Some(PlanEvidence { plan: plan.into(), forecast: None, compliance_before });
    Ok((Answer::Planned, evidence))
}
