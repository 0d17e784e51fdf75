//! The state of all nodes and services, and its measurements. The cost of a change is proportional to what it affects.

use super::{
    indexed_scenario::{IndexedScenario, Traits},
    links::Link,
};

/// No time: not yet, or not now.
pub const NEVER: u64 = u64::MAX;
/// No place in the plan.
pub const NOBODY: u32 = u32::MAX;

#[derive(Default)]
pub struct World {
    /// Whether each node has its patch. Separate from the time, because neighbours everywhere in the graph need only this.
    patched: Vec<bool>,
    pub patched_at: Vec<u64>,
    /// Whether each node's second instance is ready for the switch.
    pub built: Vec<bool>,
    /// Whether each node is down by itself.
    down: Vec<bool>,
    /// How many of the hosts that contain a node are down.
    hosts_down: Vec<u32>,
    pub services: Vec<ServiceState>,
    pub downtimes: Vec<Downtime>,
    pub degraded: Vec<Degraded>,
    components: Vec<Component>,
    degraded_edges: u32,
    degraded_edges_since: u64,
    /// Components whose degradation is being propagated.
    open: Vec<u32>,
    pub totals: Totals,
}

#[derive(Clone, Copy)]
pub struct ServiceState {
    pub up: u32,
    pub min_up: u32,
    /// Members that are being patched, and how many of them the plan takes at once.
    pub working: u32,
    pub width: u32,
    /// The first and the last node that wait until the service can spare them.
    pub first_parked: u32,
    pub last_parked: u32,
    below_since: u64,
}

/// Totals of a service's time below its `min_up`.
#[derive(Clone, Copy, Default)]
pub struct Downtime {
    pub ms: u64,
    pub longest_ms: u64,
    pub falls: u32,
}

/// Since when a service is degraded by its dependencies, and for how long in total.
#[derive(Clone, Copy)]
pub struct Degraded {
    since: u64,
    pub ms: u64,
}

/// Services that depend on each other.
#[derive(Clone, Copy, Default)]
struct Component {
    /// How many of them are below their `min_up`.
    fallen: u32,
    /// Degraded components that it depends on, by a fall of their own or of their dependencies.
    troubled_providers: u32,
}

#[derive(Clone, Copy, Default)]
pub struct Totals {
    pub down: Tally,
    pub most_down: u32,
    /// Edges whose ends differ in version.
    pub mixed: Tally,
    pub degraded_ms: u64,
    pub incompatibility_violations: u32,
}

/// How many there are now, and their total time.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    count: u32,
    since: u64,
    pub ms: u64,
}

impl World {
    /// The state before a run.
    pub fn new(indexed: &IndexedScenario) -> Self {
        let services = indexed.scenario.services.iter().map(|service| ServiceState {
            up: service.members.len() as u32,
            min_up: service.min_up,
            working: 0,
            width: 0,
            first_parked: NOBODY,
            last_parked: NOBODY,
            below_since: NEVER,
        });
        let mut world = Self {
            patched: indexed.nodes.iter().map(Traits::starts_patched).collect(),
            patched_at: indexed.nodes.iter().map(|n| if n.starts_patched() { 0 } else { NEVER }).collect(),
            built: vec![false; indexed.nodes.len()],
            down: vec![false; indexed.nodes.len()],
            hosts_down: vec![0; indexed.nodes.len()],
            services: services.collect(),
            downtimes: vec![Downtime::default(); indexed.scenario.services.len()],
            degraded: vec![Degraded { since: NEVER, ms: 0 }; indexed.scenario.services.len()],
            components: vec![Component::default(); indexed.scenario.services.len()],
            ..Self::default()
        };
        // A service with too few members was below before the start: that is not a fall, but its time counts.
        for service in 0..world.services.len() {
            if world.services[service].up < world.services[service].min_up {
                world.services[service].below_since = 0;
                world.pass_on(indexed, service, 0, true);
            }
        }
        for (node, traits) in indexed.nodes.iter().enumerate().filter(|(_, traits)| traits.starts_down()) {
            world.take_down(indexed, node, traits, 0);
        }
        world.downtimes.iter_mut().for_each(|downtime| downtime.falls = 0);
        for (node, traits) in indexed.nodes.iter().enumerate() {
            for (_, link) in indexed.links.from(traits.first_link) {
                // Each edge is seen from both of its ends, and counts once.
                if node < link.other() && link.differs_at_first() {
                    world.begin_mixing(link, 0);
                }
            }
        }
        world
    }

