//! Forecasts a plan of hosts: plays the same waves that would run, many times.

mod draws;
mod indexed_plan;
#[cfg(test)]
mod machine_test;
mod model;
mod play;
mod recorder;

use std::collections::BTreeMap;

use domain::{
    ids::CiId,
    plan::{Note, NoteSeverity, Plan},
};
use planner::{HostGraph, Schedule};
use serde::{Deserialize, Serialize};

use self::{
    indexed_plan::{IndexedPlan, PlayedRun},
    play::Player,
    recorder::Note as PlayNote,
};
use crate::{
    parallel,
    statistics::{Probability, Spread, percentile},
    trace::{Happening, Trace, TraceEvent},
};

pub(crate) use indexed_plan::is_guarded;
pub use model::{DurationModel, HostModel};

/// More runs than this add no information and cost memory.
pub const MAX_RUNS: u32 = 1_000_000;

/// The forecast of a plan; stored with the run and compared with its actual course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Forecast {
    pub runs: u32,
    pub seed: u64,
    pub hosts: u32,
    pub waves: u32,
    /// From the first snapshot to the end of verification, halted runs included.
    pub duration_seconds: Spread,
    /// From the start of the first batch to the end, without the wait for the first opening that fits.
    #[serde(default)]
    pub work_seconds: Spread,
    /// Percentiles 0 to 100 of the duration, in seconds.
    pub duration_percentiles: Vec<f64>,
    /// The run stops before its end: a gate, its error threshold or its budget.
    pub halt: Probability,
    /// The run ends without a halt before the first window closes; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_in_window: Option<Probability>,
    /// Hosts are left out because no remaining window is long enough for them.
    #[serde(default)]
    pub out_of_windows: Probability,
    /// At least one host ends failed.
    pub any_failure: Probability,
    /// Hosts on which work starts.
    pub begun_hosts: Spread,
    pub failed_hosts: Spread,
    /// Targets that end unpatched: failed, or not started because the run halted.
    pub unpatched_hosts: Spread,
    /// Sum over targets of criticality x severity x seconds until patched. Halted runs leave hosts unpatched and dominate
    /// its mean, however rare they are.
    pub exposure: Spread,
    /// The exposure of the runs that did not halt. Absent if every run halted, and in forecasts made before it existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_without_halt: Option<Spread>,
    pub max_hosts_down: Spread,
    /// Total seconds that services spend below their `min_up`.
    pub downtime_seconds: Spread,
    pub services: BTreeMap<CiId, ServiceForecast>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServiceForecast {
    /// It falls below `min_up` at some time of the run.
    pub below_min_up: Probability,
    pub expected_seconds_below_min_up: f64,
    /// The fewest members up at any time, in the worst run.
    pub fewest_up: u32,
}

impl Forecast {
    /// The exposure that plans are compared by: that of the runs that did not halt, because halts are counted apart.
    pub fn compared_exposure(&self) -> &Spread {
        self.exposure_without_halt.as_ref().unwrap_or(&self.exposure)
    }

    /// Whether both have the same figures, even if their waves differ.
    pub fn has_figures_of(&self, other: &Self) -> bool {
        *self == Self { waves: self.waves, ..other.clone() }
    }

    /// Probability that a run has ended after this many seconds, from the stored percentiles.
    pub fn probability_ended_within(&self, seconds: f64) -> f64 {
        let within = self.duration_percentiles.partition_point(|duration| *duration <= seconds);
        (within.saturating_sub(1) as f64 / 100.0).min(1.0)
    }
}

/// A note for a plan whose run may not fit into the rest of the window, and continues in the next one. It is an error if hosts
/// are more likely than not left out, because no opening is long enough for them.
pub fn window_note(forecast: &Forecast, window_seconds: f64) -> Option<Note> {
    let in_time = match forecast.done_in_window {
        Some(share) => share.value,
        None => forecast.probability_ended_within(window_seconds),
    };
    let (severity, code, why) = if forecast.out_of_windows.value > 0.5 {
        (NoteSeverity::Error, "window-too-short", "no opening is long enough for every host")
    } else if in_time < 0.95 {
        (NoteSeverity::Warning, "several-windows", "the rest waits for the next opening")
    } else {
        return None;
    };
    let text = format!(
        "the window leaves {window_seconds:.0} s, but the run takes {:.0} s at its median and {:.0} s at P95: {:.0} % of \
         runs are done in time, and {why}",
        forecast.duration_seconds.p50,
        forecast.duration_seconds.p95,
        in_time * 100.0,
    );
    Some(Note { severity, code: code.to_owned(), text })
}

/// [`forecast_within`] for a plan that may run at any time.
pub fn forecast(plan: &Plan, graph: &HostGraph, model: &DurationModel, runs: u32, seed: u64) -> Forecast {
    forecast_within(plan, graph, model, None, runs, seed)
}

