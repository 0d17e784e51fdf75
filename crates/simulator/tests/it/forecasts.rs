use domain::{plan::NoteSeverity, strategy::Strategy, workflow::Rollback};
use planner::{Schedule, host_plan};
use simulator::{
    Distribution, DurationModel, Probability, compare, estimated, forecast, forecast_within, window_note,
};

use crate::fixture::{exact, id, request};

#[test]
fn plan_without_chance_is_played_to_the_second() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    // db-1 web-1, db-2 web-2, web-3.
    assert_eq!(plan.waves.len(), 3);
    let forecast = forecast(&plan, &request.graph, &exact(), 10, 1);
    assert_eq!(forecast.duration_seconds.p50, 10.0 + 3.0 * 150.0 + 5.0);
    assert_eq!(
        (forecast.halt.value, forecast.failed_hosts.mean, forecast.unpatched_hosts.max),
        (0.0, 0.0, 0.0)
    );
    assert_eq!(forecast.max_hosts_down.max, 2.0);
    assert_eq!(forecast.downtime_seconds.max, 0.0);
    let (web, db) = (20.0, 50.0);
    assert_eq!(forecast.exposure.mean, (web + db) * 160.0 + (web + db) * 310.0 + web * 460.0);
    assert_eq!(forecast.services[&id("web")].fewest_up, 2);
}

#[test]
fn failed_host_is_rolled_back_and_halts_the_run() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    let mut model = exact();
    model.host.failure_probability = 1.0;
    let forecast = forecast(&plan, &request.graph, &model, 10, 1);
    assert_eq!(forecast.halt.value, 1.0);
    // Both hosts of the first wave fail, are restored side by side, and nothing else begins.
    assert_eq!((forecast.failed_hosts.mean, forecast.unpatched_hosts.mean), (2.0, 5.0));
    assert_eq!(forecast.duration_seconds.mean, 10.0 + 150.0 + 20.0 + 5.0);
    assert_eq!(forecast.exposure.mean, (3.0 * 20.0 + 2.0 * 50.0) * 1185.0);
}

#[test]
fn retry_takes_another_round() {
    let mut request = request(Strategy::Rolling);
    request.retries = 2;
    let plan = host_plan(&request);
    let mut model = exact();
    model.host.failure_probability = 1.0;
    let forecast = forecast(&plan, &request.graph, &model, 3, 1);
    assert_eq!(forecast.duration_seconds.mean, 10.0 + 3.0 * 170.0 + 5.0);
    assert_eq!(forecast.failed_hosts.mean, 2.0);
}

#[test]
fn host_that_stays_down_costs_its_service() {
    let mut request = request(Strategy::Rolling);
    request.rollback = Rollback::Never;
    request.error_threshold = domain::quantity::HostCount::Number(1);
    let plan = host_plan(&request);
    let mut model = exact();
    // One in five: sometimes exactly one of web fails and the next wave finds no member to spare.
    model.host.failure_probability = 0.2;
    let forecast = forecast(&plan, &request.graph, &model, 500, 3);
    let web = forecast.services[&id("web")];
    assert_eq!(web.below_min_up.value, 0.0, "the engine halts rather than take another member");
    assert!(forecast.halt.value > 0.5, "{:?}", forecast.halt);
    assert_eq!(web.fewest_up, 2);
}

#[test]
fn same_seed_same_forecast() {
    let request = request(Strategy::Canary);
    let plan = host_plan(&request);
    let play = |seed| forecast(&plan, &request.graph, &DurationModel::default(), 400, seed);
    let json = |forecast| serde_json::to_string(&forecast).unwrap();
    assert_eq!(json(play(5)), json(play(5)));
    assert_ne!(json(play(5)), json(play(6)));
}

#[test]
fn forecast_survives_storage() {
    let request = request(Strategy::Hybrid);
    let forecast = forecast(&host_plan(&request), &request.graph, &DurationModel::default(), 50, 5);
    let stored = serde_json::to_string(&forecast).unwrap();
    assert_eq!(serde_json::from_str::<simulator::Forecast>(&stored).unwrap(), forecast);
    assert!(forecast.probability_ended_within(forecast.duration_seconds.p95) >= 0.95);
    assert_eq!(forecast.probability_ended_within(0.0), 0.0);
}

#[test]
fn short_window_is_noted_by_severity() {
    let request = request(Strategy::Rolling);
    let mut forecast = forecast(&host_plan(&request), &request.graph, &DurationModel::default(), 500, 5);
    let severity = |forecast: &_, seconds| window_note(forecast, seconds).map(|note| note.severity);
    assert_eq!(severity(&forecast, forecast.duration_seconds.max), None);
    assert_eq!(severity(&forecast, 60.0), Some(NoteSeverity::Warning), "the rest waits for the next opening");
    forecast.out_of_windows = Probability::of(400, 500);
    assert_eq!(severity(&forecast, 60.0), Some(NoteSeverity::Error), "there is no opening for the rest");
}

