//! Durations and failure rates of the steps of a run.

use std::collections::BTreeMap;

use domain::{ids::CiId, plan::Target, workflow::Reboot};
use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;

/// Durations and failure rates of a fleet.
///
/// The default is a prior for real servers, used until there are runs to learn from: an update of one to seven minutes,
/// usually two; a reboot of half a minute to five, usually one and a half, needed by three updates in ten; two updates in
/// a hundred fail and one host in a thousand is lost. These are deliberate estimates, not measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DurationModel {
    /// For hosts that `by_kind` does not name.
    pub host: HostModel,
    /// By `os/role` or `os`, the finer one first: `debian12/db`, `rhel9`.
    pub by_kind: BTreeMap<String, HostModel>,
    /// Takes precedence: hosts of which more is known than of their kind.
    pub by_host: BTreeMap<CiId, HostModel>,
    /// Hosts that the executor patches in parallel; in a larger wave, others start as these end.
    pub forks: u32,
    /// One round of snapshots, of up to 50 hosts.
    pub snapshots: Distribution,
    /// One round of tests on a wave; there is one before and one after.
    pub tests: Distribution,
    /// Re-scan and health checks at the end.
    pub verification: Distribution,
    /// After this many seconds, hosts that a run left unpatched are assumed to have been patched by hand. Until then they
    /// stay exposed; otherwise a plan that halts at once would look safest.
    pub unpatched_exposure_seconds: u32,
}

/// Durations and failure rates of one kind of host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HostModel {
    /// Its workflow around the update, without the reboot.
    pub update: Distribution,
    pub reboot: Distribution,
    /// How often an update needs a reboot, if the policy reboots only when required.
    pub reboot_probability: f64,
    /// How often an update, its reboot or the health check after it fails.
    pub failure_probability: f64,
    /// How often a host is lost during its update and keeps its place until its timeout.
    pub lost_probability: f64,
    /// Return to the snapshot.
    pub rollback: Distribution,
    pub rollback_failure_probability: f64,
}

impl Default for HostModel {
    fn default() -> Self {
        Self {
            update: Distribution::Triangular { low: 60.0, mode: 120.0, high: 420.0 },
            reboot: Distribution::Triangular { low: 30.0, mode: 90.0, high: 300.0 },
            reboot_probability: 0.3,
            failure_probability: 0.02,
            lost_probability: 0.001,
            rollback: Distribution::Triangular { low: 20.0, mode: 60.0, high: 180.0 },
            rollback_failure_probability: 0.01,
        }
    }
}

impl Default for DurationModel {
    fn default() -> Self {
        Self {
            host: HostModel::default(),
            by_kind: BTreeMap::new(),
            by_host: BTreeMap::new(),
            forks: 24,
            snapshots: Distribution::Triangular { low: 5.0, mode: 20.0, high: 60.0 },
            tests: Distribution::Triangular { low: 10.0, mode: 30.0, high: 120.0 },
            verification: Distribution::Triangular { low: 10.0, mode: 30.0, high: 120.0 },
            unpatched_exposure_seconds: 86_400,
        }
    }
}

impl DurationModel {
    /// The kinds of a host for lookup and learning, most specific first.
    pub fn kinds(target: &Target) -> Vec<String> {
        let role = target.tags.get("role").map(|role| format!("{}/{role}", target.os));
        role.into_iter().chain([target.os.clone()]).collect()
    }

    pub fn of(&self, host: &CiId, target: &Target) -> &HostModel {
        let of_kind = || Self::kinds(target).iter().find_map(|kind| self.by_kind.get(kind));
        self.by_host.get(host).or_else(of_kind).unwrap_or(&self.host)
    }

    /// The expected duration of a host in seconds; decides which hosts may start in a window.
    pub fn expected_seconds(host: &HostModel, reboot: Reboot) -> f64 {
        let reboots = match reboot {
            Reboot::Never => 0.0,
            Reboot::IfRequired => host.reboot_probability,
            Reboot::Always => 1.0,
        };
        host.update.mean() + reboots * host.reboot.mean()
    }

    /// The errors in it: JSON pointer and reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.forks == 0 {
            faults.push(("/forks".to_owned(), "must be at least 1".to_owned()));
        }
        let named =
            [("/snapshots", &self.snapshots), ("/tests", &self.tests), ("/verification", &self.verification)];
        for (pointer, distribution) in named {
            faults.extend(distribution.fault().map(|fault| (pointer.to_owned(), fault.to_owned())));
        }
        let by_kind = self.by_kind.iter().map(|(kind, host)| (format!("/by_kind/{}", escaped(kind)), host));
        let by_host = self.by_host.iter().map(|(id, host)| (format!("/by_host/{id}"), host));
        for (pointer, host) in by_kind.chain(by_host).chain([("/host".to_owned(), &self.host)]) {
            faults.extend(host.faults().map(|(field, fault)| (format!("{pointer}/{field}"), fault)));
        }
        faults
    }
}

impl HostModel {
    fn faults(&self) -> impl Iterator<Item = (&'static str, String)> {
        let times = [("update", &self.update), ("reboot", &self.reboot), ("rollback", &self.rollback)];
        let rates = [
            ("reboot_probability", self.reboot_probability),
            ("failure_probability", self.failure_probability),
            ("lost_probability", self.lost_probability),
            ("rollback_failure_probability", self.rollback_failure_probability),
        ];
        let times = times.into_iter().filter_map(|(field, time)| Some((field, time.fault()?.to_owned())));
        let rates = rates.into_iter().filter(|(_, rate)| !(0.0..=1.0).contains(rate));
        times.chain(rates.map(|(field, _)| (field, "must be 0 to 1".to_owned())))
    }
}

/// A key as a token of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
