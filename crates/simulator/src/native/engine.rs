//! Plays the steps of a plan: starts attempts, takes events from the queue in order of time, and decides when to stop.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use planner::{
    NodePlan,
    strategy::{Action, Step},
};

use super::{options::FailureMix, record::Record, stage::Stage, world::World};
use crate::random::{Random, Xoshiro256};

pub struct Engine<'s, 'a> {
    pub stage: &'s Stage<'a>,
    pub world: World<'s, 'a>,
    pub now: u64,
    pub counts: Counts,
    /// Ends of attempts by time; at one time in the order in which they began.
    queue: BinaryHeap<Reverse<(u64, u64, u32, Ending)>>,
    sequence: u64,
    waiting: VecDeque<usize>,
    attempts: Vec<u32>,
    /// Nodes whose second self stands ready for the switch.
    built: Vec<bool>,
    seed: u64,
    run: u64,
}

#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub halted: bool,
    pub out_of_windows: bool,
    pub rollbacks: u32,
    pub retries: u32,
    pub failed: u32,
    pub guardrail_pauses: u32,
    /// Node-milliseconds of second sets.
    pub capacity_ms: u64,
}

/// How an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Patched,
    RolledBack,
    Failed,
    Built,
    BuildFailed,
    /// No attempt: a window opens.
    WindowOpens,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    InPlace,
    /// A second self is built; the first goes on serving.
    Build,
}

impl<'s, 'a> Engine<'s, 'a> {
    pub fn new(stage: &'s Stage<'a>) -> Self {
        let nodes = stage.nodes.len();
        Self {
            stage,
            world: World::new(stage),
            now: 0,
            counts: Counts::default(),
            queue: BinaryHeap::new(),
            sequence: 0,
            waiting: VecDeque::new(),
            attempts: vec![0; nodes],
            built: vec![false; nodes],
            seed: 0,
            run: 0,
        }
    }

    /// Plays a plan from the start. May be called again and again.
    pub fn play(&mut self, plan: &NodePlan, seed: u64, run: u64, record: &mut impl Record) {
        (self.seed, self.run, self.now, self.sequence) = (seed, run, 0, 0);
        self.counts = Counts::default();
        self.attempts.fill(0);
        self.built.fill(false);
        self.world.reset();
        let mut build_began = 0;
        for step in &plan.steps {
            let began = self.now;
            match step.action {
                Action::Patch | Action::PatchCanary => {
                    let failed_before = self.counts.failed;
                    self.work(step, Mode::InPlace, record);
                    record.step(self.now, "patch_step_complete", &step.id, Some(self.now - began));
                    let gate = step.action == Action::PatchCanary && self.stage.options.canaries_gate;
                    self.counts.halted |= gate && self.counts.failed > failed_before;
                }
                Action::BlueGreenBuild => {
                    build_began = began;
                    let failed_before = self.counts.failed;
                    self.work(step, Mode::Build, record);
                    record.step(self.now, "bluegreen_build", &step.id, Some(self.now - began));
                    if self.counts.failed > failed_before {
                        // Half a set does not take over. What was built is thrown away.
                        self.counts.halted = true;
                        self.counts.capacity_ms += step.nodes.len() as u64 * (self.now - began);
                    }
                }
                Action::BlueGreenSwitch => self.switch(step, build_began, record),
                Action::Pause => {
                    self.now += u64::from(step.pause_seconds) * 1000;
                    self.counts.guardrail_pauses += u32::from(step.guardrail);
                    record.step(self.now, "pause", &step.id, Some(self.now - began));
                }
            }
            if self.counts.halted {
                record.step(self.now, "halted", &step.id, None);
                break;
            }
        }
        self.world.close(self.now);
    }

    fn switch(&mut self, step: &Step, build_began: u64, record: &mut impl Record) {
        for node in step.nodes.iter().filter(|node| self.built[**node]) {
            self.world.set_patched(*node, self.now);
            self.world.bring_up(*node, self.now);
            record.node(self.now, "patched", &step.id, *node);
        }
        let kept = u64::from(self.stage.options.bluegreen_keep_seconds) * 1000;
        self.counts.capacity_ms += step.nodes.len() as u64 * (self.now - build_began + kept);
        record.step(self.now, "bluegreen_switch", &step.id, None);
    }

    /// Works on the nodes of a step side by side until all have ended.
    fn work(&mut self, step: &Step, mode: Mode, record: &mut impl Record) {
        let places = self.stage.options.max_parallel.map_or(usize::MAX, |max| max as usize);
        let mut running = 0;
        let mut waits_for_window = false;
        self.waiting.clear();
        self.waiting.extend(&step.nodes);
        loop {
            while running < places
                && !waits_for_window
                && let Some(node) = self.waiting.front().copied()
            {
                if self.counts.halted {
                    self.waiting.clear();
                    break;
                }
                match self.may_begin(node) {
                    Some(begin) if begin == self.now => {
                        self.waiting.pop_front();
                        running += 1;
                        self.begin(node, mode);
                        record.node(self.now, "started", &step.id, node);
                    }
                    Some(begin) => {
                        waits_for_window = true;
                        self.push(begin, node, Ending::WindowOpens);
                    }
                    None => {
                        self.counts.out_of_windows = true;
                        self.counts.halted = true;
                    }
                }
            }
            let Some(Reverse((time, _, node, ending))) = self.queue.pop() else { return };
            self.now = time;
            match ending {
                Ending::WindowOpens => waits_for_window = false,
                _ => {
                    running -= 1;
                    self.end(node as usize, ending, step, record);
                }
            }
        }
    }

