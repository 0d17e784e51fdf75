//! Compares the strategies for a scenario, played with the same random numbers, and recommends one.

use domain::strategy::Strategy;
use planner::{NodePlan, PlanError, Scenario, strategy::plan};
use serde::Serialize;

use super::{MonteCarlo, NativeOptions, Sampling, Simulation};
use crate::{
    choice::{self, Candidate},
    compare::{NOTHING_DIFFERS, minutes},
    statistics::Spread,
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioComparison {
    pub outcomes: Vec<ScenarioOutcome>,
    /// Every strategy has the same figures, so it does not matter which is chosen. False for fewer than two.
    pub nothing_differs: bool,
    pub recommendation: Option<Strategy>,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioOutcome {
    pub strategy: Strategy,
    /// Why there is no plan; then every other field is absent.
    pub refused: Option<String>,
    #[serde(skip)]
    pub plan: Option<NodePlan>,
    pub result: Option<MonteCarlo>,
    /// The gentlest other strategy with the same nodes in the same steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_plan_as: Option<Strategy>,
    pub pareto: bool,
}

pub fn compare(
    scenario: &Scenario,
    strategies: &[Strategy],
    batch_size: usize,
    options: &NativeOptions,
    sampling: &Sampling,
) -> ScenarioComparison {
    let simulation = Simulation::new(scenario, options);
    let outcome = |strategy: &Strategy| {
        let plan = plan(scenario, *strategy, batch_size);
        let play = |plan: &NodePlan| simulation.monte_carlo(plan, sampling);
        ScenarioOutcome {
            strategy: *strategy,
            refused: plan.as_ref().err().map(PlanError::to_string),
            result: plan.as_ref().ok().map(play),
            plan: plan.ok(),
            same_plan_as: None,
            pareto: false,
        }
    };
    let mut outcomes: Vec<ScenarioOutcome> = strategies.iter().map(outcome).collect();
    let equals: Vec<Option<Strategy>> =
        outcomes.iter().map(|outcome| gentlest_equal(outcome.plan.as_ref()?, &outcomes)).collect();
    outcomes.iter_mut().zip(equals).for_each(|(outcome, equal)| outcome.same_plan_as = equal);
    let services = scenario.services.len() as f64;
    let candidates: Vec<Candidate> = outcomes.iter().map(|outcome| candidate(outcome, services)).collect();
    for (outcome, pareto) in outcomes.iter_mut().zip(choice::pareto(&candidates)) {
        outcome.pareto = pareto;
    }
    let chosen = choice::choose(&candidates).map(|index| &outcomes[index]);
    let reason = match chosen.and_then(|outcome| Some((outcome, outcome.result.as_ref()?))) {
        Some((outcome, result)) => reason(outcome.strategy, result),
        None => "no strategy can plan this scenario".to_owned(),
    };
    let recommendation = chosen.map(|outcome| outcome.strategy);
    let nothing_differs =
        outcomes.len() > 1 && outcomes.iter().all(|outcome| outcome.result == outcomes[0].result);
    let reason = if nothing_differs { format!("{NOTHING_DIFFERS}; {reason}") } else { reason };
    ScenarioComparison { recommendation, reason, nothing_differs, outcomes }
}

/// The gentlest strategy whose plan is equal to this one, unless it is the plan's own.
fn gentlest_equal(plan: &NodePlan, outcomes: &[ScenarioOutcome]) -> Option<Strategy> {
    let plans = outcomes.iter().filter_map(|outcome| outcome.plan.as_ref());
    let equal = plans.filter(|other| plan.has_steps_of(other)).map(|other| other.strategy);
    equal.min_by_key(|strategy| strategy.gentleness()).filter(|strategy| *strategy != plan.strategy)
}

fn candidate(outcome: &ScenarioOutcome, services: f64) -> Candidate {
    let figure = |metric: fn(&MonteCarlo) -> f64| outcome.result.as_ref().map_or(f64::INFINITY, metric);
    let exposure = outcome.result.as_ref().map(MonteCarlo::compared_exposure).copied();
    let unknown = Spread { p50: f64::INFINITY, p95: f64::INFINITY, ..Spread::default() };
    Candidate {
        strategy: outcome.strategy,
        allowed: outcome.result.is_some(),
        time_p95: figure(|result| result.duration_seconds.p95),
        downtime: figure(|result| result.downtime_seconds.mean),
        service_time: figure(|result| result.duration_seconds.mean) * services,
        exposure_p50: 0.0,
        exposure_p95: 0.0,
        halted: figure(|result| result.halt.value),
        failed: figure(|result| result.failed_nodes.mean),
    }
    .with_exposure(&exposure.unwrap_or(unknown))
}

fn reason(strategy: Strategy, result: &MonteCarlo) -> String {
    let mut text = format!(
        "`{strategy}` ends within {} in 95 % of {} runs, patches everything in {:.1} % of them",
        minutes(result.duration_seconds.p95),
        result.runs,
        result.fully_patched.value * 100.0,
    );
    text += &match result.services_at_risk.first() {
        None => ", and takes no service below its min_up".to_owned(),
        Some(service) => format!(
            ", and costs {:.0} s of service below min_up on average, the likeliest being `{}` ({:.1} % of runs)",
            result.downtime_seconds.mean,
            service.service,
            service.below_min_up.value * 100.0,
        ),
    };
    if result.extra_capacity_seconds.mean > 0.0 {
        text += &format!(
            "; its second set costs {:.1} node-hours on average",
            result.extra_capacity_seconds.mean / 3600.0
        );
    }
    text
}
