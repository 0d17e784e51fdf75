//! Plays one run of a plan by the rules of [`domain::run::Run`], on indexes and without its records, so that a thousand plays
//! take a moment. A test plays random plans by both and compares every host.
//!
//! Snapshots of all hosts, then wave by wave: tests before, batches of admitted hosts within the budgets, rollback of failed
//! hosts, further tries, tests after, soak. The run halts on a failed pilot or staging host, on the error threshold, and when
//! hosts that stay down use up the budget. Time is in milliseconds.

use domain::{
    plan::{Intent, WaveKind},
    run::{HostState, SNAPSHOTS_AT_ONCE},
};

use planner::{Admission, admit};

use super::{
    draws::Draws,
    indexed_plan::{Host, IndexedPlan, PlayedRun, Service},
    recorder::{Note, Recorder, TimedNote},
};
use crate::distribution::Distribution;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    /// No remaining opening is long enough for it.
    LeftOut,
    Done,
    /// Back at its snapshot: up, unpatched.
    RolledBack,
    /// Failed and left as it is: it still counts against the budget.
    Down,
}

impl State {
    fn is_failure(self) -> bool {
        matches!(self, Self::RolledBack | Self::Down)
    }
}

pub struct Player<'s, 'a> {
    indexed: &'s IndexedPlan<'a>,
    pub(super) now: u64,
    pub(super) state: Vec<State>,
    pub(super) attempts: Vec<u32>,
    not_retried: Vec<bool>,
    /// Hosts of which a try failed.
    ever_failed: Vec<usize>,
    /// It has a snapshot of this opening, or needs none.
    has_snapshot: Vec<bool>,
    draws: Draws,
    /// When each host was patched.
    pub(super) patched_at: Vec<Option<u64>>,
    /// Times at which a host went down (+1) or came up again (-1).
    changes: Vec<(u64, i8, usize)>,
    down: usize,
    members_down: Vec<u32>,
    /// When the first batch started.
    begun_at: Option<u64>,
    pub(super) halted: bool,
    out_of_windows: bool,
    recorder: Recorder,
}

impl<'s, 'a> Player<'s, 'a> {
    pub fn new(indexed: &'s IndexedPlan<'a>, seed: u64, run: u64) -> Self {
        let hosts = indexed.hosts.len();
        Self {
            indexed,
            now: 0,
            state: vec![State::Pending; hosts],
            attempts: vec![0; hosts],
            not_retried: vec![false; hosts],
            ever_failed: Vec::new(),
            has_snapshot: indexed.hosts.iter().map(|host| !host.takes_snapshot).collect(),
            draws: Draws::new(hosts, seed, run),
            patched_at: vec![None; hosts],
            changes: Vec::with_capacity(2 * hosts),
            down: 0,
            members_down: vec![0; indexed.services.len()],
            begun_at: None,
            halted: false,
            out_of_windows: false,
            recorder: Recorder::default(),
        }
    }

    /// Notes what happens.
    pub fn recorded(mut self) -> Self {
        self.recorder.start();
        self
    }

    pub fn play(&mut self) {
        let plan = self.indexed.plan;
        let is_rollback = matches!(plan.intent, Intent::Rollback { .. });
        if !is_rollback {
            self.take_snapshots(0..self.indexed.hosts.len());
        }
        for (index, (wave, hosts)) in plan.waves.iter().zip(&self.indexed.waves).enumerate() {
            self.recorder.note(self.now, Note::WaveBegins { wave: index });
            self.test_if(wave.gate.tests, hosts);
            if is_rollback {
                self.roll_back_wave(hosts);
            } else {
                self.patch_wave(hosts, wave.kind);
            }
            if self.halted {
                break;
            }
            self.test_if(wave.gate.tests, hosts);
            self.soak(wave.gate.soak_seconds);
        }
        let is_verified = |host: usize| self.attempts[host] > 0 && self.state[host] != State::Down;
        if !is_rollback && (0..self.state.len()).any(is_verified) {
            self.recorder.note(self.now, Note::Verifies);
            self.wait(&self.indexed.model.verification);
        }
    }

    fn soak(&mut self, seconds: u32) {
        if seconds > 0 {
            self.recorder.note(self.now, Note::Soaks { seconds });
            self.now += u64::from(seconds) * 1000;
        }
    }

