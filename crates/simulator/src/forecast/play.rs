//! Plays one run of a plan as the run engine would execute it.
//!
//! Snapshots of all hosts, then wave by wave: tests before, rounds of hosts in parallel within the budgets, rollback of
//! failed hosts, retries in a further round, tests after, soak. The run halts on a failed pilot or staging host, on the
//! error threshold, and when hosts that stay down use up the budget. Time is in milliseconds.

use std::{cmp::Reverse, collections::BinaryHeap};

use domain::{
    plan::{Intent, WaveKind},
    workflow::Reboot,
};

use super::indexed_plan::{Host, IndexedPlan, PlayedRun, Service};
use crate::{
    distribution::Distribution,
    random::{Random, Xoshiro256},
};

/// The number of snapshots that the engine takes in one action.
const SNAPSHOTS_AT_ONCE: usize = 50;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    /// No remaining window is long enough for it.
    LeftOut,
    Done,
    /// Back at its snapshot: up, unpatched.
    RolledBack,
    /// Failed and left as it is: it still counts against the budget.
    Down,
}

pub struct Player<'s, 'a> {
    indexed: &'s IndexedPlan<'a>,
    now: u64,
    state: Vec<State>,
    attempts: Vec<u32>,
    streams: Vec<Xoshiro256>,
    run_stream: Xoshiro256,
    /// When each host was patched.
    patched_at: Vec<Option<u64>>,
    /// Times at which a host went down (+1) or came up again (-1).
    changes: Vec<(u64, i8, usize)>,
    down: usize,
    members_down: Vec<u32>,
    halted: bool,
    out_of_windows: bool,
}

/// Parallel slots for hosts: a host starts when another has ended.
struct Places(BinaryHeap<Reverse<u64>>);

impl Places {
    fn new(forks: u32, now: u64, hosts: usize) -> Self {
        Self(vec![Reverse(now); hosts.min(forks.max(1) as usize)].into())
    }

    /// When a place is free.
    fn next(&self) -> u64 {
        self.0.peek().map_or(0, |free| free.0)
    }

    fn take_until(&mut self, end: u64) {
        if let Some(mut first) = self.0.peek_mut() {
            first.0 = end;
        }
    }
}

impl<'s, 'a> Player<'s, 'a> {
    pub fn new(indexed: &'s IndexedPlan<'a>, seed: u64, run: u64) -> Self {
        let hosts = indexed.hosts.len();
        Self {
            indexed,
            now: 0,
            state: vec![State::Pending; hosts],
            attempts: vec![0; hosts],
            streams: (0..hosts).map(|host| Xoshiro256::of(seed, run, host as u64)).collect(),
            run_stream: Xoshiro256::of(seed, run, u64::MAX),
            patched_at: vec![None; hosts],
            changes: Vec::with_capacity(2 * hosts),
            down: 0,
            members_down: vec![0; indexed.services.len()],
            halted: false,
            out_of_windows: false,
        }
    }

    pub fn play(&mut self) {
        let plan = self.indexed.plan;
        let is_patch = plan.intent == Intent::Patch;
        if is_patch && plan.snapshot_retention_hours.is_some() {
            for _ in 0..self.indexed.hosts.len().div_ceil(SNAPSHOTS_AT_ONCE) {
                self.wait(&self.indexed.model.snapshots);
            }
        }
        for (index, wave) in plan.waves.iter().enumerate() {
            if wave.gate.tests {
                self.wait(&self.indexed.model.tests);
            }
            self.play_wave(&self.indexed.waves[index], wave.kind, is_patch);
            if self.halted {
                break;
            }
            if wave.gate.tests {
                self.wait(&self.indexed.model.tests);
            }
            self.now += u64::from(wave.gate.soak_seconds) * 1000;
        }
        self.wait(&self.indexed.model.verification);
    }

    fn wait(&mut self, time: &Distribution) {
        self.now += milliseconds(time.sample(&mut self.run_stream));
    }

