//! Plays the steps of a plan: starts attempts, takes events from the agenda in order of time, and decides when to stop.

use std::{cmp::Reverse, collections::BinaryHeap};

use planner::strategy::{Action, PlanStep};

use super::{
    agenda::Agenda,
    attempt::{self, AttemptEnd, Mode},
    indexed_scenario::IndexedScenario,
    prepared_plan::{PreparedPlan, Segment, Stop},
    record::Record,
    world::{NEVER, NOBODY, World},
};
use crate::random::RunStreams;

pub struct Engine<'s, 'a> {
    pub indexed: &'s IndexedScenario<'a>,
    start: &'s World,
    pub world: World,
    pub now: u64,
    pub counts: Counts,
    agenda: Agenda,
    streams: RunStreams,
    /// Places of nodes that may start now, as far as is known; the earliest first.
    ready: BinaryHeap<Reverse<u32>>,
    /// Nodes that wait for the next window.
    for_window: Vec<u32>,
    /// By place, for the segments so far.
    progress: Vec<Progress>,
    /// Unfinished nodes of each step so far, and when its first node started.
    left: Vec<(u32, u64)>,
    /// Ends that each step still waits for.
    missing: Vec<u32>,
    /// The first step with nodes that have not ended.
    turn: u32,
    /// Places from here on have not been visited.
    cursor: u32,
    /// When to search for the next window.
    awaited: u64,
}

#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub halted: bool,
    pub out_of_windows: bool,
    pub rollbacks: u32,
    pub begun: u32,
    pub retries: u32,
    pub failed: u32,
    pub guardrail_pauses: u32,
    /// Node-milliseconds of second sets.
    pub capacity_ms: u64,
    /// Node-milliseconds of attempts that outlasted their window.
    pub overrun_ms: u64,
}

/// The progress of a place of the plan.
#[derive(Clone, Copy, Default)]
struct Progress {
    attempts: u32,
    /// The next node that waits for the same service.
    next_parked: u32,
    /// It waits until its service can spare it.
    parked: bool,
    /// An attempt is in progress, or no further one follows.
    begun: bool,
}

/// What a node waits for.
enum Wait {
    /// Its service.
    Service,
    /// A node that it depends on, or its turn; stored elsewhere.
    Turn,
    Window(u64),
    /// No remaining window is long enough for it.
    Nothing,
}

impl<'s, 'a> Engine<'s, 'a> {
    pub fn new(indexed: &'s IndexedScenario<'a>, start: &'s World) -> Self {
        Self {
            indexed,
            start,
            world: World::default(),
            now: 0,
            counts: Counts::default(),
            agenda: Agenda::default(),
            streams: RunStreams::new(0, 0),
            ready: BinaryHeap::new(),
            for_window: Vec::new(),
            progress: Vec::new(),
            left: Vec::new(),
            missing: Vec::new(),
            turn: 0,
            cursor: 0,
            awaited: NEVER,
        }
    }

    /// Plays a plan from the start. May be called again and again.
    pub fn play(&mut self, prepared: &PreparedPlan, seed: u64, run: u64, record: &mut impl Record) {
        self.world.restore(self.start);
        self.streams = RunStreams::new(seed, run);
        (self.now, self.awaited) = (0, NEVER);
        self.counts = Counts::default();
        self.left.clear();
        self.progress.clear();
        if let Some(dependencies) = &prepared.dependencies {
            self.missing.clone_from(&dependencies.missing);
        }
        let mut build_began = 0;
        for segment in prepared.segments() {
            let began = self.now;
            let step = &prepared.plan.steps[segment.first_step as usize];
            match step.action {
                Action::Patch | Action::PatchCanary => self.work(prepared, &segment, Mode::InPlace, record),
                Action::BlueGreenBuild => {
                    build_began = began;
                    let failed_before = self.counts.failed;
                    self.work(prepared, &segment, Mode::Build, record);
                    if self.counts.failed > failed_before {
                        // An incomplete set does not take over. What was built is discarded.
                        self.counts.halted = true;
                        self.counts.capacity_ms += step.size() as u64 * (self.now - began);
                    }
                }
                Action::BlueGreenSwitch => self.switch(prepared, step, build_began, record),
                Action::Pause => {
                    self.now += u64::from(step.pause_seconds) * 1000;
                    self.counts.guardrail_pauses += u32::from(step.guardrail);
                    record.step(self.now, "pause", &step.name, Some(self.now - began));
                }
            }
            if self.counts.halted {
                let step =
                    &prepared.plan.steps[self.turn.clamp(segment.first_step, segment.end_step - 1) as usize];
                record.step(self.now, "halted", &step.name, None);
                break;
            }
        }
        self.world.close(self.indexed, self.now);
    }

