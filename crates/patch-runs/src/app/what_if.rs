//! Simulates the current hosts, a finished run, or a scenario under all or named strategies. Nothing is stored.

mod replay;
mod scenario;

use api_types::patch::{
    CheckVerdict, DeadlineAnswer, DeadlineTry, PlanCheck, PlanComparison, RefusedStrategy, SimulatePlans,
    StrategyForecast,
};
use domain::{
    ids::PolicyId,
    quantity::HostCount,
    selector::Selector,
    strategy::Strategy,
    time::{MaintenanceWindow, MaintenanceWindowFields},
};
use planner::{PlanRequest, host_plan};
use service_kit::{ApiError, ApiResult};
use simulator::{Answer, Comparison, Deadline, DurationModel, check, meet_deadline};

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
    let hosts = Hosts {
        policy_id: request.policy_id.as_ref(),
        advisory: request.advisory.as_deref(),
        selector: request.selector.as_ref(),
    };
    let missing = "must have a `policy_id`, an `advisory`, a `selector`, a `replay_of` or a `scenario`";
    let mut input = input_of(app, hosts, missing).await?;
    try_out(&mut input, request)?;
    let strategies = strategies(request);
    ensure_usable(&strategies)?;
    let gathered = plans::gather(app, &input, Freshness::AsKnown).await?.request;
    let mut conn = app.pool.acquire().await?;
    let (durations, observations) = predictions::duration_model(app, &mut conn, &gathered.targets).await?;
    let schedule = plans::schedule(&mut conn, &input.policy, app.clock.now()).await?;
    drop(conn);
    let (seed, runs, deadline) = (request.seed, runs(request), deadline(request));
    let failures = request.check_failures;
    let compared = tokio::task::spawn_blocking(move || {
        let schedule = schedule.as_ref();
        let comparison = simulator::compare_within(&gathered, &strategies, &durations, schedule, runs, seed);
        let checks = failures.map(|failures| checks(&gathered, &comparison, failures)).unwrap_or_default();
        let explained = &PlanRequest { strategy: explained(&comparison, gathered.strategy), ..gathered };
        let notes = match schedule {
            Some(_) => simulator::plan_and_forecast(explained, &durations, schedule, runs, seed).0.notes,
            None => host_plan(explained).notes,
        };
        let answer = deadline.map(|deadline| answer(explained, deadline, &durations, runs, seed));
        (comparison, notes, answer, checks)
    });
    let (comparison, notes, deadline, checks) = compared.await.map_err(ApiError::internal)?;
    Ok(PlanComparison { notes, deadline, checks, ..wire_comparison(&comparison, observations) })
}

/// The hosts that a request is about.
pub(super) struct Hosts<'a> {
    pub policy_id: Option<&'a PolicyId>,
    pub advisory: Option<&'a str>,
    pub selector: Option<&'a Selector>,
}

/// What would be planned for them now. `missing` is the error if the request names none.
pub(super) async fn input_of(app: &App, hosts: Hosts<'_>, missing: &str) -> ApiResult<PlanInput> {
    let policy = match hosts.policy_id {
        Some(id) => policies::get_policy(&app.compliance, id).await?.policy,
        None if hosts.advisory.is_some() || hosts.selector.is_some() => plans::ad_hoc_policy()?,
        None => return Err(ApiError::invalid("", missing)),
    };
    Ok(PlanInput {
        policy,
        by_policy: hosts.policy_id.is_some(),
        advisory: hosts.advisory.map(str::to_owned),
        selector: hosts.selector.cloned(),
        strategy: None,
        run: None,
        rollback_of: None,
    })
}

/// Other settings than those of the policy.
fn try_out(input: &mut PlanInput, request: &SimulatePlans) -> ApiResult<()> {
    if let Some(hosts) = request.max_parallel {
        input.policy.max_parallel = HostCount::Number(hosts);
    }
    let Some(minutes) = request.window_minutes else { return Ok(()) };
    let invalid = |reason: String| ApiError::invalid("/window_minutes", reason);
    let window = input.policy.window.as_ref();
    let window = window.ok_or_else(|| invalid("needs a policy with a maintenance window".to_owned()))?;
    let fields = MaintenanceWindowFields { duration_minutes: minutes, ..window.fields().clone() };
    input.policy.window =
        Some(MaintenanceWindow::try_from(fields).map_err(|error| invalid(error.to_string()))?);
    Ok(())
}

