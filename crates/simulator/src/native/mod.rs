//! The native mode: a discrete-event simulation of a scenario's plan.
//!
//! Where the reference refuses a plan, this one plays it and measures the harm. Nodes of a step start as others finish,
//! within `max_parallel` and inside the windows; attempts take a random time and fail in several ways; who failed is
//! rolled back and tried again; a failed canary halts the run and so do too many failures; a host takes what it contains
//! down with it, and a service below its `min_up` degrades those that depend on it; a second set costs capacity and can
//! fail; what is not patched stays exposed. Time is in milliseconds.

mod adjacency;
mod compare;
mod engine;
mod metrics;
mod monte_carlo;
mod options;
mod record;
mod stage;
mod world;

pub use self::{
    compare::{ScenarioComparison, ScenarioOutcome, compare},
    metrics::{NativeMetrics, ServiceDowntime},
    monte_carlo::{MonteCarlo, ServiceRisk, monte_carlo},
    options::{FailureMix, NativeOptions, Window},
};

use planner::{NodePlan, Scenario};

use self::{engine::Engine, record::Log, stage::Stage};
use crate::output::Event;

#[derive(Debug, Clone, PartialEq)]
pub struct NativeRun {
    pub metrics: NativeMetrics,
    pub events: Vec<Event>,
}

/// Plays the plan once and keeps every event.
pub fn run(scenario: &Scenario, plan: &NodePlan, options: &NativeOptions, seed: u64) -> NativeRun {
    let stage = Stage::new(scenario, options);
    let mut log = Log::new(scenario);
    let mut engine = Engine::new(&stage);
    engine.play(plan, seed, 0, &mut log);
    NativeRun { metrics: engine.metrics(), events: log.events }
}
