//! Plays a scenario's plan exactly as the published reference simulator does, flaws included.
//!
//! Steps run strictly one after the other and last as long as their longest patch. A node that restarts is down for the
//! whole step. A step that would take a service below its `min_up` ends the run. The crate exists to compare figures with
//! the published ones to the last digit; `simulator::native` models what these rules leave out.
//!
//! Pure: no network, no database, no wall clock, no global source of randomness. No crate that plans or patches depends
//! on it.

mod exposure;
mod ordered_sum;
mod python_random;
mod state;

use domain::strategy::Strategy;
use planner::{
    PlanError, Scenario,
    scenario::Health,
    strategy::{self, Action, NodePlan, StepName},
};
use simulator::output::Event;

pub use self::python_random::PythonRandom;
use self::state::State;

/// The figures under the reference's names; times in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReferenceMetrics {
    /// Length of the plan, whether its nodes were patched or not.
    pub time_to_full_patch: u64,
    pub exposure_window_weighted: f64,
    /// Edge-seconds.
    pub mixed_version_time_seconds: u64,
    pub number_of_degraded_intervals: u64,
    pub number_of_incompatibility_violations: u64,
    pub rollback_count: u64,
    /// Always 0: a plan that is refused has no metrics.
    pub plan_abort_count: u64,
    pub number_of_guardrail_pauses: u64,
    pub node_unavailability_seconds: u64,
    /// By service, always 0: a plan that would cause any is refused.
    pub total_downtime_seconds: Vec<(String, u64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceRun {
    pub metrics: ReferenceMetrics,
    pub events: Vec<Event>,
    pub patched_nodes: usize,
    pub failed_nodes: usize,
}

/// The plan is refused: a step would take services below their `min_up`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Availability constraint violated before step {step_id}: [{}]", quoted(.violations))]
pub struct Refused {
    pub step_id: String,
    /// `service=web healthy=0 min_up=2`, in the order of the scenario's services.
    pub violations: Vec<String>,
}

fn quoted(violations: &[String]) -> String {
    violations.iter().map(|violation| format!("'{violation}'")).collect::<Vec<_>>().join(", ")
}

/// The planner's plan with the step ids of the reference, which calls every step of some strategies `patch-1`.
pub fn plan(scenario: &Scenario, strategy: Strategy, batch_size: usize) -> Result<NodePlan, PlanError> {
    let mut plan = strategy::plan(scenario, strategy, batch_size)?;
    if matches!(strategy, Strategy::Canary | Strategy::DepGreedy) {
        for step in &mut plan.steps {
            if let StepName::Numbered(_, number) = &mut step.name {
                *number = 1;
            }
        }
    }
    Ok(plan)
}

/// Plays the plan once.
pub fn run(scenario: &Scenario, plan: &NodePlan, seed: i64) -> Result<ReferenceRun, Refused> {
    let mut random = PythonRandom::new(seed);
    let mut state = State::new(scenario);
    let mut events = Vec::new();
    for step in &plan.steps {
        let longest = plan.nodes_of(step).map(|node| scenario.nodes[node].patch.duration_seconds).max();
        let duration = u64::from(longest.unwrap_or(0));
        match step.action {
            Action::Patch | Action::PatchCanary => {
                let nodes = plan.node_numbers(step);
                state.patch(&step.name.to_string(), nodes, duration, &mut random, &mut events)?;
            }
            Action::Pause => {
                state.pass(u64::from(step.pause_seconds));
                state.metrics.number_of_guardrail_pauses += u64::from(step.guardrail);
                let event = Event::of_step(state.now_ms(), "pause", step.name.to_string());
                events.push(Event { duration_ms: Some(u64::from(step.pause_seconds) * 1000), ..event });
            }
            Action::BlueGreenBuild => {
                state.pass(duration);
                events.push(Event {
                    node_ids: Some(names(scenario, plan.node_numbers(step))),
                    duration_ms: Some(duration * 1000),
                    ..Event::of_step(state.now_ms(), "bluegreen_build", step.name.to_string())
                });
            }
            Action::BlueGreenSwitch => {
                plan.nodes_of(step).for_each(|node| state.set_patched(node));
                events.push(Event {
                    node_ids: Some(names(scenario, plan.node_numbers(step))),
                    ..Event::of_step(state.now_ms(), "bluegreen_switch", step.name.to_string())
                });
            }
        }
    }
    let failed_nodes = state.health.iter().filter(|health| **health == Health::Failed).count();
    let patched_nodes = state.patched_count();
    Ok(ReferenceRun { metrics: state.finish(), events, patched_nodes, failed_nodes })
}

fn names(scenario: &Scenario, nodes: &[u32]) -> Vec<String> {
    nodes.iter().map(|node| scenario.nodes[*node as usize].id.clone()).collect()
}

impl ReferenceMetrics {
    /// Name and value of each row, in the reference's order and spelling.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("time_to_full_patch".to_owned(), self.time_to_full_patch.to_string()),
            ("exposure_window_weighted".to_owned(), python_float(self.exposure_window_weighted)),
        ];
        let counts = [
            ("mixed_version_time_seconds", self.mixed_version_time_seconds),
            ("number_of_degraded_intervals", self.number_of_degraded_intervals),
            ("number_of_incompatibility_violations", self.number_of_incompatibility_violations),
            ("rollback_count", self.rollback_count),
            ("plan_abort_count", self.plan_abort_count),
            ("number_of_guardrail_pauses", self.number_of_guardrail_pauses),
            ("node_unavailability_seconds", self.node_unavailability_seconds),
        ];
        rows.extend(counts.map(|(name, count)| (name.to_owned(), count.to_string())));
        for name in ["total_downtime_seconds", "max_continuous_downtime_seconds"] {
            let services = &self.total_downtime_seconds;
            rows.extend(services.iter().map(|(service, s)| (format!("{name}.{service}"), s.to_string())));
            let overall: u64 = services.iter().map(|(_, seconds)| seconds).sum();
            rows.push((format!("{name}_overall"), overall.to_string()));
        }
        rows
    }
}

/// As Python prints a float: the shortest text that reads back the same, always with a point or an exponent.
fn python_float(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            format!("{}e+{exponent:0>2}", digits.trim_end_matches(".0"))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::python_float;

    #[test]
    fn floats_are_written_like_python() {
        for (value, text) in [
            (0.0, "0.0"),
            (82350.0, "82350.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }
}
