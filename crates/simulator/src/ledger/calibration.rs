//! Whether predictions come true as often as they should.

use serde::{Deserialize, Serialize};

use crate::{forecast::Forecast, statistics::Probability};

/// The actual course of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Actual {
    /// From the first snapshot to the end of verification, without waiting for people.
    pub duration_seconds: f64,
    pub failed_hosts: u32,
    pub halted: bool,
}

/// How well the predictions of many runs fit reality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Calibration {
    pub runs: u32,
    /// Runs that ended within their predicted median; should be one half.
    pub p50_held: Probability,
    /// Runs that ended within their predicted P95; should be 0.95.
    pub p95_held: Probability,
    /// Mean of actual over predicted mean duration: above 1 the model is too optimistic.
    pub duration_ratio: f64,
    /// Mean squared error of the probability that a host fails: 0 is perfect, always saying one half scores 0.25
    /// (G. W. Brier, 1950).
    pub brier_failure: f64,
    pub brier_halt: f64,
}

/// `None` without any run.
pub fn calibrate<'a>(runs: impl IntoIterator<Item = (&'a Forecast, Actual)>) -> Option<Calibration> {
    let runs: Vec<(&Forecast, Actual)> = runs.into_iter().collect();
    if runs.is_empty() {
        return None;
    }
    let share = |event: fn(&(&Forecast, Actual)) -> bool| {
        Probability::of(runs.iter().filter(|run| event(run)).count(), runs.len())
    };
    let mean =
        |value: fn(&(&Forecast, Actual)) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
    Some(Calibration {
        runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
        p50_held: share(|(forecast, actual)| actual.duration_seconds <= forecast.duration_seconds.p50),
        p95_held: share(|(forecast, actual)| actual.duration_seconds <= forecast.duration_seconds.p95),
        duration_ratio: mean(|(forecast, actual)| match forecast.duration_seconds.mean {
            0.0 => 1.0,
            predicted => actual.duration_seconds / predicted,
        }),
        brier_failure: mean(|(forecast, actual)| brier(forecast.any_failure.value, actual.failed_hosts > 0)),
        brier_halt: mean(|(forecast, actual)| brier(forecast.halt.value, actual.halted)),
    })
}

fn brier(predicted: f64, happened: bool) -> f64 {
    (predicted - f64::from(u8::from(happened))).powi(2)
}