/// Its figures, without what only one kind of request has.
fn wire_comparison(comparison: &Comparison, observations: i64) -> PlanComparison {
    let outcomes = comparison.outcomes.iter().map(|outcome| StrategyForecast {
        forecast: wire_forecast(outcome.strategy, &outcome.forecast, observations),
        broken_rules: outcome.broken_rules.clone(),
        same_plan_as: outcome.same_plan_as,
        pareto: outcome.pareto,
    });
    let refused = comparison.refused.iter();
    PlanComparison {
        outcomes: outcomes.collect(),
        refused: refused
            .map(|refused| RefusedStrategy { strategy: refused.strategy, reason: refused.reason.clone() })
            .collect(),
        nothing_differs: comparison.nothing_differs,
        recommended: comparison.recommendation,
        why: comparison.reason.clone(),
        notes: Vec::new(),
        remarks: Vec::new(),
        deadline: None,
        checks: Vec::new(),
    }
}

/// The strategy whose plan the notes are about: the recommended one; if all break a rule, that of the policy, or the first.
fn explained(comparison: &Comparison, of_policy: Strategy) -> Strategy {
    let planned = || comparison.outcomes.iter().map(|outcome| outcome.strategy);
    let own = planned().find(|strategy| *strategy == of_policy).or_else(|| planned().next());
    comparison.recommendation.or(own).unwrap_or(of_policy)
}

/// The plan of each strategy, checked against the same graph.
fn checks(gathered: &PlanRequest, comparison: &Comparison, failures: u32) -> Vec<PlanCheck> {
    let check = |strategy: Strategy| {
        let plan = host_plan(&PlanRequest { strategy, ..gathered.clone() });
        let verdict = check::check_hosts(&plan, &gathered.graph, failures);
        PlanCheck {
            strategy,
            failures,
            explanation: verdict.to_string(),
            verdict: match verdict {
                check::Verdict::Safe { .. } => CheckVerdict::Safe,
                check::Verdict::Unsafe(_) => CheckVerdict::Unsafe,
                check::Verdict::Undecided { .. } => CheckVerdict::Undecided,
            },
        }
    };
    comparison.outcomes.iter().map(|outcome| check(outcome.strategy)).collect()
}

/// Refuses a request whose strategies are all refused for hosts.
fn ensure_usable(strategies: &[Strategy]) -> ApiResult<()> {
    let mut reasons = strategies.iter().map(|strategy| strategy.refusal_for_hosts());
    match reasons.next().flatten() {
        Some(reason) if reasons.all(|reason| reason.is_some()) => {
            Err(ApiError::invalid("/strategies", reason))
        }
        _ => Ok(()),
    }
}

fn check(request: &SimulatePlans) -> ApiResult<()> {
    if !(1..=100_000).contains(&runs(request)) {
        return Err(ApiError::invalid("/runs", "must be 1 to 100000"));
    }
    if request.max_parallel.is_some_and(|hosts| !(1..=10_000).contains(&hosts)) {
        return Err(ApiError::invalid("/max_parallel", "must be 1 to 10000"));
    }
    let is_of_the_past = request.replay_of.is_some() || request.scenario.is_some();
    let tried = [("/max_parallel", request.max_parallel), ("/window_minutes", request.window_minutes)];
    for (pointer, given) in tried {
        if is_of_the_past && given.is_some() {
            return Err(ApiError::invalid(pointer, "applies to hosts that would be patched now"));
        }
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
    if request.check_failures.is_some_and(|failures| failures > 20) {
        return Err(ApiError::invalid("/check_failures", "must be 0 to 20"));
    }
    if request.check_failures.is_some() && request.replay_of.is_some() {
        let reason = "applies to hosts that would be patched now; a replay is about a run that has ended";
        return Err(ApiError::invalid("/check_failures", reason));
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
