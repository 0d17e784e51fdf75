//! The state of all nodes and services, and what has been measured of it. Every change costs what it touches.

use super::stage::{PATCHED_VERSION, Stage};

/// No time: not yet, or not at present.
pub const NEVER: u64 = u64::MAX;

pub struct World<'s, 'a> {
    stage: &'s Stage<'a>,
    /// Since when each node is down by itself.
    down_since: Vec<u64>,
    /// How many of the hosts that contain it are down.
    hosts_down: Vec<u32>,
    pub patched_at: Vec<u64>,
    version: Vec<u32>,
    pub services: Vec<ServiceState>,
    mixed_since: Vec<u64>,
    degraded_edges: u32,
    degraded_edges_since: u64,
    /// Services of each circle below their `min_up`.
    fallen_in: Vec<u32>,
    /// Circles that each circle depends on and that are in trouble, by a fall of their own or of those before them.
    troubled_providers: Vec<u32>,
    pub totals: Totals,
}

#[derive(Clone, Copy)]
pub struct ServiceState {
    up: u32,
    min_up: u32,
    below_since: u64,
    pub below_ms: u64,
    pub longest_below_ms: u64,
    pub falls: u32,
    degraded_since: u64,
    pub degraded_ms: u64,
}

#[derive(Clone, Copy, Default)]
pub struct Totals {
    pub unavailable_node_ms: u64,
    pub mixed_edge_ms: u64,
    pub degraded_ms: u64,
    pub incompatibility_violations: u32,
}

impl<'s, 'a> World<'s, 'a> {
    pub fn new(stage: &'s Stage<'a>) -> Self {
        let (nodes, services) = (stage.scenario.nodes.len(), stage.scenario.services.len());
        let mut world = Self {
            stage,
            down_since: vec![NEVER; nodes],
            hosts_down: vec![0; nodes],
            patched_at: vec![NEVER; nodes],
            version: vec![0; nodes],
            services: Vec::with_capacity(services),
            mixed_since: vec![NEVER; stage.watched.len()],
            degraded_edges: 0,
            degraded_edges_since: 0,
            fallen_in: vec![0; services],
            troubled_providers: vec![0; services],
            totals: Totals::default(),
        };
        world.reset();
        world
    }

    /// Back to the start of a run, without new memory.
    pub fn reset(&mut self) {
        let stage = self.stage;
        self.down_since.fill(NEVER);
        self.hosts_down.fill(0);
        self.version.copy_from_slice(&stage.version);
        for (patched_at, version) in self.patched_at.iter_mut().zip(&stage.version) {
            *patched_at = if *version == PATCHED_VERSION { 0 } else { NEVER };
        }
        self.services.clear();
        self.services.extend(stage.scenario.services.iter().map(|service| ServiceState {
            up: service.members.len() as u32,
            min_up: service.min_up,
            below_since: NEVER,
            below_ms: 0,
            longest_below_ms: 0,
            falls: 0,
            degraded_since: NEVER,
            degraded_ms: 0,
        }));
        self.mixed_since.fill(NEVER);
        self.degraded_edges = 0;
        self.fallen_in.fill(0);
        self.troubled_providers.fill(0);
        self.totals = Totals::default();
        // A service with fewer members than it needs was below before anything began: no fall, but its time counts.
        for service in 0..self.services.len() {
            if self.services[service].up < self.services[service].min_up {
                self.services[service].below_since = 0;
                self.pass_on(service, 0, true);
            }
        }
        for node in (0..stage.nodes.len()).filter(|node| stage.nodes[*node].starts_down) {
            self.take_down(node, 0);
        }
        self.services.iter_mut().for_each(|service| service.falls = 0);
        for edge in 0..stage.watched.len() {
            self.note_edge(edge, 0);
        }
    }

    pub fn take_down(&mut self, node: usize, now: u64) {
        if self.down_since[node] != NEVER {
            return;
        }
        self.down_since[node] = now;
        if self.hosts_down[node] == 0 {
            self.lose_member(node, now);
        }
        for contained in self.stage.contained.of(node) {
            let contained = *contained as usize;
            self.hosts_down[contained] += 1;
            if self.hosts_down[contained] == 1 && self.down_since[contained] == NEVER {
                self.lose_member(contained, now);
            }
        }
    }

    pub fn bring_up(&mut self, node: usize, now: u64) {
        let since = std::mem::replace(&mut self.down_since[node], NEVER);
        if since == NEVER {
            return;
        }
        self.totals.unavailable_node_ms += now - since;
        if self.hosts_down[node] == 0 {
            self.gain_member(node, now);
        }
        for contained in self.stage.contained.of(node) {
            let contained = *contained as usize;
            self.hosts_down[contained] -= 1;
            if self.hosts_down[contained] == 0 && self.down_since[contained] == NEVER {
                self.gain_member(contained, now);
            }
        }
    }

