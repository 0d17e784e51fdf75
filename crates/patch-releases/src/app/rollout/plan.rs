//! PLAN of a release: the order becomes a plan of customers.

use api_types::patch::{ComplianceShare, ReleaseMode};
use domain::run::Answer;
use service_kit::ApiResult;

use super::Task;
use crate::{app::releases, store::releases as store};
use patch_runs::app::transition::{Evidence, PlanEvidence};

pub(super) async fn plan(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let mut conn = task.app.pool.acquire().await?;
    let order = store::get_release_run(&mut conn, task.loaded.row.id).await?;
    let planned = releases::make_plan(&mut conn, &order).await?;
    let plan = planned.plan;
    if plan.subjects().is_empty() && order.mode != ReleaseMode::Validate {
        let text = "nothing to do: no customer is left to deploy to";
        return Ok((Answer::NothingToDo, Evidence::logged(text)));
    }
    let mut log = vec![(
        None,
        format!(
            "planned {} for {} customers in {} waves, plan {}",
            order.version,
            plan.subjects().len(),
            plan.waves.len(),
            &plan.hash().as_str()[..12]
        ),
    )];
    log.extend(
        planned
            .left_out
            .iter()
            .map(|left| (Some(left.customer.clone()), format!("left out: {}", left.reason))),
    );
    let share = ComplianceShare::default();
    let evidence = Evidence {
        plan: Some(PlanEvidence { plan, forecast: None, compliance_before: share }),
        log,
        ..Evidence::default()
    };
    Ok((Answer::Planned, evidence))
}