    fn switch(
        &mut self,
        prepared: &PreparedPlan,
        step: &PlanStep,
        build_began: u64,
        record: &mut impl Record,
    ) {
        for stop in prepared.stops_of(step) {
            let node = stop.node as usize;
            if !self.world.built[node] {
                continue;
            }
            self.world.set_patched(self.indexed, node, &stop.traits, self.now);
            self.world.bring_up(self.indexed, node, &stop.traits, self.now);
            record.node(self.now, "patched", &step.name, node);
        }
        let kept = u64::from(self.indexed.options.bluegreen_keep_seconds) * 1000;
        self.counts.capacity_ms += step.size() as u64 * (self.now - build_began + kept);
        record.step(self.now, "bluegreen_switch", &step.name, None);
    }

    /// Patches the nodes of a segment, starting new ones as others end, until all have ended.
    fn work(&mut self, prepared: &PreparedPlan, segment: &Segment, mode: Mode, record: &mut impl Record) {
        self.turn = segment.first_step;
        self.agenda.clear();
        self.ready.clear();
        self.for_window.clear();
        // These grow segment by segment, because many runs halt long before the last.
        let steps = &prepared.plan.steps[self.left.len()..segment.end_step as usize];
        self.left.extend(steps.iter().map(|step| (step.size() as u32, NOT_BEGUN)));
        self.progress.resize(segment.end as usize, Progress::default());
        if segment.is_flow() {
            for (service, width) in prepared.widths_of(segment) {
                let service = &mut self.world.services[*service as usize];
                (service.width, service.working) = (*width, 0);
            }
        }
        self.cursor = segment.first;
        let mut running = 0;
        loop {
            while running < segment.places && !self.counts.halted {
                let place = match self.ready.pop() {
                    Some(Reverse(place)) => place,
                    None if self.cursor < segment.end => {
                        self.cursor += 1;
                        self.cursor - 1
                    }
                    None => break,
                };
                if self.progress[place as usize].begun {
                    continue;
                }
                match self.waits_for(prepared, segment, place) {
                    None => {
                        running += 1;
                        self.begin(prepared, segment, place, mode, record);
                    }
                    Some(Wait::Service) => self.park(prepared, place),
                    Some(Wait::Turn) => {}
                    Some(Wait::Window(opens)) => {
                        self.for_window.push(place);
                        if opens < self.awaited {
                            self.awaited = opens;
                            self.agenda.push(opens, AttemptEnd::WindowOpens.at(0));
                        }
                    }
                    Some(Wait::Nothing) => (self.counts.out_of_windows, self.counts.halted) = (true, true),
                }
            }
            let Some((time, event)) = self.agenda.pop() else { break };
            let (place, end) = AttemptEnd::read(event);
            if end == AttemptEnd::WindowOpens {
                self.awaited = NEVER;
                if !self.counts.halted {
                    self.now = time;
                    self.ready.extend(self.for_window.drain(..).map(Reverse));
                }
                continue;
            }
            self.now = time;
            running -= 1;
            self.end(prepared, segment, place, end, record);
            if segment.is_flow() && self.left[self.turn as usize].0 == 0 {
                self.next_turn(prepared, segment);
            }
        }
        if segment.first == segment.end {
            self.tell_end(prepared, segment.first_step, record);
        }
    }