    fn lose_member(&mut self, node: usize, now: u64) {
        let index = self.stage.nodes[node].service as usize;
        let service = &mut self.services[index];
        service.up -= 1;
        if service.up + 1 == service.min_up {
            service.below_since = now;
            service.falls += 1;
            self.pass_on(index, now, true);
        }
    }

    fn gain_member(&mut self, node: usize, now: u64) {
        let index = self.stage.nodes[node].service as usize;
        let service = &mut self.services[index];
        service.up += 1;
        if service.up == service.min_up {
            service.recover(now);
            self.pass_on(index, now, false);
        }
    }

    /// Carries a fall or a recovery on to all services that depend on it, directly or through others. A circle passes it
    /// on only when it changes sides itself, so many falls together cost no more than the graph has edges.
    fn pass_on(&mut self, service: usize, now: u64, falls: bool) {
        let circle = self.stage.circle_of[service] as usize;
        let was_troubled = self.is_troubled(circle);
        count(&mut self.fallen_in[circle], falls);
        self.judge(circle, now);
        let mut open = Vec::new();
        if self.is_troubled(circle) != was_troubled {
            open.push(circle);
        }
        while let Some(circle) = open.pop() {
            for dependent in self.stage.dependents.of(circle) {
                let dependent = *dependent as usize;
                let was_troubled = self.is_troubled(dependent);
                count(&mut self.troubled_providers[dependent], falls);
                self.judge(dependent, now);
                if self.is_troubled(dependent) != was_troubled {
                    open.push(dependent);
                }
            }
        }
    }

    fn is_troubled(&self, circle: usize) -> bool {
        self.fallen_in[circle] > 0 || self.troubled_providers[circle] > 0
    }

    /// Begins or ends the degradation of a circle's services. A service does not degrade itself.
    fn judge(&mut self, circle: usize, now: u64) {
        for service in self.stage.circle.of(circle) {
            let state = &mut self.services[*service as usize];
            let others_fallen = self.fallen_in[circle] - u32::from(state.below_since != NEVER);
            let is_degraded = others_fallen > 0 || self.troubled_providers[circle] > 0;
            match (state.degraded_since == NEVER, is_degraded) {
                (true, true) => state.degraded_since = now,
                (false, false) => {
                    state.degraded_ms += now - std::mem::replace(&mut state.degraded_since, NEVER);
                }
                _ => {}
            }
        }
    }

    pub fn is_patched(&self, node: usize) -> bool {
        self.patched_at[node] != NEVER
    }

    pub fn set_patched(&mut self, node: usize, now: u64) {
        if self.is_patched(node) {
            return;
        }
        self.patched_at[node] = now;
        self.version[node] = PATCHED_VERSION;
        for edge in self.stage.edges.of(node) {
            self.note_edge(*edge as usize, now);
        }
    }

    /// Begins or ends the mixing of an edge, if its ends' versions say so.
    fn note_edge(&mut self, index: usize, now: u64) {
        let edge = self.stage.watched[index];
        let differs = self.version[edge.source as usize] != self.version[edge.target as usize];
        let since = self.mixed_since[index];
        match (since == NEVER, differs) {
            (true, true) => {
                self.mixed_since[index] = now;
                if !edge.incompatible {
                    self.degraded_edges += 1;
                    if self.degraded_edges == 1 {
                        self.degraded_edges_since = now;
                    }
                }
            }
            (false, false) => self.end_mixing(index, now),
            _ => {}
        }
    }

    fn end_mixing(&mut self, index: usize, now: u64) {
        let edge = self.stage.watched[index];
        let mixed = now - std::mem::replace(&mut self.mixed_since[index], NEVER);
        self.totals.mixed_edge_ms += mixed;
        if edge.incompatible {
            self.totals.incompatibility_violations += u32::from(mixed > edge.allowed_ms);
        } else {
            self.degraded_edges -= 1;
            if self.degraded_edges == 0 {
                self.totals.degraded_ms += now - self.degraded_edges_since;
            }
        }
    }

    /// Closes every account at the end of the run.
    pub fn close(&mut self, now: u64) {
        for since in &self.down_since {
            self.totals.unavailable_node_ms += if *since == NEVER { 0 } else { now - since };
        }
        for edge in 0..self.mixed_since.len() {
            if self.mixed_since[edge] != NEVER {
                self.end_mixing(edge, now);
            }
        }
        for service in &mut self.services {
            if service.below_since != NEVER {
                service.recover(now);
            }
            if service.degraded_since != NEVER {
                service.degraded_ms += now - service.degraded_since;
            }
        }
    }
}

fn count(number: &mut u32, up: bool) {
    *number = if up { *number + 1 } else { *number - 1 };
}

impl ServiceState {
    fn recover(&mut self, now: u64) {
        let below = now - std::mem::replace(&mut self.below_since, NEVER);
        self.below_ms += below;
        self.longest_below_ms = self.longest_below_ms.max(below);
    }
}