    fn wait(&mut self, time: &Distribution) {
        self.now += self.draws.step(time);
    }

    fn test_if(&mut self, tests: bool, hosts: &[usize]) {
        if tests && hosts.iter().any(|host| self.state[*host] != State::LeftOut) {
            self.recorder.note(self.now, Note::Tests);
            self.wait(&self.indexed.model.tests);
        }
    }

    fn take_snapshots(&mut self, hosts: impl Iterator<Item = usize>) {
        let due: Vec<usize> = hosts.filter(|host| !self.has_snapshot[*host]).collect();
        for round in due.chunks(SNAPSHOTS_AT_ONCE) {
            self.recorder.note(self.now, Note::Snapshots { hosts: round.len() });
            self.wait(&self.indexed.model.snapshots);
            round.iter().for_each(|host| self.has_snapshot[*host] = true);
        }
    }

    /// It waits for its first try, or for another one.
    fn is_due(&self, host: usize) -> bool {
        let is_tried_again =
            self.attempts[host] <= self.indexed.plan.limits.retries && !self.not_retried[host];
        self.state[host] == State::Pending || self.state[host].is_failure() && is_tried_again
    }

    fn patch_wave(&mut self, wave: &[usize], kind: WaveKind) {
        let limits = self.indexed.plan.limits;
        let mut begun = false;
        loop {
            let due: Vec<usize> = wave.iter().copied().filter(|host| self.is_due(*host)).collect();
            let has_failed = |host: usize| self.state[host].is_failure() && !due.contains(&host);
            let failed = self.ever_failed.iter().filter(|host| has_failed(**host)).count();
            if kind != WaveKind::Batch && wave.iter().any(|host| has_failed(*host))
                || failed > limits.error_threshold as usize
            {
                self.halted = true;
                return;
            }
            if due.is_empty() {
                return;
            }
            let admitted = self.admit(&due, begun);
            if admitted.is_empty() {
                continue;
            }
            let batch = self.next_batch(&admitted);
            if batch.is_empty() {
                self.halted = true;
                return;
            }
            self.take_snapshots(batch.iter().copied());
            self.patch(&batch);
            begun = true;
        }
    }

    /// The hosts that may start now. If none may, goes on to the next opening, and leaves out those that have none.
    fn admit(&mut self, due: &[usize], wave_has_begun: bool) -> Vec<usize> {
        let fits = due.iter().map(|host| {
            let Host { openings, expected_ms, .. } = self.indexed.hosts[*host];
            (*host, self.indexed.openings[openings].next_fit(self.now, expected_ms, wave_has_begun))
        });
        let Admission { now: admitted, never, next_ms } = admit(fits, self.now);
        for host in never {
            self.out_of_windows = true;
            match self.state[host] {
                State::Pending => {
                    self.state[host] = State::LeftOut;
                    self.note_host(self.now, host, HostState::Skipped);
                }
                _ => self.not_retried[host] = true,
            }
        }
        if let (true, Some(next)) = (admitted.is_empty(), next_ms) {
            self.recorder.note(self.now, Note::Waits { until_ms: next });
            self.now = next;
            // The machine forgets the snapshots of every host that has not started, whatever its wave.
            for (host, has_snapshot) in self.has_snapshot.iter_mut().enumerate() {
                if self.state[host] == State::Pending && self.indexed.hosts[host].takes_snapshot {
                    *has_snapshot = false;
                }
            }
        }
        admitted
    }

    /// Hosts that may go down now, in the wave's order, in addition to those that failed and stayed down.
    fn next_batch(&mut self, candidates: &[usize]) -> Vec<usize> {
        let mut batch = Vec::new();
        let mut taken = 0;
        for host in candidates.iter().copied() {
            if batch.len() >= self.indexed.batch_size {
                break;
            }
            if self.state[host] == State::Down {
                batch.push(host);
                continue;
            }
            if self.down + taken >= self.indexed.max_parallel {
                continue;
            }
            let Host { was_up, services, .. } = &self.indexed.hosts[host];
            let spared = |service: &usize| {
                let Service { up, must_stay_up, .. } = self.indexed.services[*service];
                up > must_stay_up + self.members_down[*service]
            };
            if !was_up || services.iter().all(spared) {
                batch.push(host);
                taken += 1;
                self.count_members(host, true);
            }
        }
        let newly_down = batch.iter().copied().filter(|host| self.state[*host] != State::Down);
        for host in newly_down.collect::<Vec<_>>() {
            self.count_members(host, false);
        }
        batch
    }

