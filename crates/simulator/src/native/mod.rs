//! The native mode: a discrete-event simulation of a scenario's plan.
//!
//! Where the reference refuses a plan, this one plays it and measures the harm. Nodes start as others finish, within
//! `max_parallel` and inside the windows, and no step waits for the whole step before: of later steps begins whoever its
//! service spares, never more of a service at once than one step of the plan takes, and by `dep_greedy` whoever depends on
//! nobody still to come. Pauses, canaries and second sets are what stands between steps. Attempts take a random time and fail in several ways; who failed is
//! rolled back and tried again; a failed canary halts the run and so do too many failures; a host takes what it contains
//! down with it, and a service below its `min_up` degrades those that depend on it; a second set costs capacity and can
//! fail; what is not patched stays exposed. Time is in milliseconds.

mod adjacency;
mod agenda;
mod attempt;
mod compare;
mod course;
mod engine;
mod indexed_scenario;
mod links;
mod metrics;
mod monte_carlo;
mod options;
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
    course::Course,
    engine::Engine,
    indexed_scenario::IndexedScenario,
    record::{Log, Nobody},
    world::World,
};
use crate::output::Event;

#[derive(Debug, Clone, PartialEq)]
pub struct NativeRun {
    pub metrics: NativeMetrics,
    pub events: Vec<Event>,
}

/// A scenario made ready to play; the work of that is shared by all plans and runs.
pub struct Simulation<'a> {
    indexed: IndexedScenario<'a>,
    /// As everything stands before a run.
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
        engine.play(&Course::new(&self.indexed, plan), seed, 0, &mut log);
        NativeRun { metrics: engine.metrics(), events: log.events }
    }

    /// Plays the plan once for its figures alone.
    pub fn measure(&self, plan: &NodePlan, seed: u64) -> NativeMetrics {
        let mut engine = Engine::new(&self.indexed, &self.start);
        engine.play(&Course::new(&self.indexed, plan), seed, 0, &mut Nobody);
        engine.metrics()
    }

    /// Plays the plan many times on all cores. The result depends on its arguments alone, not on the number of cores.
    pub fn monte_carlo(&self, plan: &NodePlan, sampling: &Sampling) -> MonteCarlo {
        monte_carlo::play(&self.indexed, &self.start, plan, sampling)
    }
}

/// [`Simulation::run`] for one plan.
pub fn run(scenario: &Scenario, plan: &NodePlan, options: &NativeOptions, seed: u64) -> NativeRun {
    Simulation::new(scenario, options).run(plan, seed)
}
