//! A second, simpler implementation of the reference's rules: it recounts everything at every step. The real one, which
//! counts incrementally, must agree to the last digit.

use std::collections::{BTreeMap, BTreeSet};

use domain::strategy::Strategy;
use patchplanner_reference::{PythonRandom, ReferenceMetrics, plan, run};
use planner::{
    Compatibility, Scenario,
    scenario::Health,
    strategy::{self, Action, NodePlan},
};
use proptest::prelude::*;
use simulator::random::Random;

use crate::scenarios::any_scenario;

struct Plain<'a> {
    scenario: &'a Scenario,
    version: Vec<String>,
    health: Vec<Health>,
    metrics: ReferenceMetrics,
    mixed: BTreeMap<(usize, usize), u64>,
    violated: BTreeSet<(usize, usize)>,
}

impl Plain<'_> {
    fn pass(&mut self, seconds: u64) {
        self.metrics.time_to_full_patch += seconds;
        if seconds == 0 {
            return;
        }
        let mut rate = 0.0;
        for (node, version) in self.scenario.nodes.iter().zip(&self.version) {
            if version != "v_new" {
                rate += f64::from(node.criticality) * node.patch.severity;
            }
        }
        self.metrics.exposure_window_weighted += seconds as f64 * rate;
        let mut degraded = false;
        for edge in self.scenario.edges.iter().filter(|e| self.version[e.source] != self.version[e.target]) {
            match edge.compatibility {
                Compatibility::Compatible => continue,
                Compatibility::Degraded => degraded = true,
                Compatibility::Incompatible => {
                    let mixed = self.mixed.entry((edge.source, edge.target)).or_default();
                    *mixed += seconds;
                    if *mixed > u64::from(edge.mixed_max_duration_seconds)
                        && self.violated.insert((edge.source, edge.target))
                    {
                        self.metrics.number_of_incompatibility_violations += 1;
                    }
                }
            }
            self.metrics.mixed_version_time_seconds += seconds;
        }
        self.metrics.number_of_degraded_intervals += u64::from(degraded);
    }
}

fn play(scenario: &Scenario, plan: &NodePlan, seed: i64) -> Result<ReferenceMetrics, Vec<String>> {
    let mut random = PythonRandom::new(seed);
    let mut plain = Plain {
        scenario,
        version: scenario.nodes.iter().map(|node| node.version.clone()).collect(),
        health: scenario.nodes.iter().map(|node| node.health).collect(),
        metrics: ReferenceMetrics::default(),
        mixed: BTreeMap::new(),
        violated: BTreeSet::new(),
    };
    for step in &plan.steps {
        let nodes = || plan.nodes_of(step).map(|node| (node, &scenario.nodes[node]));
        let longest = nodes().map(|(_, node)| node.patch.duration_seconds).max().unwrap_or(0);
        match step.action {
            Action::Pause => {
                plain.pass(u64::from(step.pause_seconds));
                plain.metrics.number_of_guardrail_pauses += u64::from(step.guardrail);
            }
            Action::BlueGreenBuild => plain.pass(u64::from(longest)),
            Action::BlueGreenSwitch => {
                nodes().for_each(|(node, _)| plain.version[node] = "v_new".to_owned());
            }
            Action::Patch | Action::PatchCanary => {
                let down: Vec<usize> = nodes()
                    .filter(|(_, node)| node.patch.requires_restart || node.patch.requires_reboot)
                    .map(|(node, _)| node)
                    .collect();
                let mut violations = Vec::new();
                for (index, service) in scenario.services.iter().enumerate() {
                    let members = (0..scenario.nodes.len()).filter(|n| scenario.nodes[*n].service == index);
                    let healthy = members
                        .filter(|node| plain.health[*node] == Health::Healthy && !down.contains(node))
                        .count();
                    if healthy < service.min_up as usize {
                        let (name, min_up) = (&service.name, service.min_up);
                        violations.push(format!("service={name} healthy={healthy} min_up={min_up}"));
                    }
                }
                if !violations.is_empty() {
                    return Err(violations);
                }
                plain.pass(u64::from(longest));
                plain.metrics.node_unavailability_seconds += down.len() as u64 * u64::from(longest);
                down.iter().for_each(|node| plain.health[*node] = Health::Healthy);
                for (index, node) in nodes() {
                    if random.random() >= node.patch.failure_probability {
                        plain.version[index] = "v_new".to_owned();
                    } else if node.patch.rollback_supported {
                        plain.version[index] = "v_old".to_owned();
                        plain.metrics.rollback_count += 1;
                    } else {
                        plain.health[index] = Health::Failed;
                    }
                }
            }
        }
    }
    plain.metrics.total_downtime_seconds = scenario.services.iter().map(|s| (s.name.clone(), 0)).collect();
    Ok(plain.metrics)
}

