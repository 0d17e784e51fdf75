use domain::{plan::WaveKind, quantity::HostCount, strategy::Strategy};
use planner::{Compatibility, PlanRequest, host_plan};

use crate::fixture::{add_service, codes, depends, id, request, shape, target};

/// web -> api -> db, three hosts each but two for db.
fn shop(strategy: Strategy) -> PlanRequest {
    let mut request = request(strategy);
    add_service(&mut request, "web", 3, 2, 2);
    add_service(&mut request, "api", 3, 2, 3);
    add_service(&mut request, "db", 2, 1, 5);
    for (source, target) in [("web-1", "api-1"), ("web-2", "api-2"), ("web-3", "api-3"), ("api-1", "db-1")] {
        depends(&mut request, source, target, Compatibility::Compatible);
    }
    request
}

#[test]
fn rolling_takes_the_most_critical_hosts_that_each_service_can_spare_first() {
    let plan = host_plan(&shop(Strategy::Rolling));
    assert_eq!(
        shape(&plan),
        ["batch-1: api-1 db-1 web-1", "batch-2: api-2 db-2 web-2", "batch-3: api-3 web-3"]
    );
    assert_eq!(codes(&plan), Vec::<&str>::new());
}

#[test]
fn rolling_offers_places_to_the_most_critical_first() {
    let mut request = shop(Strategy::Rolling);
    request.max_parallel = HostCount::Number(2);
    let waves = shape(&host_plan(&request));
    assert_eq!(
        waves,
        [
            "batch-1: api-1 db-1",
            "batch-2: api-2 db-2",
            "batch-3: api-3 web-1",
            "batch-4: web-2",
            "batch-5: web-3"
        ]
    );
}

#[test]
fn bigbang_needs_the_fewest_waves() {
    let mut request = shop(Strategy::BigBang);
    request.max_parallel = HostCount::Number(3);
    assert_eq!(host_plan(&request).waves.len(), 3);
    request.graph.services.clear();
    request.max_parallel = HostCount::Number(8);
    assert_eq!(shape(&host_plan(&request)).len(), 1);
}

#[test]
fn batch_rolling_goes_by_id() {
    let mut request = shop(Strategy::BatchRolling);
    request.max_parallel = HostCount::Number(2);
    assert_eq!(shape(&host_plan(&request))[0], "batch-1: api-1 db-1");
    request.graph.services.clear();
    assert_eq!(shape(&host_plan(&request))[0], "batch-1: api-1 api-2");
}

#[test]
fn canary_sends_one_of_each_service_first_and_pauses() {
    let plan = host_plan(&shop(Strategy::Canary));
    assert_eq!(shape(&plan)[..2], ["canary-1: api-1 db-1 web-1", "batch-1: api-2 db-2 web-2"]);
    assert_eq!(plan.waves[0].kind, WaveKind::Pilot);
    assert_eq!(plan.waves[0].gate.soak_seconds, 60);
    assert_eq!(plan.waves[1].gate.soak_seconds, 0);
}

#[test]
fn bluegreen_leaves_the_other_half_serving() {
    let mut request = shop(Strategy::BlueGreen);
    request.graph.services.clear();
    let waves = shape(&host_plan(&request));
    assert_eq!(waves, ["green-1: api-1 db-1 web-1", "blue-1: api-2 api-3 db-2 web-2 web-3"]);
}

#[test]
fn dep_greedy_patches_providers_first() {
    let plan = host_plan(&shop(Strategy::DepGreedy));
    assert_eq!(
        shape(&plan),
        ["batch-1: api-2 db-1", "batch-2: api-1 db-2 web-2", "batch-3: api-3 web-1", "batch-4: web-3"]
    );
}

#[test]
fn dep_greedy_survives_a_cycle_and_reports_it() {
    let mut request = shop(Strategy::DepGreedy);
    depends(&mut request, "db-1", "web-1", Compatibility::Compatible);
    let plan = host_plan(&request);
    assert_eq!(plan.waves.iter().map(|wave| wave.hosts.len()).sum::<usize>(), 8);
    assert_eq!(codes(&plan), ["dependency-cycle"]);
}

#[test]
fn hybrid_goes_by_risk_and_pauses_after_each_wave() {
    let plan = host_plan(&shop(Strategy::Hybrid));
    // db-1 and api-1 have the highest degree of their service, so they are riskiest.
    assert_eq!(shape(&plan)[0], "batch-1: api-1 db-1 web-1");
    let pauses: Vec<u32> = plan.waves.iter().map(|wave| wave.gate.soak_seconds).collect();
    assert_eq!(pauses, [30, 30, 0]);
}

#[test]
fn incompatible_hosts_share_a_wave() {
    for strategy in Strategy::ALL {
        let mut request = shop(strategy);
        depends(&mut request, "api-3", "db-2", Compatibility::Incompatible);
        depends(&mut request, "web-1", "api-3", Compatibility::Incompatible);
        let plan = host_plan(&request);
        let wave = plan.wave_of(&id("api-3"));
        assert_eq!(plan.wave_of(&id("db-2")), wave, "{strategy}");
        assert_eq!(plan.wave_of(&id("web-1")), wave, "{strategy}");
        assert_eq!(plan.errors().count(), 0, "{strategy}: {:?}", plan.notes);
    }
}

#[test]
fn incompatible_hosts_that_fit_into_no_wave_are_split_and_reported() {
    let mut request = shop(Strategy::Rolling);
    depends(&mut request, "web-1", "web-2", Compatibility::Incompatible);
    let plan = host_plan(&request);
    assert_eq!(codes(&plan), ["incompatible-group-split"]);
    assert_eq!(plan.errors().count(), 1);
}

#[test]
fn staging_comes_first_with_tests_then_pilots_of_each_cluster() {
    let mut request = shop(Strategy::Rolling);
    add_service(&mut request, "stage", 3, 0, 1);
    request.staging = (1..=3).map(|number| id(&format!("stage-{number}"))).collect();
    request.targets.insert(id("db-1"), target("two"));
    request.targets.insert(id("db-2"), target("two"));
    request.pilot_host_count = 1;
    request.soak_seconds = 15;
    let plan = host_plan(&request);
    assert_eq!(shape(&plan)[..2], ["staging-1: stage-1 stage-2 stage-3", "pilot-1: db-1 web-1"]);
    assert_eq!((plan.waves[0].gate.tests, plan.waves[0].gate.soak_seconds), (true, 15));
    assert_eq!((plan.waves[1].gate.tests, plan.waves[1].kind), (false, WaveKind::Pilot));
    assert_eq!(plan.waves[2].kind, WaveKind::Batch);
}

#[test]
fn members_that_are_not_targets_or_down_count_for_their_service() {
    let mut request = shop(Strategy::Rolling);
    request.targets.retain(|host, _| host.as_str().starts_with("web"));
    request.graph.hosts.get_mut(&id("web-3")).unwrap().up = false;
    request.targets.remove(&id("web-1"));
    // web-1 and web-2 serve and both are needed; web-3 is down and may be patched at any time.
    let plan = host_plan(&request);
    assert_eq!(shape(&plan), ["batch-1: web-3", "batch-2: web-2"]);
    assert_eq!(codes(&plan), ["service-cannot-keep-min-up", "service-members-down"]);
}

#[test]
fn same_request_same_hash() {
    for strategy in Strategy::ALL {
        assert_eq!(host_plan(&shop(strategy)).hash(), host_plan(&shop(strategy)).hash());
    }
}
