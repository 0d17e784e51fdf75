//! Simulates a scenario from the request body.

use api_types::patch::{Forecast, PlanComparison, RefusedStrategy, SimulatePlans, StrategyForecast};
use service_kit::{ApiError, ApiResult};
use simulator::native::{self, NativeOptions, Sampling, ScenarioOutcome};

use super::{runs, strategies};

/// Nodes of the batches of `batch_rolling`.
const BATCH_SIZE: usize = 2;
/// Limit of nodes in all simulations together: about ten seconds of work. `patchctl simulate -f` has no limit.
const MAX_PLAYED_NODES: u64 = 50_000_000;

pub(super) async fn simulate(request: &SimulatePlans, yaml: String) -> ApiResult<PlanComparison> {
    if request.deadline_seconds.is_some() {
        let reason = "applies to hosts only; use `patchctl simulate -f --deadline` for a scenario";
        return Err(ApiError::invalid("/deadline_seconds", reason));
    }
    if request.check_failures.is_some() {
        let reason = "applies to hosts only; use `patchctl simulate -f --check` for a scenario";
        return Err(ApiError::invalid("/check_failures", reason));
    }
    let (strategies, runs, seed) = (strategies(request), runs(request), request.seed);
    let simulated = tokio::task::spawn_blocking(move || {
        let scenario = planner::scenario::read("scenario", &yaml)
            .map_err(|error| ApiError::invalid("/scenario", error.to_string()))?;
        let played = scenario.nodes.len() as u64 * u64::from(runs) * strategies.len() as u64;
        if played > MAX_PLAYED_NODES {
            let reason = format!(
                "needs {played} simulated nodes, at most {MAX_PLAYED_NODES} are allowed; request fewer runs or strategies"
            );
            return Err(ApiError::invalid("/runs", reason));
        }
        let options = NativeOptions::default();
        Ok(native::compare(&scenario, &strategies, BATCH_SIZE, &options, &Sampling::new(runs, seed)))
    });
    let comparison = simulated.await.map_err(ApiError::internal)??;
    let refused = comparison.outcomes.iter().filter_map(|outcome| {
        Some(RefusedStrategy { strategy: outcome.strategy, reason: outcome.refused.clone()? })
    });
    let refused: Vec<RefusedStrategy> = refused.collect();
    Ok(PlanComparison {
        remarks: refused.iter().map(|it| format!("`{}`: {}", it.strategy, it.reason)).collect(),
        refused,
        nothing_differs: comparison.nothing_differs,
        checks: Vec::new(),
        outcomes: comparison.outcomes.iter().filter_map(forecast).collect(),
        recommended: comparison.recommendation,
        why: comparison.reason,
        notes: Vec::new(),
        deadline: None,
    })
}

/// A node counts as a host, a step as a wave.
fn forecast(outcome: &ScenarioOutcome) -> Option<StrategyForecast> {
    let (plan, result) = (outcome.plan.as_ref()?, outcome.result.as_ref()?);
    let forecast = Forecast {
        strategy: outcome.strategy,
        waves: plan.steps.len() as u32,
        duration_p50_seconds: result.duration_seconds.p50,
        duration_p95_seconds: result.duration_seconds.p95,
        expected_failed_hosts: result.failed_nodes.mean,
        halt_probability: result.halt.value,
        max_hosts_down: result.most_nodes_down.max as u32,
        expected_begun_hosts: result.begun_nodes.mean,
        done_in_window_probability: result.done_in_window.map(|share| share.value),
        expected_service_down_seconds: result.downtime_seconds.mean,
        exposure: result.exposure.mean,
        exposure_p50: Some(result.compared_exposure().p50),
        exposure_p95: Some(result.compared_exposure().p95),
        simulations: result.runs,
        observations: 0,
    };
    Some(StrategyForecast {
        forecast,
        broken_rules: Vec::new(),
        same_plan_as: outcome.same_plan_as,
        pareto: outcome.pareto,
    })
}
