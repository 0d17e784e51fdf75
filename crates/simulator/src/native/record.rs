//! The recorder of a run: it keeps every event, or none.

use planner::{Scenario, strategy::StepName};

use crate::output::Event;

pub trait Record {
    fn node(&mut self, now: u64, event: &'static str, step: &StepName, node: usize);
    fn step(&mut self, now: u64, event: &'static str, step: &StepName, duration_ms: Option<u64>);
}

/// Records nothing; for the thousands of runs of a Monte Carlo simulation.
pub struct Nobody;

impl Record for Nobody {
    fn node(&mut self, _: u64, _: &'static str, _: &StepName, _: usize) {}
    fn step(&mut self, _: u64, _: &'static str, _: &StepName, _: Option<u64>) {}
}

pub struct Log<'a> {
    scenario: &'a Scenario,
    pub events: Vec<Event>,
}

impl<'a> Log<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, events: Vec::new() }
    }
}

impl Record for Log<'_> {
    fn node(&mut self, now: u64, event: &'static str, step: &StepName, node: usize) {
        let node_id = Some(self.scenario.nodes[node].id.clone());
        self.events.push(Event { node_id, ..Event::of_step(now, event, step.to_string()) });
    }

    fn step(&mut self, now: u64, event: &'static str, step: &StepName, duration_ms: Option<u64>) {
        self.events.push(Event { duration_ms, ..Event::of_step(now, event, step.to_string()) });
    }
}
