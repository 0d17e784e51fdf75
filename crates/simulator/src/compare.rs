//! Compares the strategies for the same hosts, and recommends one.

use domain::{
    plan::{Note, NoteSeverity, Plan, PlanHash},
    strategy::Strategy,
};
use planner::{PlanRequest, Schedule, host_plan, lint::sorted, lint_schedule};
use serde::{Deserialize, Serialize};

use crate::{
    choice::{self, Candidate},
    forecast::{DurationModel, Forecast, forecast_within, window_note},
};

pub(crate) const NOTHING_DIFFERS: &str = "nothing differs: every strategy has the same figures";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// In the requested order.
    pub outcomes: Vec<StrategyOutcome>,
    /// Requested strategies that hosts cannot be patched by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedStrategy>,
    /// Every strategy has the same figures, so it does not matter which is chosen. False for fewer than two.
    #[serde(default)]
    pub nothing_differs: bool,
    /// Absent if every plan breaks a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<Strategy>,
    /// The reason, as a sentence for the approver.
    pub reason: String,
}

/// A strategy without a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RefusedStrategy {
    pub strategy: Strategy,
    /// Why, and what to use instead.
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
    /// The rules that the plan breaks. It is played nevertheless, to show its harm, but never executed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_rules: Vec<Note>,
    /// The gentlest other strategy with the same hosts in the same waves behind the same gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_plan_as: Option<Strategy>,
    /// No other plan without errors is at least as good in time, downtime, exposure and halts, and better in one.
    pub pareto: bool,
    pub forecast: Forecast,
}

/// The plan of a request with all its notes, including those about time, and its forecast.
pub fn plan_and_forecast(
    request: &PlanRequest,
    model: &DurationModel,
    schedule: Option<&Schedule>,
    runs: u32,
    seed: u64,
) -> (Plan, Forecast) {
    let mut plan = host_plan(&estimated(request, model));
    let forecast = forecast_within(&plan, &request.graph, model, schedule, runs, seed);
    plan.notes.extend(snapshot_note(&plan, &forecast));
    if let Some(schedule) = schedule {
        plan.notes.extend(lint_schedule(&plan, schedule));
        let window = schedule.first_window_seconds();
        plan.notes.extend(window.and_then(|seconds| window_note(&forecast, seconds)));
    }
    plan.notes = sorted(plan.notes);
    (plan, forecast)
}

/// Snapshots must last until the run has verified its hosts: until then any of them may have to return to its own.
fn snapshot_note(plan: &Plan, forecast: &Forecast) -> Option<Note> {
    let kept = f64::from(plan.snapshot_retention_hours?);
    let takes = forecast.work_seconds.p95 / 3600.0;
    let text = format!(
        "snapshots are kept for {kept} h, but the run takes up to {takes:.1} h (P95), so the first would expire before the \
         run is verified; keep them longer (snapshot_retention_hours) or give the run longer windows"
    );
    let note = Note { severity: NoteSeverity::Error, code: "snapshots-expire".to_owned(), text };
    (takes > kept).then_some(note)
}

/// The request with what the model expects: how long each host takes, and how many are worked on at once. The plan carries
/// both, so the engine admits hosts by the figures that were forecast.
pub fn estimated(request: &PlanRequest, model: &DurationModel) -> PlanRequest {
    let mut request = request.clone();
    request.forks.get_or_insert(model.forks);
    for (host, target) in &mut request.targets {
        let seconds = DurationModel::expected_seconds(model.of(host, target), request.reboot);
        target.expected_seconds = seconds.ceil() as u32;
    }
    request
}

/// [`compare_within`] for plans that may run at any time.
pub fn compare(
    request: &PlanRequest,
    strategies: &[Strategy],
    model: &DurationModel,
    runs: u32,
    seed: u64,
) -> Comparison {
    compare_within(request, strategies, model, None, runs, seed)
}

