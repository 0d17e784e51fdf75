//! The progress of a run: live lines on a terminal, plain lines elsewhere, the events themselves for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::patch::{CloudEvent, HostStepState, RunDetail};
use domain::run::HostState;
use domain::workflow::WorkflowStep;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::events::RunEvent;
use terminal::Failure;
use terminal::{clean, print};

/// Most working hosts with a line of their own; the bar counts the others.
const LINES: usize = 15;

pub enum View {
    Live(Live),
    Lines,
    Events,
}

/// A bar for the run, and below it a line for each working host.
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

    /// Prints the result; programs read it from the events.
    pub fn end(&mut self, run: &RunDetail) {
        if let Self::Live(live) = self {
            live.working.values().for_each(ProgressBar::finish_and_clear);
            live.bar.finish_and_clear();
        }
        if matches!(self, Self::Events) {
            return;
        }
        let hosts = &run.summary.hosts;
        // A reader that closed the pipe is not an error.
        let _ = print(&format!(
            "run {}{}; {} of {} hosts succeeded, {} failed, {} skipped",
            run.summary.state.name(),
            with_colon(run.summary.reason.as_deref()),
            hosts.succeeded,
            hosts.total,
            hosts.failed,
            hosts.skipped
        ));
    }
}

impl Live {
    fn show(&mut self, event: &CloudEvent) {
        match RunEvent::of(event) {
            RunEvent::Run { state, reason, .. } => {
                self.bar.set_message(format!("{}{}", state.name(), with_colon(reason.as_deref())));
            }
            RunEvent::Host { ci_id, state, .. } if state.is_working() => self.show_working(&ci_id, state),
            RunEvent::Host { ci_id, state: HostState::Pending, .. } => self.remove_line(&ci_id),
            RunEvent::Host { ci_id, state, error, .. } => {
                self.remove_line(&ci_id);
                self.println(&host_line(&ci_id, state, error.as_deref()));
                self.ended.insert(ci_id, state);
                self.update_bar();
            }
            RunEvent::Step { ci_id, step, state: HostStepState::Running, .. } => {
                if let Some(line) = self.working.get(&ci_id) {
                    line.set_message(step.name());
                }
            }
            RunEvent::Step { ci_id, step, state: HostStepState::PassedOver, detail } => {
                self.println(&step_line(&ci_id, step, "passed over", detail.as_deref()));
            }
            RunEvent::Step { .. } => {}
            RunEvent::Log { ci_id: None, text } => self.println(&clean(&text)),
            RunEvent::Log { .. } | RunEvent::Unknown => {}
        }
    }

    fn remove_line(&mut self, ci_id: &str) {
        if let Some(line) = self.working.remove(ci_id) {
            line.finish_and_clear();
        }
    }

    fn show_working(&mut self, ci_id: &str, state: HostState) {
        if self.ended.remove(ci_id).is_some() {
            self.update_bar();
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

    fn update_bar(&mut self) {
        let ended = self.ended.len() as u64;
        // The number of hosts is known only once the run is planned.
        if self.bar.length().is_none_or(|length| length < ended) {
            self.bar.set_length(ended);
        }
        self.bar.set_position(ended);
    }

    fn println(&self, line: &str) {
        // Fails only when the terminal is gone.
        let _ = self.screen.println(line);
    }
}

/// One event as a line: time, subject, event.
fn line_of(event: &CloudEvent) -> Option<String> {
    let at = event.time.format("%H:%M:%S");
    match RunEvent::of(event) {
        RunEvent::Run { state, reason, .. } => {
            Some(format!("{at} run {}{}", state.name(), with_colon(reason.as_deref())))
        }
        // Every host starts in this state; only one that waits for another attempt gets a line.
        RunEvent::Host { state: HostState::Pending, attempts: 0, .. } => None,
        // Its steps are more detailed.
        RunEvent::Host { state, .. } if state.is_working() && state != HostState::Snapshotting => None,
        RunEvent::Step { ci_id, step, state, detail } => {
            let result = match state {
                HostStepState::Running => "",
                HostStepState::Failed => "failed",
                HostStepState::PassedOver => "passed over",
                HostStepState::Succeeded | HostStepState::Skipped => return None,
            };
            Some(format!("{at} {}", step_line(&ci_id, step, result, detail.as_deref())))
        }
        RunEvent::Host { ci_id, state, error, .. } => {
            Some(format!("{at} {}", host_line(&ci_id, state, error.as_deref())))
        }
        RunEvent::Log { ci_id, text } => {
            let who = ci_id.map(|ci_id| format!("{}: ", clean(&ci_id)));
            Some(format!("{at} {}{}", who.unwrap_or_default(), clean(&text)))
        }
        RunEvent::Unknown => None,
    }
}

fn host_line(ci_id: &str, state: HostState, error: Option<&str>) -> String {
    format!("{:<24} {}{}", clean(ci_id), state.name(), with_colon(error))
}

fn step_line(ci_id: &str, step: WorkflowStep, result: &str, detail: Option<&str>) -> String {
    let line = format!("{:<24} {} {result}{}", clean(ci_id), step.name(), with_colon(detail));
    line.trim_end().to_owned()
}

fn with_colon(text: Option<&str>) -> String {
    text.map_or(String::new(), |text| format!(": {}", clean(text)))
}

/// The templates are constants and valid; the default bar is a safe fallback.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