    /// `None`: it may start. Nodes of the current step start as planned, whatever that costs; nodes of later steps only if
    /// their service can spare them and their dependencies have ended.
    fn waits_for(&self, prepared: &PreparedPlan, segment: &Segment, place: u32) -> Option<Wait> {
        let Stop { step, traits, .. } = &prepared.stops[place as usize];
        if segment.is_flow() {
            let service = &self.world.services[traits.service as usize];
            if *step != self.turn {
                if prepared.dependencies.is_some() {
                    // A group starts together, so it waits for its turn.
                    let is_group = prepared.plan.steps[*step as usize].size() > 1;
                    if is_group || self.missing[*step as usize] > 0 {
                        return Some(Wait::Turn);
                    }
                }
                if traits.goes_down() && service.up <= service.min_up {
                    return Some(Wait::Service);
                }
            }
            if service.working >= service.width {
                return Some(Wait::Service);
            }
        }
        if self.indexed.options.windows.is_empty() {
            None
        } else {
            self.waits_for_window(u64::from(prepared.attempt_inputs[place as usize].nominal_seconds) * 1000)
        }
    }

    fn waits_for_window(&self, needed: u64) -> Option<Wait> {
        let windows = self.indexed.options.windows.iter();
        let fits = windows.map(|window| (self.now.max(window.opens * 1000), window.closes * 1000));
        match fits.into_iter().find(|(begin, closes)| begin + needed <= *closes) {
            Some((begin, _)) if begin == self.now => None,
            Some((begin, _)) => Some(Wait::Window(begin)),
            None => Some(Wait::Nothing),
        }
    }

    /// Queues the node until its service can spare it; nodes of the current step come first.
    fn park(&mut self, prepared: &PreparedPlan, place: u32) {
        if std::mem::replace(&mut self.progress[place as usize].parked, true) {
            return;
        }
        let stop = &prepared.stops[place as usize];
        let service = &mut self.world.services[stop.traits.service as usize];
        let mut next = NOBODY;
        if service.first_parked == NOBODY {
            (service.first_parked, service.last_parked) = (place, place);
        } else if stop.step == self.turn {
            next = std::mem::replace(&mut service.first_parked, place);
        } else {
            let last = std::mem::replace(&mut service.last_parked, place);
            self.progress[last as usize].next_parked = place;
        }
        self.progress[place as usize].next_parked = next;
    }

    /// Checks the node that waited longest for the service again.
    fn unpark(&mut self, service: u32) {
        let service = &mut self.world.services[service as usize];
        while service.first_parked != NOBODY {
            let place = service.first_parked;
            let progress = &mut self.progress[place as usize];
            service.first_parked = progress.next_parked;
            progress.parked = false;
            if !progress.begun {
                self.ready.push(Reverse(place));
                return;
            }
        }
    }

    /// The previous step is done: nodes of the next step that were checked before their turn are checked again.
    fn next_turn(&mut self, prepared: &PreparedPlan, segment: &Segment) {
        while self.turn + 1 < segment.end_step && self.left[self.turn as usize].0 == 0 {
            self.turn += 1;
        }
        let step = &prepared.plan.steps[self.turn as usize];
        for place in step.places().take_while(|place| *place < self.cursor) {
            if !self.progress[place as usize].begun {
                self.ready.push(Reverse(place));
            }
        }
    }

    #[inline]
    fn begin(
        &mut self,
        prepared: &PreparedPlan,
        segment: &Segment,
        place: u32,
        mode: Mode,
        record: &mut impl Record,
    ) {
        let Stop { node, step, traits } = &prepared.stops[place as usize];
        let progress = &mut self.progress[place as usize];
        let number = progress.attempts;
        progress.attempts += 1;
        progress.begun = true;
        self.counts.retries += u32::from(number > 0);
        self.counts.begun += u32::from(number == 0);
        let stream = self.streams.of(u64::from(number) << 32 | u64::from(*node));
        let (takes, end) =
            attempt::draw(self.indexed, &prepared.attempt_inputs[place as usize], mode, stream);
        if segment.is_flow() {
            self.world.services[traits.service as usize].working += 1;
        }
        if mode == Mode::InPlace && traits.goes_down() {
            self.world.take_down(self.indexed, *node as usize, traits, self.now);
        }
        let began = &mut self.left[*step as usize].1;
        *began = (*began).min(self.now);
        self.agenda.push(self.now + takes, end.at(place));
        if !self.indexed.options.windows.is_empty() {
            let mut windows = self.indexed.options.windows.iter();
            let closes = windows.find(|window| window.closes * 1000 > self.now).map(|window| window.closes);
            let over = closes.map_or(0, |closes| (self.now + takes).saturating_sub(closes * 1000));
            self.counts.overrun_ms += over;
        }
        record.node(self.now, "started", &prepared.plan.steps[*step as usize].name, *node as usize);
    }

