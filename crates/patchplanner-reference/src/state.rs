//! The state of a reference run. No step visits the whole graph: counts are updated as nodes change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use planner::{
    Compatibility, Scenario,
    scenario::{Health, PATCHED, UNPATCHED},
};

use simulator::{output::Event, random::Random};

use crate::{PythonRandom, ReferenceMetrics, Refused, exposure::Exposure, names};

/// Versions by number; others are those that the scenario starts with.
const PATCHED_VERSION: u32 = 0;
const UNPATCHED_VERSION: u32 = 1;

pub struct State<'a> {
    scenario: &'a Scenario,
    pub health: Vec<Health>,
    pub metrics: ReferenceMetrics,
    version: Vec<u32>,
    healthy: Vec<u32>,
    /// Services below their `min_up` already.
    below: BTreeSet<usize>,
    exposure: Exposure,
    /// Edges of each node that are not fully compatible: those whose mixed time is counted.
    edges_of: Vec<Vec<usize>>,
    mixed_degraded: u64,
    mixed_incompatible: BTreeSet<usize>,
    mixed_seconds: HashMap<(usize, usize), u64>,
    violated: HashSet<(usize, usize)>,
}

impl<'a> State<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        let mut numbers: BTreeMap<&str, u32> =
            BTreeMap::from([(PATCHED, PATCHED_VERSION), (UNPATCHED, UNPATCHED_VERSION)]);
        let version: Vec<u32> = scenario
            .nodes
            .iter()
            .map(|node| {
                let next = numbers.len() as u32;
                *numbers.entry(&node.version).or_insert(next)
            })
            .collect();
        let health: Vec<Health> = scenario.nodes.iter().map(|node| node.health).collect();
        let is_healthy = |node: &&usize| health[**node] == Health::Healthy;
        let healthy: Vec<u32> =
            scenario.services.iter().map(|s| s.members.iter().filter(is_healthy).count() as u32).collect();
        let below = (0..healthy.len()).filter(|s| healthy[*s] < scenario.services[*s].min_up).collect();
        let mut edges_of = vec![Vec::new(); scenario.nodes.len()];
        let watched = |edge: &usize| scenario.edges[*edge].compatibility != Compatibility::Compatible;
        for index in (0..scenario.edges.len()).filter(watched) {
            let edge = &scenario.edges[index];
            edges_of[edge.source].push(index);
            if edge.source != edge.target {
                edges_of[edge.target].push(index);
            }
        }
        let exposed: Vec<bool> = version.iter().map(|version| *version != PATCHED_VERSION).collect();
        let mut state = Self {
            scenario,
            health,
            metrics: ReferenceMetrics::default(),
            exposure: Exposure::new(scenario, &exposed),
            version,
            healthy,
            below,
            edges_of,
            mixed_degraded: 0,
            mixed_incompatible: BTreeSet::new(),
            mixed_seconds: HashMap::new(),
            violated: HashSet::new(),
        };
        for edge in (0..scenario.edges.len()).filter(watched) {
            state.count_edge(edge, false);
        }
        state
    }

    pub fn now_ms(&self) -> u64 {
        self.metrics.time_to_full_patch * 1000
    }

    pub fn patched_count(&self) -> usize {
        self.version.iter().filter(|version| **version == PATCHED_VERSION).count()
    }

    pub fn patch(
        &mut self,
        step_id: &str,
        nodes: &[u32],
        duration: u64,
        random: &mut PythonRandom,
        events: &mut Vec<Event>,
    ) -> Result<(), Refused> {
        let scenario = self.scenario;
        let each = || nodes.iter().map(|node| *node as usize);
        let down: Vec<usize> = each().filter(|node| scenario.nodes[*node].goes_down()).collect();
        self.check(step_id, &down)?;
        self.pass(duration);
        self.metrics.node_unavailability_seconds += down.len() as u64 * duration;
        down.iter().for_each(|node| self.set_health(*node, Health::Healthy));
        for node in each() {
            let patch = &scenario.nodes[node].patch;
            let event = match (random.random() < patch.failure_probability, patch.rollback_supported) {
                (false, _) => {
                    self.set_version(node, PATCHED_VERSION);
                    "patched"
                }
                (true, true) => {
                    self.metrics.rollback_count += 1;
                    self.set_version(node, UNPATCHED_VERSION);
                    "rollback"
                }
                (true, false) => {
                    self.set_health(node, Health::Failed);
                    "patch_failed"
                }
            };
            let node_id = Some(scenario.nodes[node].id.clone());
            events.push(Event { node_id, ..Event::of_step(self.now_ms(), event, step_id.to_owned()) });
        }
        events.push(Event {
            node_ids: Some(names(scenario, nodes)),
            duration_ms: Some(duration * 1000),
            ..Event::of_step(self.now_ms(), "patch_step_complete", step_id.to_owned())
        });
        Ok(())
    }

    /// Every service counts, but only those that lose members now or were already below can be below.
    fn check(&self, step_id: &str, down: &[usize]) -> Result<(), Refused> {
        let mut lost: BTreeMap<usize, u32> = self.below.iter().map(|service| (*service, 0)).collect();
        for node in down.iter().filter(|node| self.health[**node] == Health::Healthy) {
            *lost.entry(self.scenario.nodes[*node].service).or_default() += 1;
        }
        let violations: Vec<String> = lost
            .into_iter()
            .filter_map(|(index, lost)| {
                let service = &self.scenario.services[index];
                let healthy = self.healthy[index] - lost;
                (healthy < service.min_up)
                    .then(|| format!("service={} healthy={healthy} min_up={}", service.name, service.min_up))
            })
            .collect();
        if violations.is_empty() { Ok(()) } else { Err(Refused { step_id: step_id.to_owned(), violations }) }
    }

    /// Advances the time in the current state.
    pub fn pass(&mut self, seconds: u64) {
        self.metrics.time_to_full_patch += seconds;
        if seconds == 0 {
            return;
        }
        self.metrics.exposure_window_weighted += seconds as f64 * self.exposure.rate();
        let mixed_edges = self.mixed_degraded + self.mixed_incompatible.len() as u64;
        self.metrics.mixed_version_time_seconds += seconds * mixed_edges;
        self.metrics.number_of_degraded_intervals += u64::from(self.mixed_degraded > 0);
        for index in &self.mixed_incompatible {
            let edge = &self.scenario.edges[*index];
            let pair = (edge.source, edge.target);
            let mixed = self.mixed_seconds.entry(pair).or_default();
            *mixed += seconds;
            if *mixed > u64::from(edge.mixed_max_duration_seconds) && self.violated.insert(pair) {
                self.metrics.number_of_incompatibility_violations += 1;
            }
        }
    }

    pub fn set_patched(&mut self, node: usize) {
        self.set_version(node, PATCHED_VERSION);
    }

    fn set_version(&mut self, node: usize, version: u32) {
        let before = self.version[node];
        if before == version {
            return;
        }
        for edge in self.edges_of[node].clone() {
            self.count_edge(edge, true);
        }
        self.version[node] = version;
        for edge in self.edges_of[node].clone() {
            self.count_edge(edge, false);
        }
        if (before == PATCHED_VERSION) != (version == PATCHED_VERSION) {
            let weight = self.scenario.nodes[node].weight();
            self.exposure.set(node, weight, version != PATCHED_VERSION);
        }
    }

    /// Adds an edge whose ends differ in version to the count, or removes it.
    fn count_edge(&mut self, index: usize, remove: bool) {
        let edge = &self.scenario.edges[index];
        if self.version[edge.source] == self.version[edge.target] {
            return;
        }
        match (edge.compatibility, remove) {
            (Compatibility::Compatible, _) => {}
            (Compatibility::Degraded, false) => self.mixed_degraded += 1,
            (Compatibility::Degraded, true) => self.mixed_degraded -= 1,
            (Compatibility::Incompatible, false) => _ = self.mixed_incompatible.insert(index),
            (Compatibility::Incompatible, true) => _ = self.mixed_incompatible.remove(&index),
        }
    }

    fn set_health(&mut self, node: usize, health: Health) {
        let service = self.scenario.nodes[node].service;
        let was_healthy = self.health[node] == Health::Healthy;
        self.health[node] = health;
        match (was_healthy, health == Health::Healthy) {
            (false, true) => self.healthy[service] += 1,
            (true, false) => self.healthy[service] -= 1,
            _ => return,
        }
        if self.healthy[service] < self.scenario.services[service].min_up {
            self.below.insert(service)
        } else {
            self.below.remove(&service)
        };
    }

    pub fn finish(mut self) -> ReferenceMetrics {
        let services = self.scenario.services.iter();
        self.metrics.total_downtime_seconds = services.map(|service| (service.name.clone(), 0)).collect();
        self.metrics
    }
}