    /// Resets to the start of a run and keeps the memory.
    pub fn restore(&mut self, start: &Self) {
        self.patched.clone_from(&start.patched);
        self.patched_at.clone_from(&start.patched_at);
        self.built.clone_from(&start.built);
        self.down.clone_from(&start.down);
        self.hosts_down.clone_from(&start.hosts_down);
        self.services.clone_from(&start.services);
        self.downtimes.clone_from(&start.downtimes);
        self.degraded.clone_from(&start.degraded);
        self.components.clone_from(&start.components);
        self.degraded_edges = start.degraded_edges;
        self.degraded_edges_since = start.degraded_edges_since;
        self.totals = start.totals;
    }

    /// `traits` are those of the node.
    pub fn take_down(&mut self, indexed: &IndexedScenario, node: usize, traits: &Traits, now: u64) {
        if std::mem::replace(&mut self.down[node], true) {
            return;
        }
        self.totals.down.count(true, now);
        self.totals.most_down = self.totals.most_down.max(self.totals.down.count);
        if traits.stands_alone() {
            return self.lose_member(indexed, traits, now);
        }
        if self.hosts_down[node] == 0 {
            self.lose_member(indexed, traits, now);
        }
        for contained in indexed.contained.of(node) {
            let contained = *contained as usize;
            self.hosts_down[contained] += 1;
            if self.hosts_down[contained] == 1 && !self.down[contained] {
                self.lose_member(indexed, &indexed.nodes[contained], now);
            }
        }
    }

    pub fn bring_up(&mut self, indexed: &IndexedScenario, node: usize, traits: &Traits, now: u64) {
        if !std::mem::replace(&mut self.down[node], false) {
            return;
        }
        self.totals.down.count(false, now);
        if traits.stands_alone() {
            return self.gain_member(indexed, traits, now);
        }
        if self.hosts_down[node] == 0 {
            self.gain_member(indexed, traits, now);
        }
        for contained in indexed.contained.of(node) {
            let contained = *contained as usize;
            self.hosts_down[contained] -= 1;
            if self.hosts_down[contained] == 0 && !self.down[contained] {
                self.gain_member(indexed, &indexed.nodes[contained], now);
            }
        }
    }

    fn lose_member(&mut self, indexed: &IndexedScenario, traits: &Traits, now: u64) {
        let index = traits.service as usize;
        let service = &mut self.services[index];
        service.up -= 1;
        if service.up + 1 == service.min_up {
            service.below_since = now;
            self.downtimes[index].falls += 1;
            self.pass_on(indexed, index, now, true);
        }
    }

    fn gain_member(&mut self, indexed: &IndexedScenario, traits: &Traits, now: u64) {
        let index = traits.service as usize;
        let service = &mut self.services[index];
        service.up += 1;
        if service.up == service.min_up {
            self.downtimes[index].add(service, now);
            self.pass_on(indexed, index, now, false);
        }
    }

    /// Propagates a fall or a recovery to all services that depend on it, directly or indirectly. A component propagates it only
    /// when its own state changes, so many falls together cost no more than the edges of the graph.
    fn pass_on(&mut self, indexed: &IndexedScenario, service: usize, now: u64, falls: bool) {
        let component = indexed.component_of[service] as usize;
        let was_troubled = self.components[component].is_troubled();
        count(&mut self.components[component].fallen, falls);
        self.judge(indexed, component, now);
        if self.components[component].is_troubled() != was_troubled {
            self.open.push(component as u32);
        }
        while let Some(component) = self.open.pop() {
            for dependent in indexed.dependents.of(component as usize) {
                let dependent = *dependent as usize;
                let component = &mut self.components[dependent];
                count(&mut component.troubled_providers, falls);
                // One more or less among several changes nothing.
                if component.troubled_providers == u32::from(falls) {
                    if component.fallen == 0 {
                        self.open.push(dependent as u32);
                    }
                    self.judge(indexed, dependent, now);
                }
            }
        }
    }

