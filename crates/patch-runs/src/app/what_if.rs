//! What if: the hosts of now, a finished run, or a scenario, under all or named strategies. Nothing is stored.

mod replay;
mod scenario;

use api_types::patch::{DeadlineAnswer, DeadlineTry, PlanComparison, SimulatePlans};
use domain::strategy::Strategy;
use planner::{PlanRequest, host_plan};
use service_kit::{ApiError, ApiResult};
use simulator::{Answer, Deadline, DurationModel, meet_deadline};

use super::{
    plans::{self, Freshness, PREDICTION_RUNS, PlanOrder, wire_forecast},
    predictions,
};
use crate::App;
use patch_compliance::app::policies;

const CONFIDENCE: f64 = 0.95;
/// A deadline is sought by some two dozen forecasts; so many runs of each are enough.
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
            let reason = "must name a policy_id, an advisory, a selector, a run to replay or a scenario";
            return Err(ApiError::invalid("", reason));
        }
    };
    let order = PlanOrder {
        policy,
        by_policy: request.policy_id.is_some(),
        advisory: request.advisory.clone(),
        selector: request.selector.clone(),
        strategy: None,
        rollback_of: None,
    };
    let gathered = plans::gather(app, &order, Freshness::AsKnown).await?;
    let mut strategies = strategies(request);
    // Of plans that are as good as each other the first is recommended: let it be what the policy says.
    strategies.sort_by_key(|strategy| *strategy != order.policy.strategy);
    let mut connection = app.pool.acquire().await?;
    let (durations, observations) =
        predictions::duration_model(app, &mut connection, &gathered.targets).await?;
    let schedule = plans::schedule(app, &mut connection, &order.policy).await?;
    drop(connection);
    let (seed, runs, deadline) = (request.seed, runs(request), deadline(request));
    let compared = tokio::task::spawn_blocking(move || {
        let schedule = schedule.as_ref();
        let comparison = simulator::compare_within(&gathered, &strategies, &durations, schedule, runs, seed);
        let chosen = comparison.recommendation.map(|strategy| PlanRequest { strategy, ..gathered.clone() });
        // Of the plan that is recommended; where all are refused, why the first is.
        let told = PlanRequest { strategy: strategies[0], ..gathered };
        let told = chosen.as_ref().unwrap_or(&told);
        let notes = match schedule {
            Some(_) => simulator::plan_and_forecast(told, &durations, schedule, runs, seed).0.notes,
            None => host_plan(told).notes,
        };
        let answer = deadline.map(|deadline| answer(told, deadline, &durations, runs, seed));
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
        return Err(ApiError::invalid("/confidence", "says nothing without deadline_seconds"));
    }
    let by_fleet = request.policy_id.is_some() || request.advisory.is_some() || request.selector.is_some();
    let subjects = [by_fleet, request.replay_of.is_some(), request.scenario.is_some()];
    match subjects.into_iter().filter(|named| *named).count() {
        0 | 1 => Ok(()),
        _ => Err(ApiError::invalid("", "must name hosts, a run to replay or a scenario, and no two of them")),
    }
}

fn runs(request: &SimulatePlans) -> u32 {
    request.runs.unwrap_or(PREDICTION_RUNS)
}

/// Each once; all when none is named.
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
