//! A plan by indexes, and the result of one played run.

use std::collections::BTreeMap;

use domain::{
    ids::CiId,
    plan::{Limits, Plan},
    strategy::Strategy,
    workflow::{Reboot, Rollback, RollbackMode},
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
    /// Hosts down at once.
    pub max_parallel: usize,
    pub batch_size: usize,
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
    /// It is rebooted for certain.
    pub reboots: bool,
}

pub struct Service<'a> {
    /// Absent for the hosts without a service.
    pub id: Option<&'a CiId>,
    pub up: u32,
    /// With fewer members up, it is down.
    pub min_up: u32,
    /// No host is taken down below this many members.
    pub must_stay_up: u32,
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

/// Whether hosts are taken down only while their budgets permit it, as the run engine does. A big bang that breaks a budget
/// is never executed; it is played without the guard, so that its harm can be compared.
pub(crate) fn is_guarded(plan: &Plan) -> bool {
    plan.strategy != Strategy::BigBang || plan.errors().next().is_none()
}

fn saturating(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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
        let apart = service_index.len();
        let limit_apart = plan.limits.max_unavailable_without_service;
        let hosts = plan.targets.iter().map(|(id, target)| {
            let services = services_of.remove(id);
            let node = graph.hosts.get(id);
            let takes_snapshot =
                plan.snapshot_retention_hours.is_some() && target.rollback_mode == RollbackMode::Snapshot;
            Host {
                openings: by_tags
                    .as_mut()
                    .map_or(0, |by_tags| by_tags.index_of(&target.tags, plan.reboots(target))),
                expected_ms: u64::from(target.expected_seconds) * 1000,
                reboots: plan.reboots(target),
                model: model.of(id, target),
                weight: node.map_or(0.0, |node| f64::from(node.criticality) * node.severity),
                services: services.unwrap_or_else(|| limit_apart.map(|_| apart).into_iter().collect()),
                was_up: graph.is_up(id),
                takes_snapshot,
                can_roll_back: plan.rollback == Rollback::Auto
                    && (takes_snapshot || target.rollback_mode == RollbackMode::Downgrade),
            }
        });
        let hosts: Vec<Host> = hosts.collect();
        let openings = by_tags.map_or_else(|| vec![Openings::always()], OpeningsByTags::into_openings);
        let closings = openings.iter().filter_map(Openings::first_closing_ms);
        let window_ms = schedule.and_then(|_| closings.max());
        let known = |wave: &Vec<CiId>| wave.iter().filter_map(|host| host_index.get(host).copied()).collect();
        let is_guarded = is_guarded(plan);
        let guard = |must_stay_up: usize| if is_guarded { saturating(must_stay_up) } else { 0 };
        let services = plan.services.iter().map(|(id, budget)| {
            let up = budget.members.iter().filter(|member| graph.is_up(member)).count();
            let must_stay_up = guard(budget.must_stay_up());
            Service { id: Some(id), up: saturating(up), min_up: budget.min_up, must_stay_up }
        });
        let mut services: Vec<Service> = services.collect();
        services.extend(limit_apart.map(|most| {
            let of_it = || hosts.iter().filter(|host| host.services.contains(&apart));
            let up = of_it().filter(|host| host.was_up).count();
            let must_stay_up = guard(of_it().count().saturating_sub(most as usize));
            Service { id: None, up: saturating(up), min_up: 0, must_stay_up }
        }));
        let waves = plan.waves.iter().map(|wave| known(&wave.hosts)).collect();
        let limits = if is_guarded { plan.limits } else { Limits { max_parallel: u32::MAX, ..plan.limits } };
        let (max_parallel, batch_size) = (limits.max_parallel as usize, limits.batch_size());
        Self { plan, model, hosts, waves, services, openings, window_ms, max_parallel, batch_size }
    }

    /// How the host is rebooted if its work starts now.
    pub fn reboot_at(&self, host: usize, now_ms: u64) -> Reboot {
        let own = &self.hosts[host];
        let wanted = if own.reboots { Reboot::Always } else { self.plan.reboot };
        self.openings[own.openings].reboot_now(wanted, now_ms, own.expected_ms)
    }

    pub fn services(&self) -> impl Iterator<Item = &'a CiId> {
        self.services.iter().filter_map(|service| service.id)
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