    /// Begins or ends the degradation of a component's services. A service does not degrade itself.
    fn judge(&mut self, indexed: &IndexedScenario, component: usize, now: u64) {
        let Component { fallen, troubled_providers } = self.components[component];
        for service in indexed.component.of(component) {
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

    pub fn set_patched(&mut self, indexed: &IndexedScenario, node: usize, traits: &Traits, now: u64) {
        if std::mem::replace(&mut self.patched[node], true) {
            return;
        }
        self.patched_at[node] = now;
        for (number, link) in indexed.links.from(traits.first_link) {
            if self.patched[link.other()] {
                self.end_mixing(indexed, number, link, now);
            } else if !link.differs_at_first() {
                self.begin_mixing(link, now);
            }
        }
    }

    fn begin_mixing(&mut self, link: Link, now: u64) {
        self.totals.mixed.count(true, now);
        if !link.is_incompatible() {
            self.degraded_edges += 1;
            if self.degraded_edges == 1 {
                self.degraded_edges_since = now;
            }
        }
    }

    /// The node at this end of the link has reached the version of the other end.
    fn end_mixing(&mut self, indexed: &IndexedScenario, number: usize, link: Link, now: u64) {
        self.totals.mixed.count(false, now);
        if link.is_incompatible() {
            let began = if link.differs_at_first() { 0 } else { self.patched_at[link.other()] };
            self.judge_mixing(indexed, number, now - began);
        } else {
            self.degraded_edges -= 1;
            if self.degraded_edges == 0 {
                self.totals.degraded_ms += now - self.degraded_edges_since;
            }
        }
    }

    fn judge_mixing(&mut self, indexed: &IndexedScenario, number: usize, mixed_ms: u64) {
        self.totals.incompatibility_violations += u32::from(mixed_ms > indexed.links.allowed_ms(number));
    }

    /// Closes all totals at the end of the run.
    pub fn close(&mut self, indexed: &IndexedScenario, now: u64) {
        self.totals.down.until(now);
        self.totals.mixed.until(now);
        if self.degraded_edges > 0 {
            self.totals.degraded_ms += now - self.degraded_edges_since;
        }
        if self.totals.mixed.count > self.degraded_edges {
            (0..indexed.nodes.len()).for_each(|node| self.judge_edges(indexed, node, now));
        }
        for (service, downtime) in self.services.iter_mut().zip(&mut self.downtimes) {
            if service.below_since != NEVER {
                downtime.add(service, now);
            }
        }
        for degraded in self.degraded.iter_mut().filter(|degraded| degraded.since != NEVER) {
            degraded.ms += now - degraded.since;
        }
    }

    /// Judges the incompatible edges that stay mixed to the end and start at this node.
    fn judge_edges(&mut self, indexed: &IndexedScenario, node: usize, now: u64) {
        let links = indexed.links.from(indexed.nodes[node].first_link);
        for (number, link) in links.filter(|(_, link)| link.is_incompatible() && node < link.other()) {
            let other = link.other();
            let differs = match (self.patched[node], self.patched[other]) {
                (false, false) => link.differs_at_first(),
                (one, other) => one != other,
            };
            if differs {
                // If only one of them is patched, its time is the smaller one.
                let began = if link.differs_at_first() {
                    0
                } else {
                    self.patched_at[node].min(self.patched_at[other])
                };
                self.judge_mixing(indexed, number, now - began);
            }
        }
    }
}

impl Tally {
    fn count(&mut self, up: bool, now: u64) {
        self.until(now);
        count(&mut self.count, up);
    }

    fn until(&mut self, now: u64) {
        self.ms += u64::from(self.count) * (now - self.since);
        self.since = now;
    }
}

fn count(number: &mut u32, up: bool) {
    *number = if up { *number + 1 } else { *number - 1 };
}

impl Component {
    fn is_troubled(self) -> bool {
        self.fallen > 0 || self.troubled_providers > 0
    }
}

impl Downtime {
    /// The service recovers.
    fn add(&mut self, service: &mut ServiceState, now: u64) {
        let below = now - std::mem::replace(&mut service.below_since, NEVER);
        self.ms += below;
        self.longest_ms = self.longest_ms.max(below);
    }
}
