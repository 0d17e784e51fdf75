//! Options of the simulation that a scenario does not contain: how attempts vary, fail and are retried, and the limits.

use std::collections::BTreeMap;

use planner::{Schedule, schedule::Opening};
use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;

/// The defaults are an estimate, not a measurement: attempts take 0.8 to 2 times their nominal time, usually the nominal
/// time; a failure is noticed within minutes and rolled back in half the time of the patch; one retry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NativeOptions {
    /// Nodes patched in parallel; absent: as many as the largest step has.
    pub max_parallel: Option<u32>,
    /// Each step waits for the whole step before. Otherwise nodes begin as soon as places and services allow.
    pub step_barriers: bool,
    /// Multiplies the nominal duration of an attempt.
    pub duration_factor: Distribution,
    pub failure_mix: FailureMix,
    /// Duration of a rollback as a multiple of the attempt's duration.
    pub rollback_factor: f64,
    /// How often a node that was rolled back is retried.
    pub retries: u32,
    /// Seconds until a reboot that does not come back counts as failed.
    pub reboot_timeout_seconds: u32,
    /// Seconds until a service that does not become healthy counts as failed.
    pub health_timeout_seconds: u32,
    /// Seconds until a lost host counts as failed.
    pub lost_timeout_seconds: u32,
    /// The run halts when more nodes than this have failed for good; absent: it never does.
    pub max_failures: Option<u32>,
    /// A canary that fails for good halts the run.
    pub canaries_gate: bool,
    /// Seconds for which the old set is kept next to the new one after a switch.
    pub bluegreen_keep_seconds: u32,
    /// Attempts start only in these, and only if their nominal duration fits; empty: at any time.
    pub windows: Vec<Window>,
    /// Windows and freezes by the calendar instead. Freezes that apply only to hosts with certain tags are ignored: nodes
    /// have no tags.
    pub calendar: Option<Schedule>,
    /// Seconds for which an unpatched node stays exposed after the end of the run.
    pub unpatched_exposure_seconds: u32,
}

/// Seconds since the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub opens: u64,
    pub closes: u64,
}

/// How the failure causes share a node's failure probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureMix {
    /// The patch itself, at any time of the attempt.
    pub patch: f64,
    /// It does not come back from its reboot. Only for nodes that reboot.
    pub reboot: f64,
    /// It comes back and does not become healthy.
    pub health: f64,
    /// It is lost: no rollback is possible.
    pub lost: f64,
}

impl Default for NativeOptions {
    fn default() -> Self {
        Self {
            max_parallel: None,
            step_barriers: false,
            duration_factor: Distribution::Triangular { low: 0.8, mode: 1.0, high: 2.0 },
            failure_mix: FailureMix::default(),
            rollback_factor: 0.5,
            retries: 1,
            reboot_timeout_seconds: 300,
            health_timeout_seconds: 120,
            lost_timeout_seconds: 600,
            max_failures: None,
            canaries_gate: true,
            bluegreen_keep_seconds: 600,
            windows: Vec::new(),
            calendar: None,
            unpatched_exposure_seconds: 86_400,
        }
    }
}

impl Default for FailureMix {
    fn default() -> Self {
        Self { patch: 0.6, reboot: 0.1, health: 0.25, lost: 0.05 }
    }
}

impl NativeOptions {
    /// No variation and no limits: only the plan itself.
    pub fn exact() -> Self {
        Self { duration_factor: Distribution::fixed(1.0), ..Self::default() }
    }

    /// Replaces the calendar by its windows, in seconds since its start.
    pub fn with_windows_of_calendar(mut self) -> Self {
        if let Some(calendar) = self.calendar.take() {
            let openings = calendar.openings(&BTreeMap::new(), false);
            let seconds = |opening: &Opening| Window {
                opens: opening.opens_ms.div_ceil(1000),
                closes: opening.closes_ms / 1000,
            };
            self.windows = openings.spans().iter().map(seconds).collect();
            if self.windows.is_empty() {
                // Frozen throughout: a window that is too short for any attempt.
                self.windows.push(Window { opens: 0, closes: 0 });
            }
        }
        self
    }

    /// Errors: field and reason.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let mix = self.failure_mix;
        let shares = [mix.patch, mix.reboot, mix.health, mix.lost];
        let wrong_mix = shares.iter().any(|share| !(0.0..=1e9).contains(share))
            || mix.patch + mix.health + mix.lost <= 0.0;
        let in_order = self.windows.windows(2).all(|pair| pair[0].closes <= pair[1].opens);
        let open = self.windows.iter().all(|window| window.opens < window.closes);
        let checks = [
            (self.max_parallel == Some(0), ("max_parallel", "must be at least 1")),
            (!(0.0..=100.0).contains(&self.rollback_factor), ("rollback_factor", "must be 0 to 100")),
            (
                wrong_mix,
                ("failure_mix", "must contain shares of at least 0, and one other than `reboot` above 0"),
            ),
            (self.retries > 1000, ("retries", "must be at most 1000")),
            (
                self.calendar.is_some() && !self.windows.is_empty(),
                ("calendar", "cannot be combined with `windows`; give one of them"),
            ),
            (!in_order || !open, ("windows", "must follow each other and close after they open")),
        ];
        let wrong = checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault);
        wrong.chain(self.duration_factor.fault().map(|fault| ("duration_factor", fault))).collect()
    }
}
