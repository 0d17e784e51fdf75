//! The state of all nodes and services, and what has been measured of it. Every change costs what it touches.

use super::stage::{Link, NEVER, NodeState, PATCHED_VERSION, Stage};

/// No place in the plan.
pub const NOBODY: u32 = u32::MAX;

#[derive(Clone)]
pub struct World {
    pub nodes: Vec<NodeState>,
    pub services: Vec<ServiceState>,
    pub degraded: Vec<Degraded>,
    circles: Vec<Circle>,
    /// Edges whose ends differ in version; the degraded ones of them apart.
    mixed_edges: u32,
    degraded_edges: u32,
    degraded_edges_since: u64,
    /// Circles whose trouble is being passed on.
    open: Vec<u32>,
    pub totals: Totals,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct ServiceState {
    pub up: u32,
    pub min_up: u32,
    /// Members that are being worked on, and how many of them the plan takes at once.
    pub working: u32,
    pub width: u32,
    below_since: u64,
    pub below_ms: u64,
    pub longest_below_ms: u64,
    pub falls: u32,
    /// The first and the last of those that wait for the service to spare them.
    pub first_parked: u32,
    pub last_parked: u32,
}

/// Since when a service suffers from those that it depends on, and for how long it has.
#[derive(Clone, Copy)]
pub struct Degraded {
    since: u64,
    pub ms: u64,
}

/// Services that depend on each other.
#[derive(Clone, Copy, Default)]
struct Circle {
    /// How many of them are below their `min_up`.
    fallen: u32,
    /// Circles that it depends on and that are in trouble, by a fall of their own or of those before them.
    troubled_providers: u32,
}

#[derive(Clone, Copy, Default)]
pub struct Totals {
    pub unavailable_node_ms: u64,
    down: u32,
    pub most_down: u32,
    pub mixed_edge_ms: u64,
    pub degraded_ms: u64,
    pub incompatibility_violations: u32,
}

impl World {
    /// As it stands before a run.
    pub fn new(stage: &Stage) -> Self {
        let services = stage.scenario.services.iter().map(|service| ServiceState {
            up: service.members.len() as u32,
            min_up: service.min_up,
            working: 0,
            width: 0,
            below_since: NEVER,
            below_ms: 0,
            longest_below_ms: 0,
            falls: 0,
            first_parked: NOBODY,
            last_parked: NOBODY,
        });
        let mut world = Self {
            nodes: stage.nodes.clone(),
            services: services.collect(),
            degraded: vec![Degraded { since: NEVER, ms: 0 }; stage.scenario.services.len()],
            circles: vec![Circle::default(); stage.scenario.services.len()],
            mixed_edges: 0,
            degraded_edges: 0,
            degraded_edges_since: 0,
            open: Vec::new(),
            totals: Totals::default(),
        };
        // A service with fewer members than it needs was below before anything began: no fall, but its time counts.
        for service in 0..world.services.len() {
            if world.services[service].up < world.services[service].min_up {
                world.services[service].below_since = 0;
                world.pass_on(stage, service, 0, true);
            }
        }
        for node in (0..stage.nodes.len()).filter(|node| stage.nodes[*node].starts_down()) {
            world.take_down(stage, node, 0);
        }
        world.services.iter_mut().for_each(|service| service.falls = 0);
        for node in 0..world.nodes.len() {
            for link in stage.links_of(&stage.nodes[node]) {
                // Each edge is seen from both of its ends, and counts once.
                if node < link.other as usize && link.differs_at_first {
                    world.begin_mixing(link, 0);
                }
            }
        }
        world
    }

    /// Back to the start of a run, without new memory.
    pub fn restore(&mut self, start: &Self) {
        self.nodes.copy_from_slice(&start.nodes);
        self.services.copy_from_slice(&start.services);
        self.degraded.copy_from_slice(&start.degraded);
        self.circles.copy_from_slice(&start.circles);
        (self.mixed_edges, self.degraded_edges) = (start.mixed_edges, start.degraded_edges);
        self.degraded_edges_since = start.degraded_edges_since;
        self.totals = start.totals;
    }

    pub fn take_down(&mut self, stage: &Stage, node: usize, now: u64) {
        let state = &mut self.nodes[node];
        if state.down_since != NEVER {
            return;
        }
        state.down_since = now;
        self.totals.down += 1;
        self.totals.most_down = self.totals.most_down.max(self.totals.down);
        if state.hosts_down == 0 {
            self.lose_member(stage, node, now);
        }
        if self.nodes[node].stands_alone() {
            return;
        }
        for contained in stage.contained.of(node) {
            let contained = *contained as usize;
            let state = &mut self.nodes[contained];
            state.hosts_down += 1;
            if state.hosts_down == 1 && state.down_since == NEVER {
                self.lose_member(stage, contained, now);
            }
        }
    }

    pub fn bring_up(&mut self, stage: &Stage, node: usize, now: u64) {
        let state = &mut self.nodes[node];
        let since = std::mem::replace(&mut state.down_since, NEVER);
        if since == NEVER {
            return;
        }
        self.totals.unavailable_node_ms += now - since;
        self.totals.down -= 1;
        if state.hosts_down == 0 {
            self.gain_member(stage, node, now);
        }
        if self.nodes[node].stands_alone() {
            return;
        }
        for contained in stage.contained.of(node) {
            let contained = *contained as usize;
            let state = &mut self.nodes[contained];
            state.hosts_down -= 1;
            if state.hosts_down == 0 && state.down_since == NEVER {
                self.gain_member(stage, contained, now);
            }
        }
    }

