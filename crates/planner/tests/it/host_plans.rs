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
fn bigbang_takes_everything_at_once_and_is_refused_where_that_breaks_a_budget() {
    let mut request = shop(Strategy::BigBang);
    request.max_parallel = HostCount::Number(3);
    request.max_unavailable = Some(HostCount::Number(2));
    request.graph.services.get_mut(&id("web")).unwrap().min_up = 0;
    let plan = host_plan(&request);
    assert_eq!(shape(&plan), ["batch-1: api-1 api-2 api-3 db-1 db-2 web-1 web-2 web-3"]);
    let codes = [
        // web
        "more-than-max-unavailable",
        // api and db
        "service-cannot-keep-min-up",
        "wave-larger-than-max-parallel",
    ];
    assert_eq!(self::codes(&plan), codes);
    assert_eq!(plan.errors().count(), 4, "{:?}", plan.notes);
    request.graph.services.values_mut().for_each(|service| service.min_up = 0);
    request.max_parallel = HostCount::Number(8);
    request.max_unavailable = None;
    let plan = host_plan(&request);
    assert_eq!((plan.waves.len(), plan.errors().count()), (1, 0), "{:?}", plan.notes);
}

#[test]
fn bigbang_keeps_the_staging_and_pilots_of_the_policy() {
    let mut request = shop(Strategy::BigBang);
    add_service(&mut request, "stage", 2, 0, 1);
    request.staging = (1..=2).map(|number| id(&format!("stage-{number}"))).collect();
    request.pilot_host_count = 1;
    let names: Vec<String> = host_plan(&request).waves.into_iter().map(|wave| wave.name).collect();
    assert_eq!(names, ["staging-1", "pilot-1", "batch-1"]);
}

#[test]
fn clusters_in_turn_have_pilots_of_their_own_before_the_next_cluster_begins() {
    let mut request = shop(Strategy::Rolling);
    request.graph.services.values_mut().for_each(|service| service.min_up = 0);
    request.max_parallel = HostCount::Number(8);
    request.pilot_host_count = 1;
    request.targets.values_mut().for_each(|target| target.tags.clear());
    for (host, cluster) in [("api-1", "east"), ("api-2", "east"), ("db-1", "west"), ("db-2", "west")] {
        let tags = &mut request.targets.get_mut(&id(host)).unwrap().tags;
        tags.insert("cluster".to_owned(), cluster.to_owned());
    }
    let names = |first: &[&str]| {
        let first = first.iter().map(|name| (*name).to_owned()).collect();
        let plan = host_plan(&PlanRequest { clusters_in_turn: Some(first), ..request.clone() });
        shape(&plan).into_iter().filter(|wave| !wave.starts_with("no-cluster")).collect::<Vec<_>>()
    };
    let east = ["east-pilot-1: api-1", "east-batch-1: api-2"];
    let west = ["west-pilot-1: db-1", "west-batch-1: db-2"];
    assert_eq!(names(&[]), [east, west].concat());
    assert_eq!(names(&["west", "unused"]), [west, east].concat());
    let last = host_plan(&PlanRequest { clusters_in_turn: Some(Vec::new()), ..request }).waves.pop().unwrap();
    assert!(last.name.starts_with("no-cluster-batch"), "{}", last.name);
}

#[test]
fn batch_rolling_goes_service_by_service_in_batches_of_max_unavailable() {
    let mut request = shop(Strategy::BatchRolling);
    add_service(&mut request, "cache", 5, 1, 1);
    request.max_unavailable = Some(HostCount::Percent(40));
    assert_eq!(
        shape(&host_plan(&request)),
        [
            "batch-1: api-1",
            "batch-2: api-2",
            "batch-3: api-3",
            "batch-4: cache-1 cache-2",
            "batch-5: cache-3 cache-4",
            "batch-6: cache-5",
            "batch-7: db-1",
            "batch-8: db-2",
            "batch-9: web-1",
            "batch-10: web-2",
            "batch-11: web-3"
        ]
    );
    // Without `max_unavailable`, a batch is what the service can spare.
    request.max_unavailable = None;
    assert_eq!(
        shape(&host_plan(&request))[3..5],
        ["batch-4: cache-1 cache-2 cache-3 cache-4", "batch-5: cache-5"]
    );
}

#[test]
fn max_unavailable_limits_every_service_and_the_hosts_without_one() {
    let mut request = request(Strategy::Rolling);
    add_service(&mut request, "cache", 10, 1, 2);
    for number in 1..=4 {
        request.targets.insert(id(&format!("alone-{number}")), target("one"));
    }
    request.max_parallel = HostCount::Percent(100);
    request.max_unavailable = Some(HostCount::Percent(25));
    let plan = host_plan(&request);
    // A quarter of ten is two, a quarter of four is one.
    assert_eq!(shape(&plan)[0], "batch-1: alone-1 cache-1 cache-10");
    assert_eq!(plan.waves.len(), 5);
    assert_eq!(plan.services[&id("cache")].max_unavailable, Some(2));
    assert_eq!(plan.limits.max_unavailable_without_service, Some(1));
    assert_eq!(plan.errors().count(), 0, "{:?}", plan.notes);
    // A member that is down already is unavailable.
    request.graph.hosts.get_mut(&id("cache-1")).unwrap().up = false;
    request.targets.remove(&id("cache-1"));
    assert_eq!(shape(&host_plan(&request))[0], "batch-1: alone-1 cache-10");
}

#[test]
fn a_run_takes_no_host_beyond_max_unavailable() {
    let mut request = request(Strategy::Rolling);
    add_service(&mut request, "cache", 4, 0, 2);
    for number in 1..=4 {
        request.targets.insert(id(&format!("alone-{number}")), target("one"));
    }
    request.max_unavailable = Some(HostCount::Number(1));
    let plan = host_plan(&request);
    let (alone, cache) = (id("alone-1"), id("cache-1"));
    assert!(
        plan.can_spare(&id("alone-2"), &[&cache].into()) && plan.can_spare(&id("cache-2"), &[&alone].into())
    );
    assert!(
        !plan.can_spare(&id("alone-2"), &[&alone].into())
            && !plan.can_spare(&id("cache-2"), &[&cache].into())
    );
}

#[test]
fn plan_without_max_unavailable_is_stored_as_before_it_existed() {
    let plan = serde_json::to_string(&host_plan(&shop(Strategy::Rolling))).unwrap();
    assert!(!plan.contains("max_unavailable"), "{plan}");
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
fn bluegreen_is_refused_for_hosts_with_the_alternative() {
    let plan = host_plan(&shop(Strategy::BlueGreen));
    assert_eq!(codes(&plan), ["strategy-not-for-hosts"]);
    let error = plan.errors().next().unwrap();
    assert!(error.text.contains("no driver replaces hosts; use `canary` or `rolling`"), "{}", error.text);
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
    for strategy in Strategy::for_hosts() {
        let mut request = shop(strategy);
        depends(&mut request, "api-3", "db-2", Compatibility::Incompatible);
        depends(&mut request, "web-1", "api-3", Compatibility::Incompatible);
        let plan = host_plan(&request);
        let wave = plan.wave_of(&id("api-3"));
        assert_eq!(plan.wave_of(&id("db-2")), wave, "{strategy}");
        assert_eq!(plan.wave_of(&id("web-1")), wave, "{strategy}");
        let split = plan.notes.iter().any(|note| note.code == "incompatible-group-split");
        assert!(!split, "{strategy}: {:?}", plan.notes);
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