    fn play_wave(&mut self, wave: &[usize], kind: WaveKind, is_patch: bool) {
        let limits = self.indexed.plan.limits;
        loop {
            let pending: Vec<usize> =
                wave.iter().copied().filter(|host| self.state[*host] == State::Pending).collect();
            if pending.is_empty() {
                return;
            }
            let round = self.next_round(&pending);
            if round.is_empty() {
                self.halted = true;
                return;
            }
            let failed = if is_patch { self.patch(&round) } else { self.return_to_snapshots(&round) };
            let retried = |host: &usize| is_patch && self.attempts[*host] <= limits.retries;
            let (again, lost): (Vec<usize>, Vec<usize>) = failed.into_iter().partition(retried);
            for host in again {
                if self.state[host] == State::Down {
                    self.release(host);
                }
                self.state[host] = State::Pending;
            }
            if (kind != WaveKind::Batch && !lost.is_empty())
                || self.failed_count() > limits.error_threshold as usize
            {
                self.halted = true;
                return;
            }
        }
    }

    /// Hosts that may go down now, in the wave's order, in addition to those that failed and stayed down.
    fn next_round(&mut self, pending: &[usize]) -> Vec<usize> {
        let mut round = Vec::new();
        for host in pending {
            if self.down + round.len() >= self.indexed.max_parallel {
                break;
            }
            let spared = |service: &usize| {
                let Service { up, must_stay_up, .. } = self.indexed.services[*service];
                !self.indexed.hosts[*host].was_up || up > must_stay_up + self.members_down[*service]
            };
            if self.indexed.hosts[*host].services.iter().all(spared) {
                round.push(*host);
                self.count_members(*host, true);
            }
        }
        round.iter().for_each(|host| self.count_members(*host, false));
        round
    }

    /// One parallel round, then the rollback of its failed hosts. Returns the failed hosts.
    fn patch(&mut self, round: &[usize]) -> Vec<usize> {
        let mut failed = Vec::new();
        let mut places = Places::new(self.indexed.model.forks, self.now, round.len());
        for host in round {
            let Some(start) = self.may_begin(*host, places.next()) else { continue };
            self.attempts[*host] += 1;
            let (took, succeeded) = self.attempt(*host);
            let end = start + took;
            places.take_until(end);
            self.now = self.now.max(end);
            self.changes.push((start, 1, *host));
            if succeeded {
                self.state[*host] = State::Done;
                self.patched_at[*host] = Some(end);
                self.changes.push((end, -1, *host));
            } else {
                failed.push(*host);
            }
        }
        let start = self.now;
        for host in &failed {
            let Host { model, can_roll_back, .. } = self.indexed.hosts[*host];
            if can_roll_back {
                let stream = &mut self.streams[*host];
                let took = milliseconds(model.rollback.sample(stream));
                let restored = stream.random() >= model.rollback_failure_probability;
                self.now = self.now.max(start + took);
                if restored {
                    self.state[*host] = State::RolledBack;
                    self.changes.push((start + took, -1, *host));
                    continue;
                }
            }
            self.state[*host] = State::Down;
            self.hold(*host);
        }
        failed
    }

    /// When the host, which gets a place at the given time, may start in one of its openings; `None` if in none.
    fn may_begin(&mut self, host: usize, free: u64) -> Option<u64> {
        let Host { openings, expected_ms, .. } = self.indexed.hosts[host];
        let begins = self.indexed.openings[openings].next_fit(free, expected_ms);
        if begins.is_none() {
            self.state[host] = State::LeftOut;
            self.out_of_windows = true;
        }
        begins
    }

    fn return_to_snapshots(&mut self, round: &[usize]) -> Vec<usize> {
        let mut failed = Vec::new();
        let mut places = Places::new(self.indexed.model.forks, self.now, round.len());
        for host in round {
            let Some(start) = self.may_begin(*host, places.next()) else { continue };
            self.attempts[*host] += 1;
            let model = self.indexed.hosts[*host].model;
            let stream = &mut self.streams[*host];
            let end = start + milliseconds(model.rollback.sample(stream));
            let restored = stream.random() >= model.rollback_failure_probability;
            places.take_until(end);
            self.now = self.now.max(end);
            self.changes.push((start, 1, *host));
            if restored {
                self.state[*host] = State::Done;
                self.patched_at[*host] = Some(end);
                self.changes.push((end, -1, *host));
            } else {
                self.state[*host] = State::Down;
                self.hold(*host);
                failed.push(*host);
            }
        }
        failed
    }

