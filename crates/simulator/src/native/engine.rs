//! Plays the steps of a plan: starts attempts, takes events from the agenda in order of time, and decides when to stop.

use std::{cmp::Reverse, collections::BinaryHeap};

use planner::strategy::{Action, PlanStep};

use super::{
    agenda::Agenda,
    attempt::{self, Ending, Mode},
    course::{Course, Leg, Stop},
    indexed_scenario::IndexedScenario,
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
    /// Places of nodes that may begin now as far as is known: first of all the earliest.
    ready: BinaryHeap<Reverse<u32>>,
    /// Who waits for the next window.
    for_window: Vec<u32>,
    /// By place, as far as the legs have come.
    progress: Vec<Progress>,
    /// Nodes of each step so far that have not ended, and when its first began.
    left: Vec<(u32, u64)>,
    /// Ends that each step still waits for.
    missing: Vec<u32>,
    /// The first step with nodes that have not ended.
    turn: u32,
    /// Places from here on have not been looked at.
    cursor: u32,
    /// When the next window is looked for.
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

/// How far a place of the plan has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    attempts: u32,
    /// Who waits for the same service behind it.
    next_parked: u32,
    /// It waits for its service to spare it.
    parked: bool,
    /// An attempt runs, or none will follow.
    begun: bool,
}

/// What a node waits for.
enum Wait {
    /// Its service.
    Service,
    /// A node that it depends on, or its turn: it is remembered elsewhere.
    Turn,
    Window(u64),
    /// No window is left that could hold it.
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
    pub fn play(&mut self, course: &Course, seed: u64, run: u64, record: &mut impl Record) {
        self.world.restore(self.start);
        self.streams = RunStreams::new(seed, run);
        (self.now, self.awaited) = (0, NEVER);
        self.counts = Counts::default();
        self.left.clear();
        self.progress.clear();
        if let Some(dependencies) = &course.dependencies {
            self.missing.clone_from(&dependencies.missing);
        }
        let mut build_began = 0;
        for leg in course.legs() {
            let began = self.now;
            let step = &course.plan.steps[leg.first_step as usize];
            match step.action {
                Action::Patch | Action::PatchCanary => self.work(course, &leg, Mode::InPlace, record),
                Action::BlueGreenBuild => {
                    build_began = began;
                    let failed_before = self.counts.failed;
                    self.work(course, &leg, Mode::Build, record);
                    if self.counts.failed > failed_before {
                        // Half a set does not take over. What was built is thrown away.
                        self.counts.halted = true;
                        self.counts.capacity_ms += step.size() as u64 * (self.now - began);
                    }
                }
                Action::BlueGreenSwitch => self.switch(course, step, build_began, record),
                Action::Pause => {
                    self.now += u64::from(step.pause_seconds) * 1000;
                    self.counts.guardrail_pauses += u32::from(step.guardrail);
                    record.step(self.now, "pause", &step.name, Some(self.now - began));
                }
            }
            if self.counts.halted {
                let step = &course.plan.steps[self.turn.clamp(leg.first_step, leg.end_step - 1) as usize];
                record.step(self.now, "halted", &step.name, None);
                break;
            }
        }
        self.world.close(self.indexed, self.now);
    }

