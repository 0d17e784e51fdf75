use std::collections::BTreeMap;

use domain::{quantity::HostCount, strategy::Strategy};
use planner::host_plan;
use simulator::{
    Actual, Distribution, DurationModel, HostObservation, Observed, calibrate, forecast, refit, replay,
};

use crate::fixture::{exact, id, request};

fn observation(seconds: f64) -> HostObservation {
    HostObservation {
        kinds: vec!["debian12/db".into(), "debian12".into()],
        update_seconds: Some(seconds),
        reboot_seconds: None,
        rollback_seconds: None,
        failed: false,
        lost: false,
        rollback_failed: false,
    }
}

#[test]
fn model_played_by_itself_is_calibrated() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    let model = DurationModel::default();
    let predicted = forecast(&plan, &request.graph, &model, 2000, 1);
    let actuals = (0..500).map(|seed| {
        let run = forecast(&plan, &request.graph, &model, 1, 1000 + seed);
        let failed_hosts = run.failed_hosts.mean as u32;
        Actual { duration_seconds: run.duration_seconds.mean, failed_hosts, halted: run.halt.value > 0.5 }
    });
    let calibration = calibrate(actuals.map(|actual| (&predicted, actual))).unwrap();
    assert!(calibration.p95_held.low <= 0.95 && calibration.p95_held.high >= 0.95, "{calibration:?}");
    assert!(calibration.p50_held.low <= 0.5 && calibration.p50_held.high >= 0.5, "{calibration:?}");
    assert!((calibration.duration_ratio - 1.0).abs() < 0.05, "{calibration:?}");
    assert!(calibration.brier_failure < 0.15 && calibration.brier_halt < 0.15, "{calibration:?}");
    assert_eq!(calibrate([]), None);
}

#[test]
fn too_optimistic_model_is_detected() {
    let request = request(Strategy::Rolling);
    let predicted = forecast(&host_plan(&request), &request.graph, &exact(), 10, 1);
    let late =
        Actual { duration_seconds: predicted.duration_seconds.mean * 3.0, failed_hosts: 1, halted: false };
    let calibration = calibrate([(&predicted, late)]).unwrap();
    assert_eq!((calibration.p95_held.value, calibration.duration_ratio), (0.0, 3.0));
    assert_eq!((calibration.brier_failure, calibration.brier_halt), (1.0, 0.0));
}

#[test]
fn few_observations_move_the_prior_and_many_replace_it() {
    let prior = DurationModel::default();
    let few = refit(&prior, &[observation(10.0), observation(12.0)]);
    let update = &few.by_kind["debian12/db"].update;
    let Distribution::LogNormal { median, .. } = update else { panic!("{update:?}") };
    assert!((20.0..150.0).contains(median), "{median} lies between 11 s and the prior's 2 to 3 minutes");
    assert_eq!(few.host, prior.host);

    let many: Vec<HostObservation> = (0..600).map(|n| observation(f64::from(n))).collect();
    let model = refit(&prior, &many);
    let Distribution::Empirical { seconds } = &model.by_kind["debian12"].update else { panic!() };
    assert_eq!((seconds.len(), seconds[0]), (500, 100.0), "the newest are kept");
    assert_eq!(model.faults(), []);
}

#[test]
fn rates_are_learnt_slowly() {
    let prior = DurationModel::default();
    let failed = HostObservation { failed: true, update_seconds: None, ..observation(0.0) };
    let once = refit(&prior, std::slice::from_ref(&failed));
    let rate = once.by_kind["debian12"].failure_probability;
    assert!((0.05..0.1).contains(&rate), "one failure does not make {rate}");
    let often = refit(&prior, &vec![failed; 200]);
    assert!(often.by_kind["debian12"].failure_probability > 0.9);
    assert_eq!(often.by_kind["debian12"].update, prior.host.update);
}

#[test]
fn replay_shows_where_another_strategy_would_have_stopped() {
    let mut request = request(Strategy::BigBang);
    request.graph.services.clear();
    request.max_parallel = HostCount::Number(10);
    let went =
        |failed| Observed { seconds: 60.0, failed, rollback_seconds: Some(30.0), rollback_failed: false };
    let mut observed: BTreeMap<_, _> =
        request.targets.keys().map(|host| (host.clone(), went(false))).collect();
    observed.insert(id("web-1"), went(true));
    let replayed = replay(&request, &[Strategy::BigBang, Strategy::Canary], &observed, &exact());
    let [bigbang, canary] = replayed.outcomes.as_slice() else { panic!() };
    assert_eq!((bigbang.forecast.halt.value, bigbang.forecast.begun_hosts.mean), (1.0, 5.0));
    assert_eq!(bigbang.forecast.duration_seconds.mean, 10.0 + 60.0 + 30.0 + 5.0);
    // Without min_up, the canary of web is web-1: the run stops after one host of each service.
    assert_eq!((canary.forecast.halt.value, canary.forecast.begun_hosts.mean), (1.0, 2.0));
    assert_eq!(canary.forecast.unpatched_hosts.mean, 4.0);
}
