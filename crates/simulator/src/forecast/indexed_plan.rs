//! A plan by indexes, and the result of one played run.

use std::collections::BTreeMap;

use domain::{
    ids::CiId,
    plan::Plan,
    workflow::{Rollback, RollbackMode},
};
use planner::{HostGraph, Openings, OpeningsByTags, Schedule};

use super::{
    model::{DurationModel, HostModel},
    play::Player,
};

/// A plan by indexes, made once and played often.
pub struct IndexedPlan<'a> {
    pub plan: &'a Plan,
    pub model: &'a DurationModel,
    pub hosts: Vec<Host<'a>>,
    pub waves: Vec<Vec<usize>>,
    pub services: Vec<Service<'a>>,
    /// Distinct openings; hosts refer to theirs by index.
    pub openings: Vec<Openings>,
    /// When the first window closes; absent without a schedule.
    pub window_ms: Option<u64>,
}

pub struct Host<'a> {
    pub model: &'a HostModel,
    /// Criticality x severity.
    pub weight: f64,
    pub services: Vec<usize>,
    pub was_up: bool,
    pub takes_snapshot: bool,
    pub can_roll_back: bool,
    pub openings: usize,
    pub expected_ms: u64,
}

pub struct Service<'a> {
    pub id: &'a CiId,
    pub up: u32,
    pub min_up: u32,
}

/// The figures of one played run.
pub struct PlayedRun {
    pub halted: bool,
    /// Hosts were left out because no remaining window was long enough for them.
    pub out_of_windows: bool,
    pub done_in_window: bool,
    pub begun: u32,
    pub failed: u32,
    pub unpatched: u32,
    pub exposure: f64,
    pub max_down: u32,
    pub duration: u64,
    /// From the start of the first batch to the end.
    pub work: u64,
    pub below: Vec<u64>,
    pub fewest_up: Vec<u32>,
}

impl PlayedRun {
    pub fn duration_seconds(&self) -> f64 {
        self.duration as f64 / 1000.0
    }

    pub fn seconds_below(&self, service: usize) -> f64 {
        self.below[service] as f64 / 1000.0
    }

    pub fn downtime_seconds(&self) -> f64 {
        self.below.iter().sum::<u64>() as f64 / 1000.0
    }

    pub fn fewest_up(&self, service: usize) -> u32 {
        self.fewest_up[service]
    }
}

impl<'a> IndexedPlan<'a> {
    pub fn new(
        plan: &'a Plan,
        graph: &HostGraph,
        model: &'a DurationModel,
        schedule: Option<&Schedule>,
    ) -> Self {
        let mut by_tags = schedule.map(OpeningsByTags::new);
        let service_index: BTreeMap<&CiId, usize> =
            plan.services.keys().enumerate().map(|(index, service)| (service, index)).collect();
        let mut services_of: BTreeMap<&CiId, Vec<usize>> = BTreeMap::new();
        for (service, budget) in &plan.services {
            for member in &budget.members {
                services_of.entry(member).or_default().push(service_index[service]);
            }
        }
        let host_index: BTreeMap<&CiId, usize> =
            plan.targets.keys().enumerate().map(|(index, host)| (host, index)).collect();
        let hosts = plan.targets.iter().map(|(id, target)| {
            let node = graph.hosts.get(id);
            let takes_snapshot =
                plan.snapshot_retention_hours.is_some() && target.rollback_mode == RollbackMode::Snapshot;
            Host {
                openings: by_tags.as_mut().map_or(0, |by_tags| by_tags.index_of(&target.tags)),
                expected_ms: u64::from(target.expected_seconds) * 1000,
                model: model.of(id, target),
                weight: node.map_or(0.0, |node| f64::from(node.criticality) * node.severity),
                services: services_of.remove(id).unwrap_or_default(),
                was_up: graph.is_up(id),
                takes_snapshot,
                can_roll_back: plan.rollback == Rollback::Auto
                    && (takes_snapshot || target.rollback_mode == RollbackMode::Downgrade),
            }
        });
        let hosts = hosts.collect();
        let openings = by_tags.map_or_else(|| vec![Openings::always()], OpeningsByTags::into_openings);
        let closings = openings.iter().filter_map(Openings::first_closing_ms);
        let window_ms = schedule.and_then(|_| closings.max());
        let known = |wave: &Vec<CiId>| wave.iter().filter_map(|host| host_index.get(host).copied()).collect();
        let services = plan.services.iter().map(|(id, budget)| {
            let up = budget.members.iter().filter(|member| graph.is_up(member)).count();
            Service { id, up: u32::try_from(up).unwrap_or(u32::MAX), min_up: budget.min_up }
        });
        let waves = plan.waves.iter().map(|wave| known(&wave.hosts)).collect();
        Self { plan, model, hosts, waves, services: services.collect(), openings, window_ms }
    }

    pub fn services(&self) -> impl Iterator<Item = &'a CiId> {
        self.services.iter().map(|service| service.id)
    }

    pub fn host_count(&self) -> u32 {
        u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)
    }

    pub fn wave_count(&self) -> u32 {
        u32::try_from(self.waves.len()).unwrap_or(u32::MAX)
    }

    pub fn play(&self, seed: u64, run: u64) -> PlayedRun {
        let mut player = Player::new(self, seed, run);
        player.play();
        player.finish()
    }
}
