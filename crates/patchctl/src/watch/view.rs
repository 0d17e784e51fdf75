//! What a person sees of a run: moving lines on a terminal, plain ones elsewhere, the events themselves for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::patch::{CloudEvent, HostStepState, RunDetail};
use domain::run::HostState;
use domain::workflow::WorkflowStep;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::events::Happening;
use crate::failure::Failure;
use crate::output::{clean, print};

/// Hosts at work that get a line of their own; the bar counts the others.
const LINES: usize = 15;

pub enum View {
    Live(Live),
    Lines,
    Events,
}

/// A bar for the run, and below it a line for each host at work.
pub struct Live {
    screen: MultiProgress,
    bar: ProgressBar,
    working: BTreeMap<String, ProgressBar>,
    /// The last state of each host that has ended, so that a retried one is counted once.
    ended: BTreeMap<String, HostState>,
}

impl View {
    pub fn live(run: &RunDetail) -> Self {
        let screen = MultiProgress::new();
        let total = run.summary.hosts.total.try_into().unwrap_or(0);
        let bar = screen.add(ProgressBar::new(total));
        bar.set_style(style("{elapsed_precise} [{bar:30}] {pos}/{len} hosts  {msg}").progress_chars("=> "));
        bar.set_message(run.summary.state.name());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self::Live(Live { screen, bar, working: BTreeMap::new(), ended: BTreeMap::new() })
    }

    pub fn lines() -> Self {
        Self::Lines
    }

    pub fn events() -> Self {
        Self::Events
    }

    pub fn show(&mut self, event: &CloudEvent) -> Result<(), Failure> {
        match self {
            Self::Live(live) => {
                live.show(event);
                Ok(())
            }
            Self::Lines => line_of(event).map_or(Ok(()), |line| print(&line)),
            Self::Events => super::print_event(event),
        }
    }

    /// The last words; programs have them from the events.
    pub fn end(&mut self, run: &RunDetail) {
        if let Self::Live(live) = self {
            live.working.values().for_each(ProgressBar::finish_and_clear);
            live.bar.finish_and_clear();
        }
        if matches!(self, Self::Events) {
            return;
        }
        let hosts = &run.summary.hosts;
        let reason = run.summary.reason.as_deref().map(|reason| format!(": {}", clean(reason)));
        // A reader that went away has what it wanted.
        let _ = print(&format!(
            "run {}{}; {} of {} hosts succeeded, {} failed, {} skipped",
            run.summary.state.name(),
            reason.unwrap_or_default(),
            hosts.succeeded,
            hosts.total,
            hosts.failed,
            hosts.skipped
        ));
    }
}

impl Live {
    fn show(&mut self, event: &CloudEvent) {
        match Happening::of(event) {
            Happening::Run { state, reason, .. } => {
                let reason = reason.map(|reason| format!(": {}", clean(&reason)));
                self.bar.set_message(format!("{}{}", state.name(), reason.unwrap_or_default()));
            }
            Happening::Host { ci_id, state, .. } if state.is_working() => self.work(&ci_id, state),
            Happening::Host { ci_id, state: HostState::Pending, .. } => self.rest(&ci_id),
            Happening::Host { ci_id, state, error, .. } => {
                self.rest(&ci_id);
                self.say(&host_line(&ci_id, state, error.as_deref()));
                self.ended.insert(ci_id, state);
                self.count();
            }
            Happening::Step { ci_id, step, state: HostStepState::Running, .. } => {
                if let Some(line) = self.working.get(&ci_id) {
                    line.set_message(step.name());
                }
            }
            Happening::Step { ci_id, step, state: HostStepState::PassedOver, detail } => {
                self.say(&step_line(&ci_id, step, "passed over", detail.as_deref()));
            }
            Happening::Step { .. } => {}
            Happening::Log { ci_id: None, text } => self.say(&clean(&text)),
            Happening::Log { .. } | Happening::Unknown => {}
        }
    }

    fn rest(&mut self, ci_id: &str) {
        if let Some(line) = self.working.remove(ci_id) {
            line.finish_and_clear();
        }
    }

    fn work(&mut self, ci_id: &str, state: HostState) {
        if self.ended.remove(ci_id).is_some() {
            self.count();
        }
        if !self.working.contains_key(ci_id) && self.working.len() < LINES {
            let line = self.screen.add(ProgressBar::new_spinner());
            line.set_style(style("  {spinner} {prefix:<24} {msg} {elapsed}"));
            line.set_prefix(clean(ci_id));
            line.enable_steady_tick(Duration::from_millis(120));
            self.working.insert(ci_id.to_owned(), line);
        }
        if let Some(line) = self.working.get(ci_id) {
            line.set_message(state.name());
        }
    }

    fn count(&mut self) {
        let ended = self.ended.len() as u64;
        // The number of hosts is known only once the run is planned.
        if self.bar.length().is_none_or(|length| length < ended) {
            self.bar.set_length(ended);
        }
        self.bar.set_position(ended);
    }

    fn say(&self, line: &str) {
        // Fails when the terminal is gone, and then nobody misses the line.
        let _ = self.screen.println(line);
    }
}

/// One event as a line: time, who, what.
fn line_of(event: &CloudEvent) -> Option<String> {
    let at = event.time.format("%H:%M:%S");
    match Happening::of(event) {
        Happening::Run { state, reason, .. } => {
            let reason = reason.map(|reason| format!(": {}", clean(&reason)));
            Some(format!("{at} run {}{}", state.name(), reason.unwrap_or_default()))
        }
        // Every host of a plan begins so; only one that waits for another attempt is worth a line.
        Happening::Host { state: HostState::Pending, attempts: 0, .. } => None,
        // Its steps say it more finely.
        Happening::Host { state, .. } if state.is_working() && state != HostState::Snapshotting => None,
        Happening::Step { ci_id, step, state, detail } => {
            let word = match state {
                HostStepState::Running => "",
                HostStepState::Failed => "failed",
                HostStepState::PassedOver => "passed over",
                HostStepState::Succeeded | HostStepState::Skipped => return None,
            };
            Some(format!("{at} {}", step_line(&ci_id, step, word, detail.as_deref())))
        }
        Happening::Host { ci_id, state, error, .. } => {
            Some(format!("{at} {}", host_line(&ci_id, state, error.as_deref())))
        }
        Happening::Log { ci_id, text } => {
            let who = ci_id.map(|ci_id| format!("{}: ", clean(&ci_id)));
            Some(format!("{at} {}{}", who.unwrap_or_default(), clean(&text)))
        }
        Happening::Unknown => None,
    }
}

fn host_line(ci_id: &str, state: HostState, error: Option<&str>) -> String {
    let error = error.map(|error| format!(": {}", clean(error)));
    format!("{:<24} {}{}", clean(ci_id), state.name(), error.unwrap_or_default())
}

fn step_line(ci_id: &str, step: WorkflowStep, word: &str, detail: Option<&str>) -> String {
    let detail = detail.map(|detail| format!(": {}", clean(detail)));
    let line = format!("{:<24} {} {word}{}", clean(ci_id), step.name(), detail.unwrap_or_default());
    line.trim_end().to_owned()
}

/// The templates are ours and valid; a plain bar would do just as well.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
