//! The native mode: a discrete-event simulation of a scenario's plan.
//!
//! Where the reference refuses a plan, this mode plays it and measures the harm. Time is in milliseconds.
//!
//! - Nodes start as others finish, within `max_parallel` and inside the windows. No step waits for the whole step before
//!   it: a node of a later step starts if its service can spare it, but never more of a service at once than one step
//!   takes, and under `dep_greedy` only after its dependencies. Pauses, canaries and second sets are barriers.
//! - Attempts take a random time and fail in several ways. A failed node is rolled back and retried. A failed canary
//!   halts the run, and so do too many failures.
//! - A host takes down what it contains. A service below its `min_up` degrades its dependents.
//! - A second set costs capacity and can fail. What is not patched stays exposed.

mod adjacency;
mod agenda;
mod attempt;
mod compare;
mod engine;
mod indexed_scenario;
mod links;
mod metrics;
mod monte_carlo;
mod options;
mod prepared_plan;
mod record;
mod world;

pub use self::{
    compare::{ScenarioComparison, ScenarioOutcome, compare},
    metrics::{NativeMetrics, ServiceDowntime},
    monte_carlo::{MonteCarlo, Sampling, ServiceRisk},
    options::{FailureMix, NativeOptions, Window},
};

use planner::{NodePlan, Scenario};

use self::{
    engine::Engine,
    indexed_scenario::IndexedScenario,
    prepared_plan::PreparedPlan,
    record::{Log, Nobody},
    world::World,
};
use crate::output::Event;

#[derive(Debug, Clone, PartialEq)]
pub struct NativeRun {
    pub metrics: NativeMetrics,
    pub events: Vec<Event>,
}

/// A scenario prepared for playing; all plans and runs share it.
pub struct Simulation<'a> {
    indexed: IndexedScenario<'a>,
    /// The state before a run.
    start: World,
}

impl<'a> Simulation<'a> {
    pub fn new(scenario: &'a Scenario, options: &'a NativeOptions) -> Self {
        let indexed = IndexedScenario::new(scenario, options);
        Self { start: World::new(&indexed), indexed }
    }

    /// Plays the plan once and keeps every event.
    pub fn run(&self, plan: &NodePlan, seed: u64) -> NativeRun {
        let mut log = Log::new(self.indexed.scenario);
        let mut engine = Engine::new(&self.indexed, &self.start);
        engine.play(&PreparedPlan::new(&self.indexed, plan), seed, 0, &mut log);
        NativeRun { metrics: engine.metrics(), events: log.events }
    }

    /// Plays the plan once and returns only its figures.
    pub fn measure(&self, plan: &NodePlan, seed: u64) -> NativeMetrics {
        let mut engine = Engine::new(&self.indexed, &self.start);
        engine.play(&PreparedPlan::new(&self.indexed, plan), seed, 0, &mut Nobody);
        engine.metrics()
    }

    /// Plays the plan many times on all cores. The result depends only on its arguments, not on the number of cores.
    pub fn monte_carlo(&self, plan: &NodePlan, sampling: &Sampling) -> MonteCarlo {
        monte_carlo::play(&self.indexed, &self.start, plan, sampling)
    }
}

/// [`Simulation::run`] for one plan.
pub fn run(scenario: &Scenario, plan: &NodePlan, options: &NativeOptions, seed: u64) -> NativeRun {
    Simulation::new(scenario, options).run(plan, seed)
}
