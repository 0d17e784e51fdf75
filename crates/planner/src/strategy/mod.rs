//! Rollout plans of a scenario's nodes under each strategy.
//!
//! These follow the published rules of the strategies to the letter, so that their figures can be compared with other
//! tools. Plans of real hosts, with budgets and gates, are made by [`host_plan`](crate::host_plan).

mod batches;
mod ground;
mod groups;
mod node_plan;
mod turns;

use std::{collections::HashMap, sync::Arc};

use domain::{
    plan::{Plan, WaveKind},
    strategy::Strategy,
};

pub use self::node_plan::{Action, NodePlan, PlanStep, StepName};
use self::{ground::Ground, node_plan::Part};
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

/// Plans a scenario under one strategy after the other; what they all need to know of it is found out once.
pub struct Planner<'a>(Ground<'a>);

impl<'a> Planner<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        Self(Ground::new(scenario))
    }

    /// The plan of one strategy. `batch_size` matters to `batch_rolling` alone.
    pub fn plan(&self, strategy: Strategy, batch_size: usize) -> Result<NodePlan, PlanError> {
        let ground = &self.0;
        let mut plan = NodePlan::new(strategy);
        match strategy {
            Strategy::BigBang => {
                plan.add(StepName::Numbered(Action::Patch, 1), Action::Patch, ground.patchable())
            }
            Strategy::Rolling => batches::rolling(ground, &mut plan),
            Strategy::BatchRolling if batch_size == 0 => return Err(PlanError::EmptyBatch),
            Strategy::BatchRolling => batches::batch_rolling(ground, batch_size, &mut plan),
            Strategy::Canary => batches::canary(ground, &mut plan),
            Strategy::BlueGreen => {
                plan.add(StepName::Whole(Part::Build), Action::BlueGreenBuild, ground.patchable());
                plan.add(StepName::Whole(Part::Switch), Action::BlueGreenSwitch, ground.patchable());
            }
            Strategy::DepGreedy => groups::dep_greedy(ground, &mut plan)?,
            Strategy::Hybrid => groups::hybrid(ground, &mut plan),
        }
        Ok(plan)
    }
}

/// [`Planner::plan`] for one plan.
pub fn plan(scenario: &Scenario, strategy: Strategy, batch_size: usize) -> Result<NodePlan, PlanError> {
    Planner::new(scenario).plan(strategy, batch_size)
}

/// The waves of a plan of hosts as steps over a scenario made [from their graph](crate::scenario::from_graph), so that the
/// very plan can be simulated, checked and drawn. Pilots gate as canaries do; soak times become pauses.
pub fn of_waves(scenario: &Scenario, plan: &Plan) -> NodePlan {
    let nodes = scenario.nodes.iter().enumerate();
    let index_of: HashMap<&str, usize> = nodes.map(|(index, node)| (node.id.as_str(), index)).collect();
    let mut steps = NodePlan::new(plan.strategy);
    for wave in &plan.waves {
        let hosts = wave.hosts.iter().filter_map(|host| index_of.get(host.as_str()).copied());
        let action = match wave.kind {
            WaveKind::Staging | WaveKind::Pilot => Action::PatchCanary,
            WaveKind::Batch => Action::Patch,
        };
        steps.add(StepName::Text(Arc::new(wave.name.clone())), action, hosts);
        if wave.gate.soak_seconds > 0 {
            let name = format!("{}-soak", wave.name);
            steps.pause(StepName::Text(Arc::new(name)), wave.gate.soak_seconds, true);
        }
    }
    steps
}