    /// When the next attempt on the node may begin; `None` if no window is left that could hold it.
    fn may_begin(&self, node: usize) -> Option<u64> {
        let windows = &self.stage.options.windows;
        if windows.is_empty() {
            return Some(self.now);
        }
        let needed = self.stage.nodes[node].nominal_ms;
        let fits = windows.iter().map(|window| (self.now.max(window.opens * 1000), window.closes * 1000));
        fits.into_iter().find(|(begin, closes)| begin + needed <= *closes).map(|(begin, _)| begin)
    }

    /// Draws what will become of the attempt and puts its end into the queue. Each attempt has luck of its own, so that
    /// nothing around it changes it.
    fn begin(&mut self, node: usize, mode: Mode) {
        let (facts, options) = (self.stage.nodes[node], self.stage.options);
        let attempt = u64::from(self.attempts[node]);
        self.attempts[node] += 1;
        self.counts.retries += u32::from(attempt > 0);
        let mut luck = Xoshiro256::of(self.seed, self.run, attempt << 32 | node as u64);
        let fails = luck.random() < facts.failure_probability;
        let took = match facts.nominal_ms {
            0 => 0,
            nominal => (nominal as f64 * options.duration_factor.sample(&mut luck)).round() as u64,
        };
        if mode == Mode::InPlace && facts.goes_down {
            self.world.take_down(node, self.now);
        }
        if !fails {
            let ending = if mode == Mode::Build { Ending::Built } else { Ending::Patched };
            return self.push(self.now + took, node, ending);
        }
        let way = Way::draw(&options.failure_mix, facts.reboots, luck.random());
        let noticed = self.now
            + match way {
                Way::Patch => (took as f64 * luck.random()).round() as u64,
                Way::Reboot => took + u64::from(options.reboot_timeout_seconds) * 1000,
                Way::Health => took + u64::from(options.health_timeout_seconds) * 1000,
                Way::Lost => took + u64::from(options.lost_timeout_seconds) * 1000,
            };
        if mode == Mode::Build {
            return self.push(noticed, node, Ending::BuildFailed);
        }
        match facts.rollback_supported && way != Way::Lost {
            true => {
                let rollback = (took as f64 * options.rollback_factor).round() as u64;
                self.push(noticed + rollback, node, Ending::RolledBack);
            }
            false => self.push(noticed, node, Ending::Failed),
        }
    }

    fn push(&mut self, time: u64, node: usize, ending: Ending) {
        self.sequence += 1;
        self.queue.push(Reverse((time, self.sequence, node as u32, ending)));
    }

    fn end(&mut self, node: usize, ending: Ending, step: &Step, record: &mut impl Record) {
        let goes_down = self.stage.nodes[node].goes_down;
        let may_retry = self.attempts[node] <= self.stage.options.retries;
        let event = match ending {
            Ending::Patched => {
                self.world.set_patched(node, self.now);
                if goes_down {
                    self.world.bring_up(node, self.now);
                }
                "patched"
            }
            Ending::RolledBack => {
                self.counts.rollbacks += 1;
                if goes_down {
                    self.world.bring_up(node, self.now);
                }
                "rollback"
            }
            Ending::Failed => {
                self.world.take_down(node, self.now);
                "patch_failed"
            }
            Ending::Built => {
                self.built[node] = true;
                "built"
            }
            Ending::BuildFailed => "build_failed",
            // No attempt ends by it.
            Ending::WindowOpens => return,
        };
        record.node(self.now, event, &step.id, node);
        match ending {
            Ending::RolledBack | Ending::BuildFailed if may_retry && !self.counts.halted => {
                self.waiting.push_front(node);
            }
            Ending::RolledBack | Ending::BuildFailed | Ending::Failed => {
                self.counts.failed += 1;
                let most = self.stage.options.max_failures;
                self.counts.halted |= most.is_some_and(|most| self.counts.failed > most);
            }
            _ => {}
        }
    }
}

/// The ways in which an attempt fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Patch,
    Reboot,
    Health,
    Lost,
}

impl Way {
    fn draw(mix: &FailureMix, reboots: bool, draw: f64) -> Self {
        let reboot = if reboots { mix.reboot } else { 0.0 };
        let mut left = draw * (mix.patch + reboot + mix.health + mix.lost);
        for (way, share) in [(Self::Patch, mix.patch), (Self::Reboot, reboot), (Self::Health, mix.health)] {
            if left < share {
                return way;
            }
            left -= share;
        }
        Self::Lost
    }
}
