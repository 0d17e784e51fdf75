//! Rollout plans of a scenario's nodes under each strategy.
//!
//! These follow the published rules of the strategies to the letter, so that their figures can be compared with other
//! tools. Plans of real hosts, with budgets and gates, are made by [`host_plan`](crate::host_plan).

mod batches;
mod groups;

use std::collections::HashMap;

use domain::{
    plan::{Plan, WaveKind},
    strategy::Strategy,
};
use serde::Serialize;

use crate::scenario::Scenario;

/// Seconds between the canaries and the rest.
const CANARY_PAUSE_SECONDS: u32 = 60;
/// Seconds after each group of `hybrid`.
const GUARDRAIL_PAUSE_SECONDS: u32 = 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    pub strategy: Strategy,
    pub steps: Vec<Step>,
}

/// Steps run one after the other; the nodes of a step side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub id: String,
    pub action: Action,
    /// Indexes into the scenario's nodes.
    pub nodes: Vec<usize>,
    pub pause_seconds: u32,
    /// A pause that stands there for safety and is counted.
    pub guardrail: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Patch,
    PatchCanary,
    Pause,
    /// A second, patched set is built beside the first.
    #[serde(rename = "bluegreen_build")]
    BlueGreenBuild,
    /// The second set takes over.
    #[serde(rename = "bluegreen_switch")]
    BlueGreenSwitch,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("dependency cycle detected through {}; cannot build a dependency-aware plan", .0.join(", "))]
    DependencyCycle(Vec<String>),
    #[error("the batch size must be at least 1")]
    EmptyBatch,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::PatchCanary => "patch_canary",
            Self::Pause => "pause",
            Self::BlueGreenBuild => "bluegreen_build",
            Self::BlueGreenSwitch => "bluegreen_switch",
        }
    }

    pub fn patches_in_place(self) -> bool {
        matches!(self, Self::Patch | Self::PatchCanary)
    }
}

/// Whether each step has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepIds {
    Unique,
    /// As the reference simulator writes them: some strategies call every step `patch-1`.
    Reference,
}

/// The plan of one strategy. `batch_size` matters to `batch_rolling` alone.
pub fn plan(
    scenario: &Scenario,
    strategy: Strategy,
    batch_size: usize,
    ids: StepIds,
) -> Result<NodePlan, PlanError> {
    let mut steps = match strategy {
        Strategy::BigBang => vec![Step::patch("patch-1", scenario.patchable())],
        Strategy::Rolling => numbered(batches::rolling(scenario)),
        Strategy::BatchRolling if batch_size == 0 => return Err(PlanError::EmptyBatch),
        Strategy::BatchRolling => numbered(batches::batch_rolling(scenario, batch_size)),
        Strategy::Canary => batches::canary(scenario),
        Strategy::BlueGreen => {
            let all = scenario.patchable();
            vec![
                Step::new("bluegreen-build", Action::BlueGreenBuild, all.clone()),
                Step::new("bluegreen-switch", Action::BlueGreenSwitch, all),
            ]
        }
        Strategy::DepGreedy => groups::dep_greedy(scenario)?,
        Strategy::Hybrid => groups::hybrid(scenario),
    };
    if ids == StepIds::Unique {
        for action in [Action::Patch, Action::PatchCanary] {
            let same_name = |step: &&mut Step| step.action == action && step.id.starts_with("patch");
            for (number, step) in steps.iter_mut().filter(same_name).enumerate() {
                step.id = format!("{}-{}", action.name(), number + 1);
            }
        }
    }
    Ok(NodePlan { strategy, steps })
}

/// The waves of a plan of hosts as steps over a scenario made [from their graph](crate::scenario::from_graph), so that the
/// very plan can be simulated, checked and drawn. Pilots gate as canaries do; soak times become pauses.
pub fn of_waves(scenario: &Scenario, plan: &Plan) -> NodePlan {
    let nodes = scenario.nodes.iter().enumerate();
    let index_of: HashMap<&str, usize> = nodes.map(|(index, node)| (node.id.as_str(), index)).collect();
    let mut steps = Vec::new();
    for wave in &plan.waves {
        let hosts = wave.hosts.iter().filter_map(|host| index_of.get(host.as_str()).copied()).collect();
        let action = match wave.kind {
            WaveKind::Staging | WaveKind::Pilot => Action::PatchCanary,
            WaveKind::Batch => Action::Patch,
        };
        steps.push(Step::new(&wave.name, action, hosts));
        if wave.gate.soak_seconds > 0 {
            steps.push(Step::pause(format!("{}-soak", wave.name), wave.gate.soak_seconds, true));
        }
    }
    NodePlan { strategy: plan.strategy, steps }
}

impl Step {
    fn new(id: impl Into<String>, action: Action, nodes: Vec<usize>) -> Self {
        Self { id: id.into(), action, nodes, pause_seconds: 0, guardrail: false }
    }

    fn patch(id: impl Into<String>, nodes: Vec<usize>) -> Self {
        Self::new(id, Action::Patch, nodes)
    }

    fn pause(id: impl Into<String>, pause_seconds: u32, guardrail: bool) -> Self {
        Self { id: id.into(), action: Action::Pause, nodes: Vec::new(), pause_seconds, guardrail }
    }
}

fn numbered(batches: Vec<Vec<usize>>) -> Vec<Step> {
    let numbers = 1..;
    batches.into_iter().zip(numbers).map(|(nodes, n)| Step::patch(format!("patch-{n}"), nodes)).collect()
}
