//! Many runs of one plan and their statistics.

use planner::NodePlan;
use serde::Serialize;

use super::{
    engine::{Counts, Engine},
    indexed_scenario::IndexedScenario,
    metrics::{Figures, seconds},
    prepared_plan::PreparedPlan,
    record::Nobody,
    world::{Totals, World},
};
use crate::{
    parallel,
    statistics::{Probability, Spread},
};

/// The number of runs, the seed and the observer.
#[derive(Clone, Copy)]
pub struct Sampling<'a> {
    pub runs: u32,
    pub seed: u64,
    /// If given, the share of runs that have patched everything by then is reported.
    pub deadline_seconds: Option<f64>,
    /// Called after each run, from several threads; for a progress bar.
    pub watch: &'a (dyn Fn() + Sync),
}

impl Sampling<'_> {
    pub fn new(runs: u32, seed: u64) -> Self {
        Self { runs, seed, deadline_seconds: None, watch: &|| {} }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonteCarlo {
    pub runs: u32,
    pub seed: u64,
    pub duration_seconds: Spread,
    /// Sum over nodes of criticality x severity x seconds until patched. Halted runs leave nodes unpatched and dominate its
    /// mean, however rare they are.
    pub exposure: Spread,
    /// The exposure of the runs that did not halt; absent if every run halted.
    pub exposure_without_halt: Option<Spread>,
    pub downtime_seconds: Spread,
    pub longest_downtime_seconds: Spread,
    pub degraded_service_seconds: Spread,
    pub mixed_version_seconds: Spread,
    /// Seconds with at least one degraded edge.
    pub degraded_seconds: Spread,
    pub incompatibility_violations: Spread,
    pub availability_violations: Spread,
    pub node_unavailability_seconds: Spread,
    pub most_nodes_down: Spread,
    pub overrun_seconds: Spread,
    /// Nodes on which work starts.
    pub begun_nodes: Spread,
    pub failed_nodes: Spread,
    pub unpatched_nodes: Spread,
    pub rollbacks: Spread,
    pub retries: Spread,
    pub extra_capacity_seconds: Spread,
    pub halt: Probability,
    /// All patchable nodes have their patch at the end.
    pub fully_patched: Probability,
    /// Of these, within the deadline; absent without one.
    pub done_in_time: Option<Probability>,
    /// Of these, before the first window closes; absent without windows.
    pub done_in_window: Option<Probability>,
    /// The run halts because no remaining window is long enough for the next attempt.
    pub out_of_windows: Probability,
    /// Services that fall below their `min_up` in some run, likeliest first.
    pub services_at_risk: Vec<ServiceRisk>,
    /// Seconds until everything was patched, of the runs that achieved it, ascending.
    #[serde(skip)]
    pub full_patch_seconds: Vec<f64>,
}

impl MonteCarlo {
    /// The exposure that plans are compared by: that of the runs that did not halt, because halts are counted apart.
    pub fn compared_exposure(&self) -> &Spread {
        self.exposure_without_halt.as_ref().unwrap_or(&self.exposure)
    }

    /// The earliest deadline that this share of runs meets; `None` if too few ever patch everything.
    pub fn deadline_met_by(&self, share: f64) -> Option<f64> {
        let needed = (share * f64::from(self.runs)).ceil().max(1.0) as usize;
        self.full_patch_seconds.get(needed - 1).copied()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceRisk {
    pub service: String,
    pub below_min_up: Probability,
    pub expected_downtime_seconds: f64,
}

struct Run {
    figures: Figures,
    counts: Counts,
    totals: Totals,
    falls: u32,
    /// Service and milliseconds below its `min_up`, for each service that fell.
    fallen: Vec<(u32, u64)>,
}

pub fn play(indexed: &IndexedScenario, start: &World, plan: &NodePlan, sampling: &Sampling) -> MonteCarlo {
    let prepared = PreparedPlan::new(indexed, plan);
    let Sampling { runs, seed, deadline_seconds, watch } = *sampling;
    let runs = parallel::map_with(
        parallel::cores(),
        runs.max(1) as usize,
        || Engine::new(indexed, start),
        |engine, run| {
            engine.play(&prepared, seed, run as u64, &mut Nobody);
            watch();
            let downtimes = &engine.world.downtimes;
            let fallen = downtimes.iter().enumerate().filter(|(_, downtime)| downtime.ms > 0);
            Run {
                figures: engine.figures(),
                counts: engine.counts,
                totals: engine.world.totals,
                falls: downtimes.iter().map(|downtime| downtime.falls).sum(),
                fallen: fallen.map(|(index, downtime)| (index as u32, downtime.ms)).collect(),
            }
        },
    );
    summarize(indexed, &runs, seed, deadline_seconds)
}

fn summarize(
    indexed: &IndexedScenario,
    runs: &[Run],
    seed: u64,
    deadline_seconds: Option<f64>,
) -> MonteCarlo {
    let scenario = indexed.scenario;
    let spread = |metric: fn(&Run) -> f64| Spread::of(runs.iter().map(metric).collect());
    let share = |hits: usize| Probability::of(hits, runs.len());
    let mut falls = vec![(0_usize, 0_u64); scenario.services.len()];
    for (service, below) in runs.iter().flat_map(|run| &run.fallen) {
        falls[*service as usize].0 += 1;
        falls[*service as usize].1 += below;
    }
    let at_risk = scenario.services.iter().zip(falls).filter(|(_, (hits, _))| *hits > 0);
    let mut services_at_risk: Vec<ServiceRisk> = at_risk
        .map(|(service, (hits, below))| ServiceRisk {
            service: service.name.clone(),
            below_min_up: share(hits),
            expected_downtime_seconds: below as f64 / 1000.0 / runs.len() as f64,
        })
        .collect();
    services_at_risk.sort_by(|a, b| b.below_min_up.value.total_cmp(&a.below_min_up.value));
    let mut full_patch_seconds: Vec<f64> = runs.iter().filter_map(|run| run.figures.full_patch).collect();
    full_patch_seconds.sort_by(f64::total_cmp);
    let in_time = |deadline: f64| full_patch_seconds.partition_point(|seconds| *seconds <= deadline);
    MonteCarlo {
        runs: runs.len() as u32,
        seed,
        duration_seconds: spread(|run| run.figures.duration),
        exposure: spread(|run| run.figures.exposure),
        exposure_without_halt: Spread::of_some(
            runs.iter().filter(|run| !run.counts.halted).map(|run| run.figures.exposure).collect(),
        ),
        downtime_seconds: spread(|run| run.figures.downtime),
        longest_downtime_seconds: spread(|run| run.figures.longest_downtime),
        degraded_service_seconds: spread(|run| run.figures.degraded_service),
        mixed_version_seconds: spread(|run| seconds(run.totals.mixed.ms)),
        degraded_seconds: spread(|run| seconds(run.totals.degraded_ms)),
        incompatibility_violations: spread(|run| f64::from(run.totals.incompatibility_violations)),
        availability_violations: spread(|run| f64::from(run.falls)),
        node_unavailability_seconds: spread(|run| seconds(run.totals.down.ms)),
        most_nodes_down: spread(|run| f64::from(run.totals.most_down)),
        overrun_seconds: spread(|run| seconds(run.counts.overrun_ms)),
        begun_nodes: spread(|run| f64::from(run.counts.begun)),
        failed_nodes: spread(|run| f64::from(run.counts.failed)),
        unpatched_nodes: spread(|run| f64::from(run.figures.unpatched)),
        rollbacks: spread(|run| f64::from(run.counts.rollbacks)),
        retries: spread(|run| f64::from(run.counts.retries)),
        extra_capacity_seconds: spread(|run| seconds(run.counts.capacity_ms)),
        halt: share(runs.iter().filter(|run| run.counts.halted).count()),
        out_of_windows: share(runs.iter().filter(|run| run.counts.out_of_windows).count()),
        done_in_window: indexed.options.windows.first().map(|window| share(in_time(window.closes as f64))),
        fully_patched: share(full_patch_seconds.len()),
        done_in_time: deadline_seconds.map(|deadline| share(in_time(deadline))),
        services_at_risk,
        full_patch_seconds,
    }
}
