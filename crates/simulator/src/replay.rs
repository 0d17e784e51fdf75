//! Replays a finished run under other strategies, with the durations and failures that its hosts really had.

use std::collections::BTreeMap;

use domain::{ids::CiId, strategy::Strategy};
use planner::PlanRequest;
use serde::{Deserialize, Serialize};

use crate::{
    compare::{Comparison, compare},
    distribution::Distribution,
    forecast::{DurationModel, HostModel},
};

/// What a host did in the run; assumed to be the same at any other place in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Observed {
    /// Its whole workflow, reboot included.
    pub seconds: f64,
    pub failed: bool,
    /// Absent if it was not rolled back.
    pub rollback_seconds: Option<f64>,
    pub rollback_failed: bool,
}

/// Plays each strategy once, without randomness. Hosts that the run never reached behave like the model's mean and do not
/// fail. `begun_hosts` and `halt` of each outcome show how far it would have come.
pub fn replay(
    request: &PlanRequest,
    strategies: &[Strategy],
    observed: &BTreeMap<CiId, Observed>,
    model: &DurationModel,
) -> Comparison {
    let mut exact = DurationModel {
        snapshots: at_mean(&model.snapshots),
        tests: at_mean(&model.tests),
        verification: at_mean(&model.verification),
        ..model.clone()
    };
    for (host, target) in &request.targets {
        let expected = model.of(host, target);
        let behaviour = match observed.get(host) {
            Some(observed) => HostModel {
                update: Distribution::fixed(observed.seconds),
                // Already included in the total.
                reboot: Distribution::fixed(0.0),
                reboot_probability: 0.0,
                failure_probability: f64::from(u8::from(observed.failed)),
                lost_probability: 0.0,
                rollback: observed.rollback_seconds.map_or(at_mean(&expected.rollback), Distribution::fixed),
                rollback_failure_probability: f64::from(u8::from(observed.rollback_failed)),
            },
            None => HostModel {
                update: at_mean(&expected.update),
                reboot: at_mean(&expected.reboot),
                reboot_probability: f64::from(u8::from(expected.reboot_probability >= 0.5)),
                failure_probability: 0.0,
                lost_probability: 0.0,
                rollback: at_mean(&expected.rollback),
                rollback_failure_probability: 0.0,
            },
        };
        exact.by_host.insert(host.clone(), behaviour);
    }
    compare(request, strategies, &exact, 1, 0)
}

fn at_mean(distribution: &Distribution) -> Distribution {
    Distribution::fixed(distribution.mean())
}
