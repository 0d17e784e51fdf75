//! The same hosts under every strategy, and which one to take.

use domain::{
    plan::{NoteSeverity, Plan, PlanHash},
    strategy::Strategy,
};
use planner::{PlanRequest, host_plan};
use serde::{Deserialize, Serialize};

use crate::forecast::{DurationModel, Forecast, forecast};

/// Differences below one part in a hundred are luck, not merit.
const TELLING: f64 = 0.01;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// In the order asked for.
    pub outcomes: Vec<StrategyOutcome>,
    /// Absent when every plan breaks a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<Strategy>,
    /// Why, in a sentence for the approver.
    pub reason: String,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StrategyOutcome {
    pub strategy: Strategy,
    pub plan_hash: PlanHash,
    pub waves: u32,
    pub errors: u32,
    pub warnings: u32,
    /// No other plan without errors is at least as good in time, downtime and exposure and better in one.
    pub pareto: bool,
    pub forecast: Forecast,
}

/// Plans and plays the request under each strategy, all with the same luck. The request's own strategy plays no part.
pub fn compare(
    request: &PlanRequest,
    strategies: &[Strategy],
    model: &DurationModel,
    runs: u32,
    seed: u64,
) -> Comparison {
    let mut request = request.clone();
    let mut outcomes: Vec<StrategyOutcome> = Vec::new();
    for strategy in strategies {
        request.strategy = *strategy;
        let plan = host_plan(&request);
        let forecast = forecast(&plan, &request.graph, model, runs, seed);
        outcomes.push(outcome(&plan, forecast));
    }
    mark_pareto(&mut outcomes);
    let (recommendation, reason) = recommend(&outcomes);
    Comparison { outcomes, recommendation, reason }
}

fn outcome(plan: &Plan, forecast: Forecast) -> StrategyOutcome {
    let count = |severity| plan.notes.iter().filter(|note| note.severity == severity).count() as u32;
    StrategyOutcome {
        strategy: plan.strategy,
        plan_hash: plan.hash(),
        waves: plan.waves.len() as u32,
        errors: count(NoteSeverity::Error),
        warnings: count(NoteSeverity::Warning),
        pareto: false,
        forecast,
    }
}

/// What is traded: time at P95, expected downtime, expected exposure. Less is better in each.
fn objectives(outcome: &StrategyOutcome) -> [f64; 3] {
    let forecast = &outcome.forecast;
    [forecast.duration_seconds.p95, forecast.downtime_seconds.mean, forecast.exposure.mean]
}

fn mark_pareto(outcomes: &mut [StrategyOutcome]) {
    let allowed: Vec<[f64; 3]> = outcomes.iter().filter(|o| o.errors == 0).map(objectives).collect();
    for outcome in outcomes.iter_mut() {
        let own = objectives(outcome);
        let beats_it = |other: &[f64; 3]| {
            let pairs = || other.iter().zip(&own);
            pairs().all(|(other, own)| other <= own) && pairs().any(|(other, own)| other < own)
        };
        outcome.pareto = outcome.errors == 0 && !allowed.iter().any(beats_it);
    }
}

/// Among the plans of the Pareto front: least downtime first; of those as good, the least product of time, exposure and
/// hosts expected to fail, each relative to the best of the front. Ties go to the order of the table.
fn recommend(outcomes: &[StrategyOutcome]) -> (Option<Strategy>, String) {
    let front: Vec<&StrategyOutcome> = outcomes.iter().filter(|outcome| outcome.pareto).collect();
    let downtime = |outcome: &StrategyOutcome| outcome.forecast.downtime_seconds.mean;
    let least_downtime = front.iter().map(|outcome| downtime(outcome)).fold(f64::INFINITY, f64::min);
    let calm: Vec<&StrategyOutcome> = front
        .iter()
        .copied()
        .filter(|outcome| downtime(outcome) <= least_downtime * (1.0 + TELLING) + 1.0)
        .collect();
    let costs = |outcome: &StrategyOutcome| {
        let forecast = &outcome.forecast;
        [forecast.duration_seconds.p95, forecast.exposure.mean, forecast.failed_hosts.mean]
    };
    let mut best = [f64::INFINITY; 3];
    for outcome in &calm {
        let costs = costs(outcome);
        (0..3).for_each(|index| best[index] = best[index].min(costs[index]));
    }
    // One is added to both sides so that a best of zero divides nothing by zero.
    let score = |outcome: &StrategyOutcome| -> f64 {
        costs(outcome).iter().zip(&best).map(|(cost, best)| ((cost + 1.0) / (best + 1.0)).ln()).sum()
    };
    let mut chosen: Option<&StrategyOutcome> = None;
    for outcome in &calm {
        if chosen.is_none_or(|chosen| score(outcome) < score(chosen) - TELLING * TELLING) {
            chosen = Some(outcome);
        }
    }
    match chosen {
        Some(chosen) => (Some(chosen.strategy), reason(chosen, &calm, outcomes)),
        None => (None, "no strategy makes a plan without errors; the notes of each plan say why".to_owned()),
    }
}

fn reason(chosen: &StrategyOutcome, calm: &[&StrategyOutcome], all: &[StrategyOutcome]) -> String {
    let forecast = &chosen.forecast;
    let mut text = format!(
        "`{}` ends within {} in 95 % of {} runs, halts in {:.1} % of them, leaves {:.1} hosts unpatched on average",
        chosen.strategy,
        minutes(forecast.duration_seconds.p95),
        forecast.runs,
        forecast.halt.value * 100.0,
        forecast.unpatched_hosts.mean,
    );
    text += &match forecast.downtime_seconds.mean {
        0.0 => " and never takes a service below its min_up".to_owned(),
        seconds => format!(" and costs {seconds:.0} s of service below min_up on average"),
    };
    let least = |metric: fn(&StrategyOutcome) -> f64| {
        calm.iter().copied().min_by(|a, b| metric(a).total_cmp(&metric(b)))
    };
    let rivals = [
        ("faster", least(|o| o.forecast.duration_seconds.p95)),
        ("less exposed", least(|o| o.forecast.exposure.mean)),
    ];
    for (word, rival) in rivals {
        if let Some(rival) = rival.filter(|rival| objectives(rival) != objectives(chosen)) {
            text += &format!(
                "; `{}` is {word} ({}, exposure {:.0} against {:.0}, {:.2} failed hosts against {:.2})",
                rival.strategy,
                minutes(rival.forecast.duration_seconds.p95),
                rival.forecast.exposure.mean,
                forecast.exposure.mean,
                rival.forecast.failed_hosts.mean,
                forecast.failed_hosts.mean,
            );
        }
    }
    let refused: Vec<String> =
        all.iter().filter(|o| o.errors > 0).map(|outcome| format!("`{}`", outcome.strategy)).collect();
    if !refused.is_empty() {
        text += &format!("; refused for errors: {}", refused.join(", "));
    }
    text
}

fn minutes(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
