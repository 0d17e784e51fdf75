//! The durations that predictions use, learnt from runs; and how accurate predictions were.

use std::collections::BTreeMap;

use api_types::page::Page;
use api_types::patch::{PredictionCalibration, PredictionLedger, ScoredPrediction};
use domain::{
    ids::{CiId, RunId},
    plan::{Connection, Target},
};
use service_kit::{
    ApiResult,
    page::{PageRequest, page},
};
use simulator::{Distribution, DurationModel, HostModel, calibrate, refit};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{App, store::predictions};

/// Number of the newest attempts to learn from.
const OBSERVATIONS: i64 = 2000;
/// Number of the newest actions of a kind to learn from. With fewer than the minimum, the prior is used.
const ACTIONS: i64 = 200;
const MIN_ACTIONS: usize = 5;
/// Number of the newest runs that the calibration covers.
const CALIBRATED: i64 = 1000;

/// Durations for a plan of these targets, and the number of observations behind them.
pub(crate) async fn duration_model(
    app: &App,
    conn: &mut PgConnection,
    targets: &BTreeMap<CiId, Target>,
) -> ApiResult<(DurationModel, i64)> {
    let observations = predictions::list_host_observations(&mut *conn, OBSERVATIONS).await?;
    let mut model = refit(&prior(targets), &observations);
    model.forks = u32::from(app.settings.forks.max(1));
    let steps = [
        (&mut model.snapshots, vec!["snapshot"]),
        (&mut model.tests, vec!["test_before", "test_after"]),
        (&mut model.verification, vec!["verify"]),
    ];
    for (distribution, actions) in steps {
        let actions: Vec<String> = actions.into_iter().map(str::to_owned).collect();
        let seconds = predictions::list_action_seconds(&mut *conn, &actions, ACTIONS).await?;
        if seconds.len() >= MIN_ACTIONS {
            *distribution = Distribution::Empirical { seconds };
        }
    }
    Ok((model, i64::try_from(observations.len()).unwrap_or(i64::MAX)))
}

/// Used before anything was observed: the simulator's prior for real servers. `model` guests are database rows, so they
/// are faster.
fn prior(targets: &BTreeMap<CiId, Target>) -> DurationModel {
    let triangular = |low, mode, high| Distribution::Triangular { low, mode, high };
    let real = DurationModel::default();
    if targets.values().any(|target| target.connection != Connection::Model) {
        return real;
    }
    DurationModel {
        host: HostModel {
            update: triangular(2.0, 4.0, 12.0),
            reboot: triangular(0.5, 2.0, 8.0),
            rollback: triangular(1.0, 3.0, 8.0),
            ..real.host
        },
        snapshots: triangular(0.1, 0.5, 3.0),
        tests: triangular(0.5, 2.0, 6.0),
        verification: triangular(1.0, 3.0, 10.0),
        ..real
    }
}

/// Scored predictions, newest first, with the calibration of the newest thousand.
pub(crate) async fn list_predictions(app: &App, request: &PageRequest) -> ApiResult<PredictionLedger> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let scored = predictions::list_scored(&mut conn, after, limit + 1).await?;
    let all = predictions::list_scored(&mut conn, None, CALIBRATED).await?;
    drop(conn);
    let calibration = calibrate(all.iter().map(|one| (&one.forecast, one.actual))).map(|calibration| {
        PredictionCalibration {
            runs: calibration.runs,
            p50_held: calibration.p50_held.value,
            p95_held: calibration.p95_held.value,
            p95_held_low: calibration.p95_held.low,
            p95_held_high: calibration.p95_held.high,
            duration_ratio: calibration.duration_ratio,
            brier_failure: calibration.brier_failure,
            brier_halt: calibration.brier_halt,
        }
    });
    let items = scored.into_iter().map(|one| ScoredPrediction {
        run_id: RunId(one.run_id),
        made_at: one.made_at,
        observations: one.observations,
        predicted_p50_seconds: one.forecast.duration_seconds.p50,
        predicted_p95_seconds: one.forecast.duration_seconds.p95,
        predicted_failure_probability: one.forecast.any_failure.value,
        predicted_halt_probability: one.forecast.halt.value,
        actual_seconds: one.actual.duration_seconds,
        actual_failed_hosts: one.actual.failed_hosts,
        halted: one.actual.halted,
    });
    let Page { items, next_page_token } = page(items.collect(), limit, |one: &ScoredPrediction| one.run_id.0);
    Ok(PredictionLedger { calibration, items, next_page_token })
}