/// Passes over the remaining nodes: per batch at most as many of each service as it can spare, and at most `size` in total.
fn plain_batches(scenario: &Scenario, size: usize) -> Vec<Vec<usize>> {
    let mut left = scenario.patchable();
    left.sort_by(|a, b| {
        let (a, b) = (&scenario.nodes[*a], &scenario.nodes[*b]);
        let by_severity = b.patch.severity.partial_cmp(&a.patch.severity).unwrap();
        b.criticality.cmp(&a.criticality).then(by_severity).then(a.id.cmp(&b.id))
    });
    let spare = |service: usize| {
        let of_service = || scenario.nodes.iter().filter(|n| n.patchable && n.service == service);
        of_service().count().saturating_sub(of_service().map(|node| node.min_up).max().unwrap_or(0) as usize)
    };
    let mut batches = Vec::new();
    while !left.is_empty() {
        let mut batch: Vec<usize> = Vec::new();
        for node in &left {
            let service = scenario.nodes[*node].service;
            let taken = batch.iter().filter(|other| scenario.nodes[**other].service == service).count();
            if batch.len() < size && taken < spare(service) {
                batch.push(*node);
            }
        }
        if batch.is_empty() {
            batch.push(left[0]);
        }
        left.retain(|node| !batch.contains(node));
        batch.sort_by_key(|node| scenario.nodes[*node].id.clone());
        batches.push(batch);
    }
    batches
}

/// Nodes that incompatible edges connect, by repeated passes over the whole list of edges.
fn plain_groups(scenario: &Scenario) -> BTreeSet<Vec<usize>> {
    let mut group: Vec<usize> = (0..scenario.nodes.len()).collect();
    for _ in 0..scenario.nodes.len() {
        for edge in scenario.edges.iter().filter(|edge| edge.compatibility == Compatibility::Incompatible) {
            let lower = group[edge.source].min(group[edge.target]);
            (group[edge.source], group[edge.target]) = (lower, lower);
        }
    }
    let patchable = scenario.patchable();
    let of_group = |wanted: usize| patchable.iter().copied().filter(|node| group[*node] == wanted).collect();
    patchable.iter().map(|node| of_group(group[*node])).collect()
}

proptest! {
    #[test]
    fn any_incompatible_edge_groups_its_nodes_even_if_the_pair_is_repeated(scenario in any_scenario()) {
        let plan = strategy::plan(&scenario, Strategy::Hybrid, 2).unwrap();
        let steps = plan.steps.iter().filter(|step| !matches!(step.action, Action::Pause | Action::BlueGreenBuild));
        let groups: BTreeSet<Vec<usize>> = steps.map(|step| plan.nodes_of(step).collect()).collect();
        prop_assert_eq!(groups, plain_groups(&scenario));
    }

    #[test]
    fn incremental_counts_agree_with_a_full_recount(
        scenario in any_scenario(), strategy in 0..7_usize, size in 1..4_usize, seed in -3_i64..50
    ) {
        // A dependency cycle has no plan to play.
        if let Ok(plan) = plan(&scenario, Strategy::ALL[strategy], size) {
            let run = run(&scenario, &plan, seed);
            let found = run.map(|run| run.metrics).map_err(|refused| refused.violations);
            prop_assert_eq!(found, play(&scenario, &plan, seed));
        }
    }

    #[test]
    fn batches_from_queues_are_those_of_repeated_passes(scenario in any_scenario(), size in 1..5_usize) {
        for (strategy, size) in [(Strategy::Rolling, usize::MAX), (Strategy::BatchRolling, size)] {
            let plan = plan(&scenario, strategy, size).unwrap();
            let batches: Vec<Vec<usize>> = plan.steps.iter().map(|step| plan.nodes_of(step).collect()).collect();
            prop_assert_eq!(batches, plain_batches(&scenario, size));
        }
    }

    #[test]
    fn every_patchable_node_is_planned_once(scenario in any_scenario(), strategy in 0..7_usize) {
        if let Ok(plan) = strategy::plan(&scenario, Strategy::ALL[strategy], 2) {
            let takes_part = |action: Action| action.patches_in_place() || action == Action::BlueGreenSwitch;
            let steps = plan.steps.iter().filter(|step| takes_part(step.action));
            let mut planned: Vec<usize> = steps.flat_map(|step| plan.nodes_of(step)).collect();
            planned.sort_unstable();
            prop_assert_eq!(planned, scenario.patchable());
            let ids: BTreeSet<String> = plan.steps.iter().map(|step| step.name.to_string()).collect();
            prop_assert_eq!(ids.len(), plan.steps.len());
        }
    }
}
