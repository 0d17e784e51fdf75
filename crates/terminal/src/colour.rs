//! Colours: whether there are any, and which state has which. They repeat what a text says; nothing is said by colour alone.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Title,
    Good,
    Working,
    Waiting,
    Bad,
    Faint,
}

/// The one table of states and their tones.
const TONES: [(Tone, &[&str]); 5] = [
    (
        Tone::Good,
        &[
            "active",
            "approved",
            "compliant",
            "completed",
            "confirmed",
            "covered",
            "current",
            "delivered",
            "done",
            "ok",
            "ready",
            "resolved",
            "succeeded",
            "well",
        ],
    ),
    (
        Tone::Working,
        &[
            "alerting",
            "draining",
            "executing",
            "in_progress",
            "patching",
            "planning",
            "post_step",
            "pre_step",
            "precheck",
            "rebooting",
            "reporting",
            "running",
            "snapshotting",
            "validating",
            "verifying",
        ],
    ),
    (
        Tone::Waiting,
        &[
            "awaiting_approval",
            "awaiting_window",
            "completed_with_errors",
            "doubtful",
            "feed_too_old",
            "high",
            "medium",
            "open",
            "partial",
            "paused",
            "pending",
            "pending_approval",
            "queued",
            "requested",
            "unknown",
            "waiting",
            "warning",
        ],
    ),
    (
        Tone::Bad,
        &[
            "critical",
            "error",
            "expired",
            "failed",
            "failing",
            "halted",
            "late",
            "non_compliant",
            "not_covered",
            "out_of_support",
            "rejected",
            "rollback_failed",
            "timed_out",
            "unhealthy",
            "unreachable",
            "voided",
        ],
    ),
    (
        Tone::Faint,
        &[
            "cancelled",
            "decommissioned",
            "draft",
            "none",
            "rolled_back",
            "scheduled",
            "skipped",
            "superseded",
        ],
    ),
];

/// The columns and fields that have states. A host may be named `failed`.
const OF_STATES: [&str; 9] = [
    "compliance",
    "compliance_status",
    "health",
    "ready",
    "result",
    "severity",
    "state",
    "status",
    "worst_severity",
];

/// The tone of a value below this heading.
pub fn tone_of(heading: &str, value: &str) -> Option<Tone> {
    let is_state = OF_STATES.iter().any(|name| heading.rsplit('.').next() == Some(name));
    let find = || TONES.iter().find(|(_, states)| states.contains(&value));
    is_state.then(find).flatten().map(|(tone, _)| *tone)
}

pub fn paint(text: &str, tone: Option<Tone>) -> String {
    let code = match tone {
        None => return text.to_owned(),
        Some(Tone::Title) => "1",
        Some(Tone::Good) => "32",
        Some(Tone::Working) => "36",
        Some(Tone::Waiting) => "33",
        Some(Tone::Bad) => "31",
        Some(Tone::Faint) => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// The choice of this process, made once from its arguments.
static CHOICE: OnceLock<Colour> = OnceLock::new();

pub fn choose(choice: Colour) {
    // A second choice would come from a second command line, which there is none of.
    let _ = CHOICE.set(choice);
}

/// Whether this stream of the process gets colours.
pub fn is_on(stream: &impl IsTerminal) -> bool {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let choice = CHOICE.get().copied().unwrap_or(Colour::Auto);
    decide(choice, stream.is_terminal(), &variable("NO_COLOR"), &variable("TERM"))
}

/// An explicit choice precedes the environment. `NO_COLOR` counts unless it is empty (no-color.org).
fn decide(choice: Colour, is_terminal: bool, no_color: &str, term: &str) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => is_terminal && no_color.is_empty() && term != "dumb",
    }
}

/// The text as it is without colours.
#[cfg(test)]
pub fn stripped(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

pub fn hint_label() -> String {
    label("hint:", Tone::Working)
}

pub fn error_label() -> String {
    label("error:", Tone::Bad)
}

fn label(text: &str, tone: Tone) -> String {
    paint(text, is_on(&io::stderr()).then_some(tone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_precedes_environment_and_environment_precedes_terminal() {
        assert!(decide(Colour::Always, false, "1", "dumb"));
        assert!(!decide(Colour::Never, true, "", "xterm"));
        assert!(decide(Colour::Auto, true, "", "xterm"));
        assert!(!decide(Colour::Auto, true, "1", "xterm"));
        assert!(!decide(Colour::Auto, true, "", "dumb"));
        assert!(!decide(Colour::Auto, false, "", "xterm"));
    }

    #[test]
    fn only_states_have_tones() {
        assert_eq!(tone_of("state", "failed"), Some(Tone::Bad));
        assert_eq!(tone_of("run.summary.state", "succeeded"), Some(Tone::Good));
        assert_eq!(tone_of("host", "failed"), None);
        assert_eq!(tone_of("state", "something else"), None);
    }

    #[test]
    fn every_state_has_one_tone() {
        let mut all: Vec<&str> = TONES.iter().flat_map(|(_, states)| states.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