#[test]
fn comparison_recommends_with_a_reason() {
    let comparison = compare(&request(Strategy::Rolling), &Strategy::ALL, &DurationModel::default(), 300, 11);
    assert_eq!(comparison.outcomes.len(), 6);
    assert_eq!(comparison.refused.len(), 1);
    assert_eq!(comparison.refused[0].strategy, Strategy::BlueGreen);
    assert!(comparison.refused[0].reason.contains("use `canary` or `rolling`"), "{:?}", comparison.refused);
    let recommended = comparison.recommendation.unwrap();
    let row = comparison.outcomes.iter().find(|row| row.strategy == recommended).unwrap();
    assert!(row.pareto && row.errors == 0);
    assert!(comparison.reason.contains(recommended.name()), "{}", comparison.reason);
}

#[test]
fn bigbang_shows_the_harm_for_which_it_is_refused() {
    let comparison = compare(&request(Strategy::Rolling), &Strategy::ALL, &exact(), 5, 1);
    let of = |strategy| comparison.outcomes.iter().find(|row| row.strategy == strategy).unwrap();
    let (bigbang, rolling) = (of(Strategy::BigBang), of(Strategy::Rolling));
    // All five hosts are down for 150 s: web and db are below their min_up for as long.
    assert_eq!(bigbang.waves, 1);
    assert_eq!(bigbang.forecast.max_hosts_down.max, 5.0);
    assert_eq!(bigbang.forecast.downtime_seconds.p50, 2.0 * 150.0);
    assert_eq!(bigbang.forecast.duration_seconds.p50, 10.0 + 150.0 + 5.0);
    let codes: Vec<&str> = bigbang.broken_rules.iter().map(|note| note.code.as_str()).collect();
    assert_eq!(codes, ["service-cannot-keep-min-up"; 2]);
    assert!(!bigbang.pareto && comparison.recommendation != Some(Strategy::BigBang));
    assert_eq!((rolling.forecast.downtime_seconds.max, rolling.broken_rules.len()), (0.0, 0));
    // db is patched, then web: a wave per member and service.
    let batches = of(Strategy::BatchRolling);
    assert_eq!((rolling.waves, batches.waves), (3, 5));
    assert!(batches.forecast.duration_seconds.p50 > rolling.forecast.duration_seconds.p50);
}

#[test]
fn bigbang_within_its_budgets_is_played_as_it_runs() {
    let mut request = request(Strategy::BigBang);
    request.graph.services.values_mut().for_each(|service| service.min_up = 0);
    request.rollback = Rollback::Never;
    request.retries = 1;
    request.max_parallel = domain::quantity::HostCount::Number(5);
    let plan = host_plan(&request);
    assert_eq!(plan.errors().count(), 0);
    let mut model = exact();
    model.host.failure_probability = 1.0;
    let forecast = forecast(&plan, &request.graph, &model, 3, 1);
    assert_eq!((forecast.max_hosts_down.max, forecast.halt.value), (5.0, 1.0));
}

#[test]
fn equal_plans_are_found_by_their_waves_and_the_gentlest_is_recommended() {
    let mut request = request(Strategy::Rolling);
    // One service: there is nothing to alternate with.
    request.targets.retain(|host, _| host.as_str().starts_with("db"));
    let strategies = [Strategy::Rolling, Strategy::BatchRolling, Strategy::DepGreedy];
    let comparison = compare(&request, &strategies, &exact(), 5, 1);
    let equal: Vec<Option<Strategy>> = comparison.outcomes.iter().map(|row| row.same_plan_as).collect();
    assert_eq!(equal, [Some(Strategy::BatchRolling), None, Some(Strategy::BatchRolling)]);
    assert_eq!(comparison.recommendation, Some(Strategy::BatchRolling));
    assert!(comparison.nothing_differs);
    assert!(comparison.reason.starts_with("nothing differs: every strategy"), "{}", comparison.reason);
    assert!(
        comparison.reason.contains("its plan is also that of `rolling`, `dep_greedy`"),
        "{}",
        comparison.reason
    );
    // With more hosts, the strategies differ.
    let comparison = compare(&self::request(Strategy::Rolling), &strategies, &exact(), 5, 1);
    assert!(!comparison.nothing_differs && comparison.outcomes[0].same_plan_as.is_none());
}

#[test]
fn exposure_leaves_out_the_runs_that_halt() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    let mut model = exact();
    model.host.failure_probability = 0.05;
    let some = forecast(&plan, &request.graph, &model, 400, 2);
    assert!(some.halt.value > 0.1 && some.halt.value < 0.4, "{:?}", some.halt);
    // Without a failure every run has the same exposure.
    let without_chance = forecast(&plan, &request.graph, &exact(), 1, 2);
    let exposure = some.exposure_without_halt.unwrap();
    assert_eq!((exposure.p50, exposure.p95), (without_chance.exposure.p50, without_chance.exposure.p50));
    assert!(some.exposure.mean > exposure.mean);
    model.host.failure_probability = 1.0;
    let none = forecast(&plan, &request.graph, &model, 5, 2);
    assert_eq!((none.exposure_without_halt, none.compared_exposure()), (None, &none.exposure));
}

