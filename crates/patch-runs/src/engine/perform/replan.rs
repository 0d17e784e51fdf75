//! Plans again right before the work, and decides whether what was approved still holds.

use domain::{
    ids::CiId,
    package::OmitCause,
    plan::Plan,
    plan_diff::{DriftVerdict, PlanDrift},
    run::Answer,
};
use service_kit::ApiResult;

use super::plan;
use crate::{
    app::{
        plans::{self, Demand},
        transition::{Evidence, LogLines},
    },
    engine::Task,
    store::run_records::HostFacts,
};

pub(super) async fn replan(task: &Task<'_>) -> ApiResult<(Answer, Evidence)> {
    let approved = task.plan()?;
    let plans::Gathered { request, remarks } = match plan::gather(task, Demand::Now, Some(approved)).await? {
        Ok(gathered) => gathered,
        Err(reason) => return Ok((Answer::Invalid { reason: reason.clone() }, Evidence::logged(reason))),
    };
    let made = plan::make(task, request).await?;
    let order = |packaging, one: &str, other: &str| advisories::compare(packaging, one, other).ok();
    let drift = PlanDrift::new(approved, &made.plan, task.loaded.row.policy.drift_tolerance, order);
    let (answer, mut log) = conclude(&drift);
    log.splice(..0, remarks);
    let host_facts = newer_uploads(approved, &made.plan);
    Ok((answer, Evidence { drift: Some(drift), host_facts, log, ..Evidence::default() }))
}

/// What was uploaded since the approval of a plan that pins content: it waits for a run of its own.
fn newer_uploads(approved: &Plan, now: &Plan) -> Vec<(CiId, HostFacts)> {
    let known = now.targets.iter().filter(|(id, _)| approved.targets.contains_key(*id));
    let newer = known.map(|(id, target)| {
        let omitted = target.omitted.iter().filter(|one| one.cause == OmitCause::NewerThanTested);
        (id.clone(), HostFacts { left_out: omitted.cloned().collect(), ..HostFacts::default() })
    });
    newer.filter(|(_, facts)| !facts.left_out.is_empty()).collect()
}

fn conclude(drift: &PlanDrift) -> (Answer, LogLines) {
    let differences = drift.diff.summary();
    let answer = match drift.verdict() {
        DriftVerdict::Unchanged => Answer::PlanHolds { gone: Default::default() },
        DriftVerdict::Tolerated => {
            let gone = drift.diff.hosts_gone.iter();
            Answer::PlanHolds { gone: gone.map(|(host, why)| (host.clone(), why.to_string())).collect() }
        }
        DriftVerdict::Voided => Answer::PlanVoid {
            reason: format!("the plan has changed too much since its approval: {}", drift.excess_text()),
        },
    };
    let mut log = Vec::new();
    if let Answer::PlanHolds { gone } = &answer {
        log.extend(gone.iter().map(|(host, reason)| (Some(host.clone()), format!("skipped: {reason}"))));
    }
    let text = match &answer {
        Answer::PlanVoid { reason } => format!("planned again; differences: {differences}; {reason}"),
        _ => format!("planned again, and the approved plan holds; differences: {differences}"),
    };
    log.push((None, text));
    (answer, log)
}