    /// One batch in parallel, then the rollback of its failed hosts.
    fn patch(&mut self, batch: &[usize]) {
        let plan = self.indexed.plan;
        let start = self.now;
        self.begun_at.get_or_insert(start);
        let mut failed = Vec::new();
        for host in batch.iter().copied() {
            self.attempts[host] += 1;
            let reboot = self.indexed.reboot_at(host, start);
            let (took, succeeded) = self.draws.attempt(host, self.indexed.hosts[host].model, plan, reboot);
            self.now = self.now.max(start + took);
            self.note_host(start, host, HostState::Patching);
            if self.state[host] == State::Down {
                self.release(host);
            } else {
                self.changes.push((start, 1, host));
            }
            if succeeded {
                self.state[host] = State::Done;
                self.patched_at[host] = Some(start + took);
                self.changes.push((start + took, -1, host));
                self.note_host(start + took, host, HostState::Succeeded);
            } else {
                failed.push(host);
                self.note_host(start + took, host, HostState::Failed);
            }
        }
        let start = self.now;
        for host in failed {
            if self.attempts[host] == 1 {
                self.ever_failed.push(host);
            }
            let Host { model, can_roll_back, .. } = self.indexed.hosts[host];
            if can_roll_back {
                let (took, restored) = self.draws.rollback(host, model);
                self.now = self.now.max(start + took);
                if restored {
                    self.state[host] = State::RolledBack;
                    self.changes.push((start + took, -1, host));
                    self.note_host(start + took, host, HostState::RolledBack);
                    continue;
                }
                self.note_host(start + took, host, HostState::RollbackFailed);
            }
            self.state[host] = State::Down;
            self.hold(host);
        }
    }

    /// A rollback waits for no window, is not tried again, and goes on whatever happens, within the budgets.
    fn roll_back_wave(&mut self, wave: &[usize]) {
        loop {
            let pending: Vec<usize> =
                wave.iter().copied().filter(|host| self.state[*host] == State::Pending).collect();
            if pending.is_empty() {
                return;
            }
            let batch = self.next_batch(&pending);
            if batch.is_empty() {
                self.halted = true;
                return;
            }
            let start = self.now;
            for host in batch {
                self.attempts[host] += 1;
                let (took, restored) = self.draws.rollback(host, self.indexed.hosts[host].model);
                self.now = self.now.max(start + took);
                self.changes.push((start, 1, host));
                self.note_host(start, host, HostState::Patching);
                if restored {
                    self.state[host] = State::Done;
                    self.patched_at[host] = Some(start + took);
                    self.changes.push((start + took, -1, host));
                    self.note_host(start + took, host, HostState::RolledBack);
                } else {
                    self.state[host] = State::Down;
                    self.hold(host);
                    self.note_host(start + took, host, HostState::RollbackFailed);
                }
            }
        }
    }

    fn note_host(&mut self, at_ms: u64, host: usize, state: HostState) {
        self.recorder.note(at_ms, Note::Host { host, state });
    }

    fn hold(&mut self, host: usize) {
        self.down += 1;
        self.count_members(host, true);
    }

    /// A host that stayed down is tried again: this try counts, not the failure before it.
    fn release(&mut self, host: usize) {
        self.down -= 1;
        self.count_members(host, false);
    }

    fn count_members(&mut self, host: usize, down: bool) {
        let Host { services, was_up, .. } = &self.indexed.hosts[host];
        for service in services.iter().filter(|_| *was_up) {
            let members = &mut self.members_down[*service];
            *members = if down { *members + 1 } else { *members - 1 };
        }
    }

    pub(super) fn finish_recorded(mut self) -> (Vec<TimedNote>, PlayedRun) {
        let notes = std::mem::take(&mut self.recorder).finish();
        (notes, self.finish())
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
            failed: self.state.iter().filter(|state| state.is_failure()).count() as u32,
            unpatched: u32::try_from(unpatched).unwrap_or(u32::MAX),
            exposure,
            max_down,
            duration: self.now,
            work: self.now - self.begun_at.unwrap_or(self.now),
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
