//! What-if: the strategies compared for the current hosts, a finished run or a scenario.

use domain::{
    ids::{PolicyId, RunId},
    plan::Note,
    selector::Selector,
    strategy::Strategy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Forecast;

/// What to simulate: the plan that a run would have now, a finished run, or a scenario, under all or named strategies.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatePlans {
    pub policy_id: Option<PolicyId>,
    pub advisory: Option<String>,
    pub selector: Option<Selector>,
    /// A finished run to replay under other strategies, with the actual durations and faults of its hosts. Excludes the fields
    /// above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<RunId>,
    /// A scenario as YAML. Excludes the fields above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Empty: all.
    pub strategies: Vec<Strategy>,
    /// Simulations per strategy, 1 to 100,000; 1,000 by default.
    pub runs: Option<u32>,
    pub seed: u64,
    /// At most so many hosts at once, 1 to 10,000, instead of the policy's `max_parallel`. Only for hosts that would be patched now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Minutes from opening to closing, 1 to 10,080, instead of those of the policy's window. Only for a policy with a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_minutes: Option<u32>,
    /// Deadline in seconds. The answer says what the recommended strategy needs to meet it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<f64>,
    /// The share of runs that must meet the deadline, above 0 and below 1; 0.95 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Prove for each plan of hosts that no service falls below its `min_up` while this many hosts fail, 0 to 20, or show how
    /// it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_failures: Option<u32>,
}

/// The forecasts, and the recommended strategy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanComparison {
    pub outcomes: Vec<StrategyForecast>,
    /// Requested strategies that have no plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedStrategy>,
    /// Every strategy has the same figures, so it does not matter which is chosen. False for fewer than two.
    #[serde(default)]
    pub nothing_differs: bool,
    /// Of equally good plans, that of the gentlest strategy: `canary`, `batch_rolling`, `hybrid`, `dep_greedy`, `rolling`,
    /// `bluegreen`, `bigbang`. Absent if every plan breaks a rule.
    pub recommended: Option<Strategy>,
    pub why: String,
    /// Remarks about the recommended plan.
    pub notes: Vec<Note>,
    /// For a replay, where each strategy would have stopped; for a scenario, why a strategy has no plan.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// The answer to the deadline, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DeadlineAnswer>,
    /// One for each plan of hosts, if `check_failures` was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PlanCheck>,
}

/// The forecast of a plan among those of the other strategies.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StrategyForecast {
    #[serde(flatten)]
    pub forecast: Forecast,
    /// The rules that the plan breaks. Its figures show the harm, but it is never executed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_rules: Vec<Note>,
    /// The gentlest other strategy with the same hosts in the same waves behind the same gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_plan_as: Option<Strategy>,
    /// On the Pareto front: no other plan that breaks no rule is at least as good in duration, service downtime, exposure and
    /// halts, and better in one.
    #[serde(default)]
    pub pareto: bool,
}

/// A strategy without a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedStrategy {
    pub strategy: Strategy,
    /// Why, and what to use instead.
    pub reason: String,
}

/// Whether a plan keeps every service at its `min_up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanCheck {
    pub strategy: Strategy,
    /// Hosts that may fail at a time.
    pub failures: u32,
    pub verdict: CheckVerdict,
    /// The verdict as a sentence, with the events that lead to an outage.
    pub explanation: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Proven: every reachable state was visited.
    Safe,
    Unsafe,
    /// There are too many states to visit.
    Undecided,
}

/// What is needed to meet a deadline.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeadlineAnswer {
    pub strategy: Strategy,
    pub seconds: f64,
    pub confidence: f64,
    pub meets: bool,
    /// The smallest parallelism that meets the deadline. Absent if none does, or no change is needed.
    pub max_parallel: Option<u32>,
    /// Seconds of the shortest window that is enough at the current parallelism. Absent if none is long enough.
    pub window_seconds: Option<f64>,
    /// The answer in a sentence, or why nothing helps.
    pub why: String,
    /// The attempts, by increasing parallelism.
    pub tried: Vec<DeadlineTry>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeadlineTry {
    pub max_parallel: u32,
    pub waves: u32,
    /// Share of runs that are done by the deadline.
    pub done_in_time: f64,
    /// Seconds of the window that the confidence needs. Absent if none is long enough.
    pub window_seconds: Option<f64>,
}