/// Plays the plan `runs` times (at least once, at most [`MAX_RUNS`]) from the start of the schedule. A host whose expected
/// duration does not fit into its opening waits for the next one. The same arguments return the same forecast.
pub fn forecast_within(
    plan: &Plan,
    graph: &HostGraph,
    model: &DurationModel,
    schedule: Option<&Schedule>,
    runs: u32,
    seed: u64,
) -> Forecast {
    let runs = runs.clamp(1, MAX_RUNS);
    let indexed = IndexedPlan::new(plan, graph, model, schedule);
    let played = parallel::map(runs as usize, |run| indexed.play(seed, run as u64));
    summarize(&indexed, &played, seed)
}

/// The play with the number `run` of the forecast with this seed, event by event.
pub fn trace(
    plan: &Plan,
    graph: &HostGraph,
    model: &DurationModel,
    schedule: Option<&Schedule>,
    seed: u64,
    run: u64,
) -> Trace {
    let indexed = IndexedPlan::new(plan, graph, model, schedule);
    let mut player = Player::new(&indexed, seed, run).recorded();
    player.play();
    let (notes, played) = player.finish_recorded();
    let hosts: Vec<&CiId> = plan.targets.keys().collect();
    let happening = |note: PlayNote| match note {
        PlayNote::WaveBegins { wave } => Happening::WaveBegins(wave),
        PlayNote::Snapshots { hosts } => Happening::Snapshots(hosts),
        PlayNote::Tests => Happening::Tests,
        PlayNote::Soaks { seconds } => Happening::Soaks { seconds },
        PlayNote::Waits { until_ms } => Happening::Waits { until_ms },
        PlayNote::Verifies => Happening::Verifies,
        PlayNote::Host { host, state } => Happening::Host { host: hosts[host].clone(), state },
    };
    let events = notes.into_iter().map(|(at_ms, note)| TraceEvent { at_ms, what: happening(note) });
    let end = TraceEvent { at_ms: played.duration, what: Happening::Ends { halted: played.halted } };
    Trace { events: events.chain([end]).collect(), max_down: played.max_down }
}

/// The end of each run in seconds, ascending; infinite for runs that halted.
pub fn done_times(plan: &Plan, graph: &HostGraph, model: &DurationModel, runs: u32, seed: u64) -> Vec<f64> {
    let indexed = IndexedPlan::new(plan, graph, model, None);
    let mut times = parallel::map(runs.clamp(1, MAX_RUNS) as usize, |run| {
        let run = indexed.play(seed, run as u64);
        if run.halted { f64::INFINITY } else { run.duration_seconds() }
    });
    times.sort_unstable_by(f64::total_cmp);
    times
}

fn summarize(indexed: &IndexedPlan, played: &[PlayedRun], seed: u64) -> Forecast {
    let spread = |metric: fn(&PlayedRun) -> f64| Spread::of(played.iter().map(metric).collect());
    let share = |event: fn(&PlayedRun) -> bool| {
        Probability::of(played.iter().filter(|run| event(run)).count(), played.len())
    };
    let mut durations: Vec<f64> = played.iter().map(|run| run.duration_seconds()).collect();
    durations.sort_unstable_by(f64::total_cmp);
    let services = indexed.services().enumerate().map(|(index, service)| {
        let below: Vec<f64> = played.iter().map(|run| run.seconds_below(index)).collect();
        let forecast = ServiceForecast {
            below_min_up: Probability::of(below.iter().filter(|s| **s > 0.0).count(), played.len()),
            expected_seconds_below_min_up: below.iter().sum::<f64>() / played.len().max(1) as f64,
            fewest_up: played.iter().map(|run| run.fewest_up(index)).min().unwrap_or(0),
        };
        (service.clone(), forecast)
    });
    Forecast {
        runs: u32::try_from(played.len()).unwrap_or(u32::MAX),
        seed,
        hosts: indexed.host_count(),
        waves: indexed.wave_count(),
        duration_seconds: Spread::of_sorted(&durations),
        work_seconds: spread(|run| run.work as f64 / 1000.0),
        duration_percentiles: (0..=100).map(|percent| percentile(&durations, f64::from(percent))).collect(),
        halt: share(|run| run.halted),
        done_in_window: indexed.window_ms.map(|_| share(|run| run.done_in_window)),
        out_of_windows: share(|run| run.out_of_windows),
        any_failure: share(|run| run.failed > 0),
        begun_hosts: spread(|run| f64::from(run.begun)),
        failed_hosts: spread(|run| f64::from(run.failed)),
        unpatched_hosts: spread(|run| f64::from(run.unpatched)),
        exposure: spread(|run| run.exposure),
        exposure_without_halt: Spread::of_some(
            played.iter().filter(|run| !run.halted).map(|run| run.exposure).collect(),
        ),
        max_hosts_down: spread(|run| f64::from(run.max_down)),
        downtime_seconds: spread(PlayedRun::downtime_seconds),
        services: services.collect(),
    }
}
