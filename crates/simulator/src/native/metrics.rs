//! The figures of a native run.

use serde::Serialize;

use super::{engine::Engine, world::NEVER};

/// Times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NativeMetrics {
    /// When the run ended, successful or not.
    pub duration_seconds: f64,
    /// When the last patchable node got its patch; absent if one has not.
    pub time_to_full_patch_seconds: Option<f64>,
    /// Sum over nodes of criticality x severity x seconds without the patch.
    pub exposure: f64,
    pub halted: bool,
    /// It halted because no window was left.
    pub out_of_windows: bool,
    /// Node-seconds of attempts that outlasted the window in which they began.
    pub overrun_seconds: f64,
    pub failed_nodes: u32,
    pub unpatched_nodes: u32,
    pub rollbacks: u32,
    pub retries: u32,
    pub guardrail_pauses: u32,
    /// Edge-seconds during which the ends of an edge that is not fully compatible differ in version.
    pub mixed_version_seconds: f64,
    /// Seconds with at least one degraded edge.
    pub degraded_seconds: f64,
    pub incompatibility_violations: u32,
    /// Times that a service fell below its `min_up`.
    pub availability_violations: u32,
    pub node_unavailability_seconds: f64,
    /// The most nodes that were down at once.
    pub most_nodes_down: u32,
    /// Total seconds of services below their `min_up`.
    pub downtime_seconds: f64,
    /// The longest continuous time of one service below its `min_up`.
    pub longest_downtime_seconds: f64,
    /// Seconds of all services during which one that they depend on was below its `min_up`.
    pub degraded_service_seconds: f64,
    /// Node-seconds of second sets.
    pub extra_capacity_seconds: f64,
    /// In the order of the scenario's services.
    pub services: Vec<ServiceDowntime>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceDowntime {
    pub service: String,
    pub downtime_seconds: f64,
    pub longest_downtime_seconds: f64,
    pub degraded_seconds: f64,
    pub availability_violations: u32,
}

/// The figures of a run that are collected by the thousand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub duration: f64,
    pub full_patch: Option<f64>,
    pub exposure: f64,
    pub downtime: f64,
    pub longest_downtime: f64,
    pub degraded_service: f64,
    pub unpatched: u32,
}

impl Engine<'_, '_> {
    pub fn figures(&self) -> Figures {
        let horizon = self.now + u64::from(self.indexed.options.unpatched_exposure_seconds) * 1000;
        let (mut exposure, mut unpatched, mut last) = (0.0, 0, 0);
        let patched_at = self.world.patched_at.iter();
        for ((weight, patched_at), node) in
            self.indexed.weights.iter().zip(patched_at).zip(&self.indexed.nodes)
        {
            let until = match (*patched_at, node.is_patchable()) {
                (NEVER, true) => {
                    unpatched += 1;
                    horizon
                }
                // It cannot be patched, so no plan is charged for it beyond its own duration.
                (NEVER, false) => self.now,
                (time, _) => {
                    last = last.max(time);
                    time
                }
            };
            exposure += weight * seconds(until);
        }
        let downtimes = &self.world.downtimes;
        Figures {
            duration: seconds(self.now),
            full_patch: (unpatched == 0).then(|| seconds(last)),
            exposure,
            downtime: seconds(downtimes.iter().map(|downtime| downtime.ms).sum()),
            longest_downtime: seconds(
                downtimes.iter().map(|downtime| downtime.longest_ms).max().unwrap_or(0),
            ),
            degraded_service: seconds(self.world.degraded.iter().map(|service| service.ms).sum()),
            unpatched,
        }
    }

    pub fn metrics(&self) -> NativeMetrics {
        let (figures, counts, totals) = (self.figures(), self.counts, self.world.totals);
        let services = self.indexed.scenario.services.iter();
        let services = services.zip(self.world.downtimes.iter().zip(&self.world.degraded));
        let services: Vec<ServiceDowntime> = services
            .map(|(service, (downtime, degraded))| ServiceDowntime {
                service: service.name.clone(),
                downtime_seconds: seconds(downtime.ms),
                longest_downtime_seconds: seconds(downtime.longest_ms),
                degraded_seconds: seconds(degraded.ms),
                availability_violations: downtime.falls,
            })
            .collect();
        NativeMetrics {
            duration_seconds: figures.duration,
            time_to_full_patch_seconds: figures.full_patch,
            exposure: figures.exposure,
            halted: counts.halted,
            out_of_windows: counts.out_of_windows,
            overrun_seconds: seconds(counts.overrun_ms),
            failed_nodes: counts.failed,
            unpatched_nodes: figures.unpatched,
            rollbacks: counts.rollbacks,
            retries: counts.retries,
            guardrail_pauses: counts.guardrail_pauses,
            mixed_version_seconds: seconds(totals.mixed.ms),
            degraded_seconds: seconds(totals.degraded_ms),
            incompatibility_violations: totals.incompatibility_violations,
            availability_violations: services.iter().map(|service| service.availability_violations).sum(),
            node_unavailability_seconds: seconds(totals.down.ms),
            most_nodes_down: totals.most_down,
            downtime_seconds: figures.downtime,
            longest_downtime_seconds: figures.longest_downtime,
            degraded_service_seconds: figures.degraded_service,
            extra_capacity_seconds: seconds(counts.capacity_ms),
            services,
        }
    }
}

impl NativeMetrics {
    /// Name and value of each row of `metrics.csv`.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
        row("duration_seconds", self.duration_seconds.to_string());
        let full = self.time_to_full_patch_seconds.map(|seconds| seconds.to_string());
        row("time_to_full_patch_seconds", full.unwrap_or_default());
        row("exposure_weighted_seconds", self.exposure.to_string());
        row("halted", self.halted.to_string());
        row("out_of_windows", self.out_of_windows.to_string());
        row("overrun_seconds", self.overrun_seconds.to_string());
        row("failed_nodes", self.failed_nodes.to_string());
        row("unpatched_nodes", self.unpatched_nodes.to_string());
        row("rollbacks", self.rollbacks.to_string());
        row("retries", self.retries.to_string());
        row("guardrail_pauses", self.guardrail_pauses.to_string());
        row("mixed_version_seconds", self.mixed_version_seconds.to_string());
        row("degraded_seconds", self.degraded_seconds.to_string());
        row("incompatibility_violations", self.incompatibility_violations.to_string());
        row("availability_violations", self.availability_violations.to_string());
        row("node_unavailability_seconds", self.node_unavailability_seconds.to_string());
        row("most_nodes_down", self.most_nodes_down.to_string());
        row("degraded_service_seconds", self.degraded_service_seconds.to_string());
        row("extra_capacity_seconds", self.extra_capacity_seconds.to_string());
        row("downtime_seconds", self.downtime_seconds.to_string());
        row("longest_downtime_seconds", self.longest_downtime_seconds.to_string());
        for service in &self.services {
            row(&format!("downtime_seconds.{}", service.service), service.downtime_seconds.to_string());
            let longest = service.longest_downtime_seconds.to_string();
            row(&format!("longest_downtime_seconds.{}", service.service), longest);
        }
        rows
    }
}

pub fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}