    fn lose_member(&mut self, stage: &Stage, node: usize, now: u64) {
        let index = self.nodes[node].service as usize;
        let service = &mut self.services[index];
        service.up -= 1;
        if service.up + 1 == service.min_up {
            service.below_since = now;
            service.falls += 1;
            self.pass_on(stage, index, now, true);
        }
    }

    fn gain_member(&mut self, stage: &Stage, node: usize, now: u64) {
        let index = self.nodes[node].service as usize;
        let service = &mut self.services[index];
        service.up += 1;
        if service.up == service.min_up {
            service.recover(now);
            self.pass_on(stage, index, now, false);
        }
    }

    /// Carries a fall or a recovery on to all services that depend on it, directly or through others. A circle passes it
    /// on only when it changes sides itself, so many falls together cost no more than the graph has edges.
    fn pass_on(&mut self, stage: &Stage, service: usize, now: u64, falls: bool) {
        let circle = stage.circle_of[service] as usize;
        let was_troubled = self.circles[circle].is_troubled();
        count(&mut self.circles[circle].fallen, falls);
        self.judge(stage, circle, now);
        if self.circles[circle].is_troubled() != was_troubled {
            self.open.push(circle as u32);
        }
        while let Some(circle) = self.open.pop() {
            for dependent in stage.dependents.of(circle as usize) {
                let dependent = *dependent as usize;
                let was_troubled = self.circles[dependent].is_troubled();
                count(&mut self.circles[dependent].troubled_providers, falls);
                let is_troubled = self.circles[dependent].is_troubled();
                self.judge(stage, dependent, now);
                if is_troubled != was_troubled {
                    self.open.push(dependent as u32);
                }
            }
        }
    }

    /// Begins or ends the degradation of a circle's services. A service does not degrade itself.
    fn judge(&mut self, stage: &Stage, circle: usize, now: u64) {
        let Circle { fallen, troubled_providers } = self.circles[circle];
        for service in stage.circle.of(circle) {
            let is_below = self.services[*service as usize].below_since != NEVER;
            let is_degraded = fallen > u32::from(is_below) || troubled_providers > 0;
            let state = &mut self.degraded[*service as usize];
            match (state.since == NEVER, is_degraded) {
                (true, true) => state.since = now,
                (false, false) => state.ms += now - std::mem::replace(&mut state.since, NEVER),
                _ => {}
            }
        }
    }

    pub fn set_patched(&mut self, stage: &Stage, node: usize, now: u64) {
        let state = &mut self.nodes[node];
        if state.patched_at != NEVER {
            return;
        }
        let before = std::mem::replace(&mut state.version, PATCHED_VERSION);
        state.patched_at = now;
        for link in stage.links_of(&stage.nodes[node]) {
            let other = &self.nodes[link.other as usize];
            match (before != other.version, PATCHED_VERSION != other.version) {
                (false, true) => self.begin_mixing(link, now),
                (true, false) if link.differs_at_first => self.end_mixing(link, 0, now),
                (true, false) => self.end_mixing(link, other.patched_at, now),
                _ => {}
            }
        }
    }

    fn begin_mixing(&mut self, link: &Link, now: u64) {
        self.mixed_edges += 1;
        if !link.incompatible {
            self.degraded_edges += 1;
            if self.degraded_edges == 1 {
                self.degraded_edges_since = now;
            }
        }
    }

    fn end_mixing(&mut self, link: &Link, began: u64, now: u64) {
        self.mixed_edges -= 1;
        self.totals.mixed_edge_ms += now - began;
        if link.incompatible {
            let allowed = u64::from(link.allowed_seconds) * 1000;
            self.totals.incompatibility_violations += u32::from(now - began > allowed);
        } else {
            self.degraded_edges -= 1;
            if self.degraded_edges == 0 {
                self.totals.degraded_ms += now - self.degraded_edges_since;
            }
        }
    }

    /// Closes every account at the end of the run.
    pub fn close(&mut self, stage: &Stage, now: u64) {
        for NodeState { down_since, .. } in &self.nodes {
            self.totals.unavailable_node_ms += if *down_since == NEVER { 0 } else { now - down_since };
        }
        if self.mixed_edges > 0 {
            (0..self.nodes.len()).for_each(|node| self.close_edges(stage, node, now));
        }
        for service in &mut self.services {
            if service.below_since != NEVER {
                service.recover(now);
            }
        }
        for degraded in self.degraded.iter_mut().filter(|degraded| degraded.since != NEVER) {
            degraded.ms += now - degraded.since;
        }
    }

    /// Ends the mixing of those edges whose first end the node is.
    fn close_edges(&mut self, stage: &Stage, node: usize, now: u64) {
        for link in stage.links_of(&stage.nodes[node]).iter().filter(|link| node < link.other as usize) {
            let (own, other) = (&self.nodes[node], &self.nodes[link.other as usize]);
            if own.version != other.version {
                let began = match link.differs_at_first {
                    true => 0,
                    // Only one of them is patched; the other never is.
                    false => own.patched_at.min(other.patched_at),
                };
                self.end_mixing(link, began, now);
            }
        }
    }
}

fn count(number: &mut u32, up: bool) {
    *number = if up { *number + 1 } else { *number - 1 };
}

impl Circle {
    fn is_troubled(self) -> bool {
        self.fallen > 0 || self.troubled_providers > 0
    }
}

impl ServiceState {
    fn recover(&mut self, now: u64) {
        let below = now - std::mem::replace(&mut self.below_since, NEVER);
        self.below_ms += below;
        self.longest_below_ms = self.longest_below_ms.max(below);
    }
}
