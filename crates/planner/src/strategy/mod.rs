//! Rollout plans of a scenario's nodes under each strategy.
//!
//! These follow the published rules of the strategies to the letter, so that their figures can be compared with other
//! tools. Plans of real hosts, with budgets and gates, are made by [`host_plan`](crate::host_plan).

mod batches;
mod groups;
mod indexed_scenario;
mod node_plan;

use domain::strategy::Strategy;

pub use self::node_plan::{Action, NodePlan, PlanStep, StepName};
use self::{indexed_scenario::IndexedScenario, node_plan::Part};
use crate::scenario::Scenario;

/// Seconds between the canaries and the rest.
const CANARY_PAUSE_SECONDS: u32 = 60;
/// Seconds after each group of `hybrid`.
const GUARDRAIL_PAUSE_SECONDS: u32 = 30;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("dependency cycle detected through {}; cannot build a dependency-aware plan", .0.join(", "))]
    DependencyCycle(Vec<String>),
    #[error("the batch size must be at least 1")]
    EmptyBatch,
}

/// Plans a scenario under several strategies; the data that all of them need is computed once.
pub struct Planner<'a>(IndexedScenario<'a>);

impl<'a> Planner<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        Self(IndexedScenario::new(scenario))
    }

    /// The plan of one strategy. `batch_size` matters only to `batch_rolling`.
    pub fn plan(&self, strategy: Strategy, batch_size: usize) -> Result<NodePlan, PlanError> {
        let indexed = &self.0;
        let mut plan = NodePlan::new(strategy);
        match strategy {
            Strategy::BigBang => {
                plan.add(StepName::Numbered(Action::Patch, 1), Action::Patch, indexed.patchable())
            }
            Strategy::Rolling => batches::rolling(indexed, &mut plan),
            Strategy::BatchRolling if batch_size == 0 => return Err(PlanError::EmptyBatch),
            Strategy::BatchRolling => batches::batch_rolling(indexed, batch_size, &mut plan),
            Strategy::Canary => batches::canary(indexed, &mut plan),
            Strategy::BlueGreen => {
                plan.add(StepName::Whole(Part::Build), Action::BlueGreenBuild, indexed.patchable());
                plan.add(StepName::Whole(Part::Switch), Action::BlueGreenSwitch, indexed.patchable());
            }
            Strategy::DepGreedy => groups::dep_greedy(indexed, &mut plan)?,
            Strategy::Hybrid => groups::hybrid(indexed, &mut plan),
        }
        Ok(plan)
    }
}

/// [`Planner::plan`] for one plan.
pub fn plan(scenario: &Scenario, strategy: Strategy, batch_size: usize) -> Result<NodePlan, PlanError> {
    Planner::new(scenario).plan(strategy, batch_size)
}
