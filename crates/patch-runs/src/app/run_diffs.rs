//! How the plan of a run has changed since its approval.

use api_types::patch::RunDiff;
use domain::{
    ids::RunId,
    plan_diff::{DriftVerdict, PlanDrift},
    run::Rules,
};
use service_kit::ApiResult;

use crate::{
    App,
    store::{
        run_diffs,
        runs::{self, RunRow},
    },
};

pub(crate) async fn get_run_diff(app: &App, id: RunId) -> ApiResult<RunDiff> {
    let mut conn = app.pool.acquire().await?;
    let row = runs::get_run(&mut conn, id).await?;
    Ok(match run_diffs::find_run_diff(&mut conn, id).await? {
        Some((drift, compared_at)) => RunDiff {
            run_id: id,
            verdict: Some(drift.verdict()),
            reason: reason(&drift),
            compared_at: Some(compared_at),
            lines: drift.diff.lines(),
            drift: Some(drift),
        },
        None => RunDiff {
            run_id: id,
            verdict: None,
            reason: why_not_compared(&row),
            compared_at: None,
            drift: None,
            lines: Vec::new(),
        },
    })
}

fn reason(drift: &PlanDrift) -> String {
    match drift.verdict() {
        DriftVerdict::Unchanged => "nothing has changed since the approval".to_owned(),
        DriftVerdict::Tolerated => {
            format!("the approval holds, within the tolerance of the policy: {}", drift.diff.summary())
        }
        DriftVerdict::Voided => format!("the approval is void: {}", drift.excess_text()),
    }
}

fn why_not_compared(row: &RunRow) -> String {
    let Rules { slot, replan_after_seconds, .. } = row.machine.rules;
    match (replan_after_seconds, slot) {
        _ if row.started_at.is_some() => "its plan was young enough when its work began".to_owned(),
        _ if row.state.is_final() => "it ended before its work was to begin".to_owned(),
        (None, _) => "its plan is not made again before its work".to_owned(),
        (Some(_), Some(slot)) => format!("its plan is made again at its slot, {slot}"),
        (Some(seconds), None) => {
            let hours = seconds / 3600;
            format!("its plan is made again before its work if it is older than {hours} h then")
        }
    }
}