    /// Duration and success. Every attempt draws the same numbers in the same order, whatever their effect.
    fn attempt(&mut self, host: usize) -> (u64, bool) {
        let plan = self.indexed.plan;
        let model = self.indexed.hosts[host].model;
        let stream = &mut self.streams[host];
        let (update, reboot) = (model.update.sample(stream), model.reboot.sample(stream));
        let (needs_reboot, fails, lost) = (stream.random(), stream.random(), stream.random());
        let reboots = match plan.reboot {
            Reboot::Never => false,
            Reboot::IfRequired => needs_reboot < model.reboot_probability,
            Reboot::Always => true,
        };
        let timeout = f64::from(plan.workflow.host_timeout_seconds);
        let time = if reboots { update + reboot } else { update };
        let lost = lost < model.lost_probability || time >= timeout;
        let time = if lost { timeout } else { time };
        (milliseconds(time), !lost && fails >= model.failure_probability)
    }

    fn hold(&mut self, host: usize) {
        self.down += 1;
        self.count_members(host, true);
    }

    /// A host that stayed down and is retried: the new attempt counts, not the failure before it.
    fn release(&mut self, host: usize) {
        self.down -= 1;
        self.count_members(host, false);
        self.changes.push((self.now, -1, host));
    }

    fn count_members(&mut self, host: usize, down: bool) {
        let Host { services, was_up, .. } = &self.indexed.hosts[host];
        for service in services.iter().filter(|_| *was_up) {
            let members = &mut self.members_down[*service];
            *members = if down { *members + 1 } else { *members - 1 };
        }
    }

    fn failed_count(&self) -> usize {
        self.state.iter().filter(|state| matches!(state, State::RolledBack | State::Down)).count()
    }

    pub fn finish(mut self) -> PlayedRun {
        let still_exposed = self.now + u64::from(self.indexed.model.unpatched_exposure_seconds) * 1000;
        let exposure = (self.indexed.hosts.iter().zip(&self.patched_at))
            .map(|(host, patched)| host.weight * patched.unwrap_or(still_exposed) as f64 / 1000.0)
            .sum();
        let unpatched = self.patched_at.iter().filter(|patched| patched.is_none()).count();
        let (max_down, below, fewest_up) = self.availability();
        PlayedRun {
            halted: self.halted,
            out_of_windows: self.out_of_windows,
            done_in_window: !self.halted
                && !self.out_of_windows
                && self.indexed.window_ms.is_some_and(|closes| self.now <= closes),
            begun: self.attempts.iter().filter(|attempts| **attempts > 0).count() as u32,
            failed: u32::try_from(self.failed_count()).unwrap_or(u32::MAX),
            unpatched: u32::try_from(unpatched).unwrap_or(u32::MAX),
            exposure,
            max_down,
            duration: self.now,
            below,
            fewest_up,
        }
    }

    /// Walks the changes in time: most hosts down at once, milliseconds below `min_up` and fewest members up of each
    /// service. At the same instant, hosts that come up are counted before hosts that go down.
    fn availability(&mut self) -> (u32, Vec<u64>, Vec<u32>) {
        let services = &self.indexed.services;
        let mut up: Vec<u32> = services.iter().map(|service| service.up).collect();
        let mut fewest = up.clone();
        let mut below = vec![0; services.len()];
        let mut below_since: Vec<Option<u64>> =
            services.iter().map(|service| (service.up < service.min_up).then_some(0)).collect();
        let (mut down, mut max_down) = (0_i64, 0_i64);
        self.changes.sort_unstable();
        for (time, change, host) in &self.changes {
            down += i64::from(*change);
            max_down = max_down.max(down);
            let Host { services: of_host, was_up, .. } = &self.indexed.hosts[*host];
            for service in of_host.iter().copied().filter(|_| *was_up) {
                up[service] = up[service].saturating_add_signed(-i32::from(*change));
                fewest[service] = fewest[service].min(up[service]);
                match (up[service] < services[service].min_up, below_since[service]) {
                    (true, None) => below_since[service] = Some(*time),
                    (false, Some(since)) => {
                        below[service] += time - since;
                        below_since[service] = None;
                    }
                    _ => {}
                }
            }
        }
        for (service, since) in below_since.into_iter().enumerate() {
            below[service] += since.map_or(0, |since| self.now.saturating_sub(since));
        }
        (u32::try_from(max_down).unwrap_or(0), below, fewest)
    }
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}