    fn switch(&mut self, course: &Course, step: &PlanStep, build_began: u64, record: &mut impl Record) {
        for stop in course.stops_of(step) {
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

    /// Works on the nodes of a leg, new ones beginning as others end, until all have ended.
    fn work(&mut self, course: &Course, leg: &Leg, mode: Mode, record: &mut impl Record) {
        self.turn = leg.first_step;
        self.agenda.clear();
        self.ready.clear();
        self.for_window.clear();
        // These grow leg by leg, as many a run halts long before the last.
        let steps = &course.plan.steps[self.left.len()..leg.end_step as usize];
        self.left.extend(steps.iter().map(|step| (step.size() as u32, NOT_BEGUN)));
        self.progress.resize(leg.end as usize, Progress::default());
        if leg.is_flow() {
            for (service, width) in course.widths_of(leg) {
                let service = &mut self.world.services[*service as usize];
                (service.width, service.working) = (*width, 0);
            }
        }
        self.cursor = leg.first;
        let mut running = 0;
        loop {
            while running < leg.places && !self.counts.halted {
                let place = match self.ready.pop() {
                    Some(Reverse(place)) => place,
                    None if self.cursor < leg.end => {
                        self.cursor += 1;
                        self.cursor - 1
                    }
                    None => break,
                };
                if self.progress[place as usize].begun {
                    continue;
                }
                match self.waits_for(course, leg, place) {
                    None => {
                        running += 1;
                        self.begin(course, leg, place, mode, record);
                    }
                    Some(Wait::Service) => self.park(course, place),
                    Some(Wait::Turn) => {}
                    Some(Wait::Window(opens)) => {
                        self.for_window.push(place);
                        if opens < self.awaited {
                            self.awaited = opens;
                            self.agenda.push(opens, Ending::WindowOpens.at(0));
                        }
                    }
                    Some(Wait::Nothing) => (self.counts.out_of_windows, self.counts.halted) = (true, true),
                }
            }
            let Some((time, event)) = self.agenda.pop() else { break };
            let (place, ending) = Ending::read(event);
            if ending == Ending::WindowOpens {
                self.awaited = NEVER;
                if !self.counts.halted {
                    self.now = time;
                    self.ready.extend(self.for_window.drain(..).map(Reverse));
                }
                continue;
            }
            self.now = time;
            running -= 1;
            self.end(course, leg, place, ending, record);
            if leg.is_flow() && self.left[self.turn as usize].0 == 0 {
                self.next_turn(course, leg);
            }
        }
        if leg.first == leg.end {
            self.tell_end(course, leg.first_step, record);
        }
    }

    /// `None`: it may begin. Those of the step whose turn it is begin as the plan says, whatever that costs; those of later
    /// steps only where their service spares them and what they depend on has ended.
    fn waits_for(&self, course: &Course, leg: &Leg, place: u32) -> Option<Wait> {
        let Stop { step, traits, .. } = &course.stops[place as usize];
        if leg.is_flow() {
            let service = &self.world.services[traits.service as usize];
            if *step != self.turn {
                if course.dependencies.is_some() {
                    // A group goes together, so it waits for its turn.
                    let is_group = course.plan.steps[*step as usize].size() > 1;
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
        match self.indexed.options.windows.is_empty() {
            true => None,
            false => {
                self.waits_for_window(u64::from(course.prospects[place as usize].nominal_seconds) * 1000)
            }
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

    /// Lets the node wait until its service can spare it; those whose turn it is before all others.
    fn park(&mut self, course: &Course, place: u32) {
        if std::mem::replace(&mut self.progress[place as usize].parked, true) {
            return;
        }
        let stop = &course.stops[place as usize];
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

    /// Who waited longest for the service is looked at again.
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

    /// The step before is done. Whoever of the next was looked at before its turn is looked at again.
    fn next_turn(&mut self, course: &Course, leg: &Leg) {
        while self.turn + 1 < leg.end_step && self.left[self.turn as usize].0 == 0 {
            self.turn += 1;
        }
        let step = &course.plan.steps[self.turn as usize];
        for place in step.places().take_while(|place| *place < self.cursor) {
            if !self.progress[place as usize].begun {
                self.ready.push(Reverse(place));
            }
        }
    }

    #[inline]
    fn begin(&mut self, course: &Course, leg: &Leg, place: u32, mode: Mode, record: &mut impl Record) {
        let Stop { node, step, traits } = &course.stops[place as usize];
        let progress = &mut self.progress[place as usize];
        let number = progress.attempts;
        progress.attempts += 1;
        progress.begun = true;
        self.counts.retries += u32::from(number > 0);
        self.counts.begun += u32::from(number == 0);
        let stream = self.streams.of(u64::from(number) << 32 | u64::from(*node));
        let (takes, ending) = attempt::draw(self.indexed, &course.prospects[place as usize], mode, stream);
        if leg.is_flow() {
            self.world.services[traits.service as usize].working += 1;
        }
        if mode == Mode::InPlace && traits.goes_down() {
            self.world.take_down(self.indexed, *node as usize, traits, self.now);
        }
        let began = &mut self.left[*step as usize].1;
        *began = (*began).min(self.now);
        self.agenda.push(self.now + takes, ending.at(place));
        if !self.indexed.options.windows.is_empty() {
            let mut windows = self.indexed.options.windows.iter();
            let closes = windows.find(|window| window.closes * 1000 > self.now).map(|window| window.closes);
            let over = closes.map_or(0, |closes| (self.now + takes).saturating_sub(closes * 1000));
            self.counts.overrun_ms += over;
        }
        record.node(self.now, "started", &course.plan.steps[*step as usize].name, *node as usize);
    }

    #[inline]
    fn end(&mut self, course: &Course, leg: &Leg, place: u32, ending: Ending, record: &mut impl Record) {
        let Stop { node, step, traits } = &course.stops[place as usize];
        let node = *node as usize;
        match ending {
            Ending::Patched => {
                self.world.set_patched(self.indexed, node, traits, self.now);
                if traits.goes_down() {
                    self.world.bring_up(self.indexed, node, traits, self.now);
                }
            }
            Ending::RolledBack => {
                self.counts.rollbacks += 1;
                if traits.goes_down() {
                    self.world.bring_up(self.indexed, node, traits, self.now);
                }
            }
            Ending::Failed => self.world.take_down(self.indexed, node, traits, self.now),
            Ending::Built => self.world.built[node] = true,
            Ending::BuildFailed | Ending::WindowOpens => {}
        }
        record.node(self.now, ending.event(), &course.plan.steps[*step as usize].name, node);
        if leg.is_flow() {
            self.world.services[traits.service as usize].working -= 1;
        }
        let may_retry = matches!(ending, Ending::RolledBack | Ending::BuildFailed)
            && self.progress[place as usize].attempts <= self.indexed.options.retries
            && !self.counts.halted;
        if may_retry {
            self.progress[place as usize].begun = false;
            self.ready.push(Reverse(place));
        } else {
            if matches!(ending, Ending::RolledBack | Ending::BuildFailed | Ending::Failed) {
                self.counts.failed += 1;
                let options = self.indexed.options;
                let gates = course.action(leg) == Action::PatchCanary && options.canaries_gate;
                self.counts.halted |=
                    gates || options.max_failures.is_some_and(|most| self.counts.failed > most);
            }
            self.finish(course, place, *step, record);
        }
        if leg.is_flow() {
            self.unpark(traits.service);
        }
    }

    /// The node has ended for good: its step counts it, and steps that waited for it are told.
    fn finish(&mut self, course: &Course, place: u32, step: u32, record: &mut impl Record) {
        let left = &mut self.left[step as usize].0;
        *left -= 1;
        if *left == 0 {
            self.tell_end(course, step, record);
        }
        if let Some(dependencies) = &course.dependencies {
            let seen = course.stops[self.cursor as usize - 1].step;
            for dependent in dependencies.dependents.of(place as usize) {
                let missing = &mut self.missing[*dependent as usize];
                *missing -= 1;
                if *missing == 0 && *dependent <= seen {
                    let places = course.plan.steps[*dependent as usize].places();
                    self.ready.extend(places.take_while(|place| *place < self.cursor).map(Reverse));
                }
            }
        }
    }

    fn tell_end(&self, course: &Course, step: u32, record: &mut impl Record) {
        let began = self.left[step as usize].1.min(self.now);
        let step = &course.plan.steps[step as usize];
        let event = match step.action {
            Action::BlueGreenBuild => "bluegreen_build",
            _ => "patch_step_complete",
        };
        record.step(self.now, event, &step.name, Some(self.now - began));
    }
}

const NOT_BEGUN: u64 = u64::MAX;
