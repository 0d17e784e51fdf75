//! Simulates the current hosts, a finished run, or a scenario under all or named strategies. Nothing is stored.

mod replay;
mod scenario;

use api_types::patch::{DeadlineAnswer, DeadlineTry, PlanComparison, SimulatePlans};
use domain::strategy::Strategy;
use planner::{PlanRequest, host_plan};
use service_kit::{ApiError, ApiResult};
use simulator::{Answer, Deadline, DurationModel, meet_deadline};

use super::{
    plans::{self, Freshness, PREDICTION_RUNS, PlanInput, wire_forecast},
    predictions,
};
use crate::App;
use patch_compliance::app::policies;

const CONFIDENCE: f64 = 0.95;
/// Simulations per forecast; the search for a deadline needs about two dozen forecasts.
const DEADLINE_RUNS: u32 = 1000;

pub(crate) async fn simulate_plans(app: &App, request: &SimulatePlans) -> ApiResult<PlanComparison> {
    check(request)?;
    if let Some(id) = request.replay_of {
        return replay::replay(app, request, id).await;
    }
    if let Some(yaml) = &request.scenario {
        return scenario::simulate(request, yaml.clone()).await;
    }
    let policy = match &request.policy_id {
        Some(id) => policies::get_policy(&app.compliance, id).await?.policy,
        None if request.advisory.is_some() || request.selector.is_some() => plans::ad_hoc_policy()?,
        None => {
            let reason =
                "must have a `policy_id`, an `advisory`, a `selector`, a `replay_of` or a `scenario`";
            return Err(ApiError::invalid("", reason));
        }
    };
    let input = PlanInput {
        policy,
        by_policy: request.policy_id.is_some(),
        advisory: request.advisory.clone(),
        selector: request.selector.clone(),
        strategy: None,
        run: None,
        rollback_of: None,
    };
    let gathered = plans::gather(app, &input, Freshness::AsKnown).await?;
    let mut strategies = strategies(request);
    // The first of equally good plans is recommended, so the strategy of the policy comes first.
    strategies.sort_by_key(|strategy| *strategy != input.policy.strategy);
    let mut conn = app.pool.acquire().await?;
    let (durations, observations) = predictions::duration_model(app, &mut conn, &gathered.targets).await?;
    let schedule = plans::schedule(app, &mut conn, &input.policy).await?;
    drop(conn);
    let (seed, runs, deadline) = (request.seed, runs(request), deadline(request));
    let compared = tokio::task::spawn_blocking(move || {
        let schedule = schedule.as_ref();
        let comparison = simulator::compare_within(&gathered, &strategies, &durations, schedule, runs, seed);
        let chosen = comparison.recommendation.map(|strategy| PlanRequest { strategy, ..gathered.clone() });
        // Notes are about the recommended plan; if all are refused, about the first.
        let explained = PlanRequest { strategy: strategies[0], ..gathered };
        let explained = chosen.as_ref().unwrap_or(&explained);
        let notes = match schedule {
            Some(_) => simulator::plan_and_forecast(explained, &durations, schedule, runs, seed).0.notes,
            None => host_plan(explained).notes,
        };
        let answer = deadline.map(|deadline| answer(explained, deadline, &durations, runs, seed));
        (comparison, notes, answer)
    });
    let (mut comparison, notes, deadline) = compared.await.map_err(ApiError::internal)?;
    comparison.outcomes.sort_by_key(|outcome| outcome.strategy);
    let outcomes = comparison.outcomes.iter();
    Ok(PlanComparison {
        outcomes: outcomes.map(|o| wire_forecast(o.strategy, &o.forecast, observations)).collect(),
        recommended: comparison.recommendation,
        why: comparison.reason,
        notes,
        remarks: Vec::new(),
        deadline,
    })
}

fn check(request: &SimulatePlans) -> ApiResult<()> {
    if !(1..=100_000).contains(&runs(request)) {
        return Err(ApiError::invalid("/runs", "must be 1 to 100000"));
    }
    if request.deadline_seconds.is_some_and(|seconds| !(1.0..=1e9).contains(&seconds)) {
        return Err(ApiError::invalid("/deadline_seconds", "must be 1 to 1000000000"));
    }
    if request.confidence.is_some_and(|share| !(share > 0.0 && share < 1.0)) {
        return Err(ApiError::invalid("/confidence", "must be above 0 and below 1, such as 0.95"));
    }
    if request.confidence.is_some() && request.deadline_seconds.is_none() {
        return Err(ApiError::invalid("/confidence", "needs `deadline_seconds`"));
    }
    let by_fleet = request.policy_id.is_some() || request.advisory.is_some() || request.selector.is_some();
    let subjects = [by_fleet, request.replay_of.is_some(), request.scenario.is_some()];
    match subjects.into_iter().filter(|named| *named).count() {
        0 | 1 => Ok(()),
        _ => Err(ApiError::invalid("", "must have only one of: hosts to select, `replay_of`, `scenario`")),
    }
}

fn runs(request: &SimulatePlans) -> u32 {
    request.runs.unwrap_or(PREDICTION_RUNS)
}

/// Without duplicates; all if none is named.
fn strategies(request: &SimulatePlans) -> Vec<Strategy> {
    let mut strategies = request.strategies.clone();
    strategies.sort_unstable();
    strategies.dedup();
    if strategies.is_empty() { Strategy::ALL.to_vec() } else { strategies }
}

fn deadline(request: &SimulatePlans) -> Option<Deadline> {
    let confidence = request.confidence.unwrap_or(CONFIDENCE);
    request.deadline_seconds.map(|seconds| Deadline { seconds, confidence })
}

fn answer(
    request: &PlanRequest,
    deadline: Deadline,
    durations: &DurationModel,
    runs: u32,
    seed: u64,
) -> DeadlineAnswer {
    let found = meet_deadline(request, deadline, durations, runs.min(DEADLINE_RUNS), seed);
    let (max_parallel, window_seconds) = match found.answer {
        Answer::Change { max_parallel, window_seconds } => (max_parallel, window_seconds),
        Answer::AsItIs | Answer::Never => (None, None),
    };
    DeadlineAnswer {
        strategy: request.strategy,
        seconds: deadline.seconds,
        confidence: deadline.confidence,
        meets: found.answer == Answer::AsItIs,
        max_parallel,
        window_seconds,
        why: found.reason,
        tried: found
            .tried
            .into_iter()
            .map(|tried| DeadlineTry {
                max_parallel: tried.max_parallel,
                waves: tried.waves,
                done_in_time: tried.done_in_time,
                window_seconds: tried.window_seconds,
            })
            .collect(),
    }
}