    #[inline]
    fn end(
        &mut self,
        prepared: &PreparedPlan,
        segment: &Segment,
        place: u32,
        end: AttemptEnd,
        record: &mut impl Record,
    ) {
        let Stop { node, step, traits } = &prepared.stops[place as usize];
        let node = *node as usize;
        match end {
            AttemptEnd::Patched => {
                self.world.set_patched(self.indexed, node, traits, self.now);
                if traits.goes_down() {
                    self.world.bring_up(self.indexed, node, traits, self.now);
                }
            }
            AttemptEnd::RolledBack => {
                self.counts.rollbacks += 1;
                if traits.goes_down() {
                    self.world.bring_up(self.indexed, node, traits, self.now);
                }
            }
            AttemptEnd::Failed => self.world.take_down(self.indexed, node, traits, self.now),
            AttemptEnd::Built => self.world.built[node] = true,
            AttemptEnd::BuildFailed | AttemptEnd::WindowOpens => {}
        }
        record.node(self.now, end.event(), &prepared.plan.steps[*step as usize].name, node);
        if segment.is_flow() {
            self.world.services[traits.service as usize].working -= 1;
        }
        let may_retry = matches!(end, AttemptEnd::RolledBack | AttemptEnd::BuildFailed)
            && self.progress[place as usize].attempts <= self.indexed.options.retries
            && !self.counts.halted;
        if may_retry {
            self.progress[place as usize].begun = false;
            self.ready.push(Reverse(place));
        } else {
            if matches!(end, AttemptEnd::RolledBack | AttemptEnd::BuildFailed | AttemptEnd::Failed) {
                self.counts.failed += 1;
                let options = self.indexed.options;
                let gates = prepared.action(segment) == Action::PatchCanary && options.canaries_gate;
                self.counts.halted |=
                    gates || options.max_failures.is_some_and(|most| self.counts.failed > most);
            }
            self.finish(prepared, place, *step, record);
        }
        if segment.is_flow() {
            self.unpark(traits.service);
        }
    }

    /// The node has ended for good: its step counts it, and steps that waited for it are notified.
    fn finish(&mut self, prepared: &PreparedPlan, place: u32, step: u32, record: &mut impl Record) {
        let left = &mut self.left[step as usize].0;
        *left -= 1;
        if *left == 0 {
            self.tell_end(prepared, step, record);
        }
        if let Some(dependencies) = &prepared.dependencies {
            let seen = prepared.stops[self.cursor as usize - 1].step;
            for dependent in dependencies.dependents.of(place as usize) {
                let missing = &mut self.missing[*dependent as usize];
                *missing -= 1;
                if *missing == 0 && *dependent <= seen {
                    let places = prepared.plan.steps[*dependent as usize].places();
                    self.ready.extend(places.take_while(|place| *place < self.cursor).map(Reverse));
                }
            }
        }
    }

    fn tell_end(&self, prepared: &PreparedPlan, step: u32, record: &mut impl Record) {
        let began = self.left[step as usize].1.min(self.now);
        let step = &prepared.plan.steps[step as usize];
        let event = match step.action {
            Action::BlueGreenBuild => "bluegreen_build",
            _ => "patch_step_complete",
        };
        record.step(self.now, event, &step.name, Some(self.now - began));
    }
}

const NOT_BEGUN: u64 = u64::MAX;
