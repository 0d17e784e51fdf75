//! Refits the model from real runs, kind by kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    distribution::Distribution,
    forecast::{DurationModel, HostModel},
    random::Xoshiro256,
};

/// From this many observations on, the prior is not used.
const ENOUGH: usize = 30;
/// Below that, the prior counts as this many observations of durations.
const PRIOR_DURATIONS: f64 = 5.0;
/// The prior counts as this many observations of failures, which are rare and must not be learnt from a single one.
const PRIOR_ATTEMPTS: f64 = 20.0;
/// The number of newest durations that a model keeps.
const KEPT: usize = 500;
/// The shortest duration in seconds; keeps logarithms finite.
const SHORTEST: f64 = 0.001;

/// The observation of one attempt on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HostObservation {
    /// As in [`DurationModel::kinds`]; an observation counts for each of them.
    pub kinds: Vec<String>,
    /// Workflow around the update without the reboot, in seconds; absent if it did not come to an end.
    pub update_seconds: Option<f64>,
    /// Absent if it did not reboot.
    pub reboot_seconds: Option<f64>,
    /// Absent if it was not rolled back.
    pub rollback_seconds: Option<f64>,
    pub failed: bool,
    pub lost: bool,
    pub rollback_failed: bool,
}

/// The prior, with the observed kinds refitted. Observations go from the oldest to the newest.
///
/// Durations with few observations become log-normal, the prior weighing as five of them; with thirty the observations
/// themselves are drawn from. Rates are those of the observations and twenty attempts of the prior (a beta prior's mean).
pub fn refit(prior: &DurationModel, observations: &[HostObservation]) -> DurationModel {
    let mut by_kind: BTreeMap<&str, Vec<&HostObservation>> = BTreeMap::new();
    for observation in observations {
        for kind in &observation.kinds {
            by_kind.entry(kind).or_default().push(observation);
        }
    }
    let mut model = prior.clone();
    for (kind, observations) in by_kind {
        let of_kind = prior.by_kind.get(kind).unwrap_or(&prior.host);
        model.by_kind.insert(kind.to_owned(), fit(of_kind, &observations));
    }
    model
}

fn fit(prior: &HostModel, observations: &[&HostObservation]) -> HostModel {
    let times = |time: fn(&HostObservation) -> Option<f64>| -> Vec<f64> {
        let valid = |seconds: &f64| seconds.is_finite() && *seconds >= 0.0;
        observations.iter().filter_map(|observation| time(observation)).filter(valid).collect()
    };
    let rate = |prior: f64, hits: usize, of: usize| {
        (prior * PRIOR_ATTEMPTS + hits as f64) / (PRIOR_ATTEMPTS + of as f64)
    };
    let count = |event: fn(&HostObservation) -> bool| {
        observations.iter().filter(|observation| event(observation)).count()
    };
    let rolled_back = count(|o| o.rollback_seconds.is_some() || o.rollback_failed);
    let updated = count(|o| o.update_seconds.is_some());
    HostModel {
        update: fit_time(&prior.update, times(|o| o.update_seconds)),
        reboot: fit_time(&prior.reboot, times(|o| o.reboot_seconds)),
        reboot_probability: rate(prior.reboot_probability, count(|o| o.reboot_seconds.is_some()), updated),
        failure_probability: rate(
            prior.failure_probability,
            count(|o| o.failed && !o.lost),
            observations.len(),
        ),
        lost_probability: rate(prior.lost_probability, count(|o| o.lost), observations.len()),
        rollback: fit_time(&prior.rollback, times(|o| o.rollback_seconds)),
        rollback_failure_probability: rate(
            prior.rollback_failure_probability,
            count(|o| o.rollback_failed),
            rolled_back,
        ),
    }
}

fn fit_time(prior: &Distribution, mut observed: Vec<f64>) -> Distribution {
    if observed.is_empty() {
        return prior.clone();
    }
    if observed.len() >= ENOUGH {
        observed.drain(..observed.len().saturating_sub(KEPT));
        return Distribution::Empirical { seconds: observed };
    }
    // The prior's own logarithms, from a fixed sample: not all priors have them in closed form.
    let mut random = Xoshiro256::new(0);
    let sample: Vec<f64> = (0..1000).map(|_| prior.sample(&mut random).max(SHORTEST).ln()).collect();
    let observed: Vec<f64> = observed.into_iter().map(|seconds| seconds.max(SHORTEST).ln()).collect();
    let count = observed.len() as f64;
    let (prior_mean, prior_variance) = moments(&sample);
    let (mean, variance) = moments(&observed);
    let together = PRIOR_DURATIONS + count;
    let centre = (PRIOR_DURATIONS * prior_mean + count * mean) / together;
    // Spread within each, and between prior and observations.
    let between = PRIOR_DURATIONS * count / together * (mean - prior_mean).powi(2);
    let variance = (PRIOR_DURATIONS * prior_variance + count * variance + between) / together;
    Distribution::LogNormal { median: centre.exp(), sigma: variance.sqrt().min(5.0) }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}
