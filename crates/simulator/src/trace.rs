//! A run event by event, with the figures that move with it: one play of a plan, or what was recorded of a run that has ended.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    plan::{Intent, Plan},
    run::HostState,
};
use planner::HostGraph;

/// Something that happens in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Index of the wave.
    WaveBegins(usize),
    /// One round of snapshots of so many hosts.
    Snapshots(usize),
    Tests,
    Soaks {
        seconds: u32,
    },
    /// Until the next opening that is long enough.
    Waits {
        until_ms: u64,
    },
    Verifies,
    Host {
        host: CiId,
        state: HostState,
    },
    Ends {
        halted: bool,
    },
}

/// In milliseconds since the start of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    pub at_ms: u64,
    pub what: Happening,
}

/// One play of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// In the order of time; the last one is the end.
    pub events: Vec<TraceEvent>,
    /// Most hosts down at once, as the forecast counts them.
    pub max_down: u32,
}

/// How many hosts are in which kind of state after an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub pending: u32,
    pub working: u32,
    pub succeeded: u32,
    /// Failed, and not patched: whether they were rolled back or not.
    pub failed: u32,
    /// Left out, skipped or cancelled.
    pub left_out: u32,
    /// Hosts that may be missing from their services.
    pub down: u32,
    /// Services with fewer members up than their `min_up`.
    pub services_below: u32,
}

/// Follows the hosts of a plan through a run.
pub struct Course<'a> {
    plan: &'a Plan,
    states: BTreeMap<&'a CiId, HostState>,
    services_of: BTreeMap<&'a CiId, Vec<&'a CiId>>,
    /// Members that are up now.
    up: BTreeMap<&'a CiId, u32>,
    /// Hosts that were down before the run. They are missing from their services from the start.
    down_before: BTreeSet<&'a CiId>,
}

impl<'a> Course<'a> {
    pub fn new(plan: &'a Plan, graph: &HostGraph) -> Self {
        let mut services_of: BTreeMap<&CiId, Vec<&CiId>> = BTreeMap::new();
        let mut up = BTreeMap::new();
        for (service, budget) in &plan.services {
            let members = budget.members.iter().filter(|member| graph.is_up(member)).count();
            up.insert(service, u32::try_from(members).unwrap_or(u32::MAX));
            for member in &budget.members {
                services_of.entry(member).or_default().push(service);
            }
        }
        Self {
            plan,
            states: plan.targets.keys().map(|host| (host, HostState::Pending)).collect(),
            services_of,
            up,
            down_before: plan.targets.keys().filter(|host| !graph.is_up(host)).collect(),
        }
    }

    /// Members of each service that are up now.
    pub fn members_up(&self) -> &BTreeMap<&'a CiId, u32> {
        &self.up
    }

    /// Moves a host. Returns its services, each with the members that are up now, if it went down or came up.
    pub fn apply(&mut self, host: &CiId, state: HostState) -> Vec<(CiId, u32)> {
        let Some(known) = self.states.get_mut(host) else { return Vec::new() };
        let was_down = std::mem::replace(known, state).may_be_down();
        let is_down = state.may_be_down();
        if was_down == is_down || self.down_before.contains(host) {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for service in self.services_of.get(host).into_iter().flatten() {
            if let Some(up) = self.up.get_mut(service) {
                *up = if is_down { up.saturating_sub(1) } else { *up + 1 };
                changed.push(((*service).clone(), *up));
            }
        }
        changed
    }

    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let is_rollback = matches!(self.plan.intent, Intent::Rollback { .. });
        for state in self.states.values().copied() {
            figures.down += u32::from(state.may_be_down());
            *match state {
                HostState::Pending => &mut figures.pending,
                HostState::Succeeded => &mut figures.succeeded,
                HostState::RolledBack if is_rollback => &mut figures.succeeded,
                HostState::Skipped | HostState::Cancelled => &mut figures.left_out,
                state if state.is_failure() => &mut figures.failed,
                _ => &mut figures.working,
            } += 1;
        }
        let below = |service: &&CiId| {
            let min_up = self.plan.services.get(*service).map_or(0, |budget| budget.min_up);
            self.up.get(*service).is_some_and(|up| *up < min_up)
        };
        figures.services_below = self.up.keys().filter(|service| below(service)).count() as u32;
        figures
    }
}
