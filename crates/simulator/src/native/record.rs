//! Who listens to a run: somebody who keeps every event, or nobody.

use planner::Scenario;

use crate::output::Event;

pub trait Record {
    fn node(&mut self, now: u64, event: &'static str, step_id: &str, node: usize);
    fn step(&mut self, now: u64, event: &'static str, step_id: &str, duration_ms: Option<u64>);
}

/// Thousands of runs are played to nobody.
pub struct Nobody;

impl Record for Nobody {
    fn node(&mut self, _: u64, _: &'static str, _: &str, _: usize) {}
    fn step(&mut self, _: u64, _: &'static str, _: &str, _: Option<u64>) {}
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
    fn node(&mut self, now: u64, event: &'static str, step_id: &str, node: usize) {
        let node_id = Some(self.scenario.nodes[node].id.clone());
        self.events.push(Event { node_id, ..Event::of_step(now, event, step_id.to_owned()) });
    }

    fn step(&mut self, now: u64, event: &'static str, step_id: &str, duration_ms: Option<u64>) {
        self.events.push(Event { duration_ms, ..Event::of_step(now, event, step_id.to_owned()) });
    }
}