/// Plans and plays the request under each strategy, all with the same random numbers. The request's own strategy is ignored.
pub fn compare_within(
    request: &PlanRequest,
    strategies: &[Strategy],
    model: &DurationModel,
    schedule: Option<&Schedule>,
    runs: u32,
    seed: u64,
) -> Comparison {
    let mut request = request.clone();
    let (mut plans, mut outcomes, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for strategy in strategies.iter().copied() {
        if let Some(reason) = strategy.refusal_for_hosts() {
            refused.push(RefusedStrategy { strategy, reason: reason.to_owned() });
            continue;
        }
        request.strategy = strategy;
        let (plan, forecast) = plan_and_forecast(&request, model, schedule, runs, seed);
        outcomes.push(outcome(&plan, forecast));
        plans.push(plan);
    }
    for (outcome, plan) in outcomes.iter_mut().zip(&plans) {
        outcome.same_plan_as = gentlest_equal(plan, &plans);
    }
    let candidates: Vec<Candidate> = outcomes.iter().map(candidate).collect();
    for (outcome, pareto) in outcomes.iter_mut().zip(choice::pareto(&candidates)) {
        outcome.pareto = pareto;
    }
    let (recommendation, reason) = recommend(&outcomes, &candidates);
    let nothing_differs = outcomes.len() > 1
        && outcomes.iter().all(|outcome| outcome.forecast.has_figures_of(&outcomes[0].forecast));
    let reason = if nothing_differs { format!("{NOTHING_DIFFERS}; {reason}") } else { reason };
    Comparison { outcomes, refused, nothing_differs, recommendation, reason }
}

/// The gentlest strategy whose plan is equal to this one, unless it is the plan's own.
fn gentlest_equal(plan: &Plan, plans: &[Plan]) -> Option<Strategy> {
    let equal = plans.iter().filter(|other| is_same_rollout(plan, other)).map(|other| other.strategy);
    equal.min_by_key(|strategy| strategy.gentleness()).filter(|strategy| *strategy != plan.strategy)
}

/// Both do the same to the same hosts in the same order, whatever their waves are called.
fn is_same_rollout(a: &Plan, b: &Plan) -> bool {
    let steps = |plan: &Plan| {
        plan.waves.iter().map(|wave| (wave.kind, wave.hosts.clone(), wave.gate)).collect::<Vec<_>>()
    };
    a.limits == b.limits && steps(a) == steps(b)
}

fn outcome(plan: &Plan, forecast: Forecast) -> StrategyOutcome {
    let count = |severity| plan.notes.iter().filter(|note| note.severity == severity).count() as u32;
    StrategyOutcome {
        strategy: plan.strategy,
        plan_hash: plan.hash(),
        waves: plan.waves.len() as u32,
        errors: count(NoteSeverity::Error),
        warnings: count(NoteSeverity::Warning),
        broken_rules: plan.errors().cloned().collect(),
        same_plan_as: None,
        pareto: false,
        forecast,
    }
}

fn candidate(outcome: &StrategyOutcome) -> Candidate {
    let forecast = &outcome.forecast;
    Candidate {
        strategy: outcome.strategy,
        allowed: outcome.errors == 0,
        time_p95: forecast.duration_seconds.p95,
        downtime: forecast.downtime_seconds.mean,
        service_time: forecast.duration_seconds.mean * forecast.services.len() as f64,
        exposure_p50: 0.0,
        exposure_p95: 0.0,
        halted: forecast.halt.value,
        failed: forecast.failed_hosts.mean,
    }
    .with_exposure(forecast.compared_exposure())
}

fn recommend(outcomes: &[StrategyOutcome], candidates: &[Candidate]) -> (Option<Strategy>, String) {
    match choice::choose(candidates) {
        Some(chosen) => {
            let calm: Vec<&StrategyOutcome> =
                choice::calmest(candidates).into_iter().map(|index| &outcomes[index]).collect();
            (Some(outcomes[chosen].strategy), reason(&outcomes[chosen], &calm, outcomes))
        }
        None => (None, "no strategy makes a plan without errors; see the notes of each plan".to_owned()),
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
    let equal = all.iter().filter(|outcome| outcome.same_plan_as == Some(chosen.strategy));
    let equal: Vec<String> = equal.map(|outcome| format!("`{}`", outcome.strategy)).collect();
    if !equal.is_empty() {
        text += &format!("; its plan is also that of {}", equal.join(", "));
    }
    let rivals = [
        ("faster", least(|o| o.forecast.duration_seconds.p95)),
        ("less exposed", least(|o| o.forecast.compared_exposure().p95)),
    ];
    for (difference, rival) in rivals {
        if let Some(rival) = rival.filter(|rival| !candidate(rival).is_as_good_in_all(&candidate(chosen))) {
            let hours = |forecast: &Forecast| forecast.compared_exposure().p95 / 3600.0;
            text += &format!(
                "; `{}` is {difference} ({}, exposure at P95 {:.0} against {:.0} weighted hours, halts in {:.1} % of runs, \
                 {:.2} failed hosts against {:.2})",
                rival.strategy,
                minutes(rival.forecast.duration_seconds.p95),
                hours(&rival.forecast),
                hours(forecast),
                rival.forecast.halt.value * 100.0,
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

pub(crate) fn minutes(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