#[test]
fn max_unavailable_holds_while_failed_hosts_stay_down() {
    let mut request = request(Strategy::Rolling);
    request.graph.services.values_mut().for_each(|service| service.min_up = 0);
    request.max_unavailable = Some(domain::quantity::HostCount::Number(1));
    request.error_threshold = domain::quantity::HostCount::Number(5);
    request.rollback = Rollback::Never;
    let plan = host_plan(&request);
    let mut model = exact();
    model.host.failure_probability = 1.0;
    // Without a service, so that only the limit of such hosts holds; and with services.
    for alone in [false, true] {
        let mut request = request.clone();
        if alone {
            request.graph.hosts.values_mut().for_each(|host| host.services.clear());
        }
        let plan = if alone { host_plan(&request) } else { plan.clone() };
        let forecast = forecast(&plan, &request.graph, &model, 5, 1);
        assert_eq!(forecast.halt.value, 1.0, "no further host may go down");
        assert_eq!(forecast.max_hosts_down.max, if alone { 1.0 } else { 2.0 });
    }
}

#[test]
fn no_strategy_is_recommended_when_all_break_a_service() {
    let mut request = request(Strategy::Rolling);
    request.graph.services.get_mut(&id("db")).unwrap().min_up = 2;
    let comparison = compare(&request, &Strategy::ALL, &exact(), 3, 1);
    assert_eq!(comparison.recommendation, None);
    assert!(comparison.outcomes.iter().all(|row| row.errors > 0 && !row.pareto));
}

#[test]
fn model_faults_name_their_field() {
    let mut model = DurationModel::default();
    assert_eq!(model.faults(), []);
    model.by_kind.insert("debian12/db".into(), model.host.clone());
    model.by_kind.get_mut("debian12/db").unwrap().failure_probability = 1.5;
    model.tests = Distribution::fixed(-1.0);
    let pointers: Vec<String> = model.faults().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/tests", "/by_kind/debian12~1db/failure_probability"]);
}

/// Saturdays 22:00 UTC for so many minutes; each host takes 150 s.
fn saturdays(minutes: u32, freezes: &str) -> Schedule {
    let window = serde_json::from_value(serde_json::json!({
        "opens": {"days": ["Sat"], "at": "22:00"}, "duration_minutes": minutes, "time_zone": "UTC",
    }));
    let now = "2026-11-20T12:00:00Z".parse().unwrap();
    Schedule::planned_at(now, Some(window.unwrap()), serde_json::from_str(freezes).unwrap())
}

#[test]
fn work_stops_with_the_window_and_continues_in_the_next() {
    let request = estimated(&request(Strategy::Rolling), &exact());
    let plan = host_plan(&request);
    let within = |minutes, freezes| {
        forecast_within(&plan, &request.graph, &exact(), Some(&saturdays(minutes, freezes)), 5, 1)
    };
    let long = within(60, "[]");
    assert_eq!((long.done_in_window.unwrap().value, long.duration_seconds.p50), (1.0, 465.0));
    // The third wave, started at 310 s, would end after the window of 420 s: it waits for a week.
    let short = within(7, "[]");
    assert_eq!((short.done_in_window.unwrap().value, short.unpatched_hosts.max), (0.0, 0.0));
    assert_eq!(short.duration_seconds.p50, 7.0 * 86_400.0 + 10.0 + 150.0 + 5.0, "with a new snapshot");
    assert_eq!(window_note(&short, 420.0).unwrap().severity, NoteSeverity::Warning);
    // No window ever holds a host.
    let never = within(2, "[]");
    assert_eq!(
        (never.out_of_windows.value, never.begun_hosts.max, never.unpatched_hosts.max),
        (1.0, 0.0, 5.0)
    );
    // A freeze for the first five minutes leaves time for two waves.
    let frozen = within(
        12,
        r#"[{"uid": "a", "name": "a", "starts": "2026-11-21T21:00:00Z", "ends": "2026-11-21T22:05:00Z"}]"#,
    );
    assert_eq!(frozen.duration_seconds.p50, 7.0 * 86_400.0 + 10.0 + 150.0 + 5.0);
}

#[test]
fn hosts_of_a_large_wave_start_in_batches_of_one_playbook() {
    let mut request = request(Strategy::BigBang);
    request.graph.services.values_mut().for_each(|service| service.min_up = 0);
    let model = DurationModel { forks: 2, ..exact() };
    let plan = host_plan(&estimated(&request, &model));
    assert_eq!(plan.waves.len(), 1);
    // Five hosts, two at once: three batches of 150 s, since all take the same.
    assert_eq!(forecast(&plan, &request.graph, &model, 2, 1).duration_seconds.p50, 10.0 + 3.0 * 150.0 + 5.0);
    assert_eq!(forecast(&plan, &request.graph, &model, 2, 1).max_hosts_down.max, 2.0);
}
