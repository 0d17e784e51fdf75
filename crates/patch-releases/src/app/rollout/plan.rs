//! PLAN of a release: the order becomes a plan of customers.

use api_types::patch::{ComplianceShare, ReleaseMode};
use domain::run::Answer;
use service_kit::ApiResult;

use crate::{
    app::releases,
    engine::{
        perform::Task,
        transition::{Evidence, PlanEvidence},
    },
    store::releases as store,
};

/// `None` when the run is not of a release.
pub(crate) async fn plan(task: &Task<'_>) -> ApiResult<Option<(Answer, Evidence)>> {
    let mut conn = task.app.pool.acquire().await?;
    let Some(order) = store::find_release_run(&mut conn, task.loaded.row.id).await? else { return Ok(None) };
    let planned = releases::make_plan(&mut conn, &order).await?;
    let plan = planned.plan;
    if plan.subjects().is_empty() && order.mode != ReleaseMode::Validate {
        let text = "nothing to do: no customer is left to deploy to";
        return Ok(Some((Answer::NothingToDo, Evidence::logged(text))));
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
    Ok(Some((Answer::Planned, evidence)))
}
