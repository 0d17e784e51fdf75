use domain::{quantity::HostCount, run::HostState, strategy::Strategy};
use planner::host_plan;
use simulator::{
    forecast,
    forecast::trace,
    trace::{Course, Figures, Happening},
};

use crate::fixture::{exact, id, request};

#[test]
fn play_without_chance_is_told_event_by_event() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    let played = trace(&plan, &request.graph, &exact(), None, 1, 0);
    let told: Vec<(u64, String)> = played
        .events
        .iter()
        .map(|event| {
            let text = match &event.what {
                Happening::Host { host, state } => format!("{host} {}", state.name()),
                what => format!("{what:?}"),
            };
            (event.at_ms / 1000, text)
        })
        .collect();
    let expected = [
        (0, "Snapshots(5)"),
        (10, "WaveBegins(0)"),
        (10, "db-1 patching"),
        (10, "web-1 patching"),
        (160, "db-1 succeeded"),
        (160, "web-1 succeeded"),
        (160, "WaveBegins(1)"),
        (160, "db-2 patching"),
        (160, "web-2 patching"),
        (310, "db-2 succeeded"),
        (310, "web-2 succeeded"),
        (310, "WaveBegins(2)"),
        (310, "web-3 patching"),
        (460, "web-3 succeeded"),
        (460, "Verifies"),
        (465, "Ends { halted: false }"),
    ];
    assert_eq!(told, expected.map(|(at, text)| (at, text.to_owned())));
}

/// Much goes wrong, so that hosts fail, are rolled back, stay down and are tried again.
#[test]
fn figures_of_a_trace_are_those_of_the_forecast() {
    let mut request = request(Strategy::Rolling);
    request.retries = 1;
    request.error_threshold = HostCount::Number(4);
    let plan = host_plan(&request);
    let mut model = exact();
    model.host.failure_probability = 0.4;
    model.host.rollback_failure_probability = 0.4;
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let played = trace(&plan, &request.graph, &model, None, seed, 0);
        let of_one = forecast(&plan, &request.graph, &model, 1, seed);
        let mut course = Course::new(&plan, &request.graph);
        let (mut max_down, mut last) = (0, Figures::default());
        let mut fewest_web = 3;
        for event in &played.events {
            if let Happening::Host { host, state } = &event.what {
                let changed = course.apply(host, *state);
                let web = changed.into_iter().find(|(service, _)| *service == id("web"));
                fewest_web = web.map_or(fewest_web, |(_, up)| fewest_web.min(up));
            }
            last = course.figures();
            max_down = max_down.max(last.down);
        }
        assert_eq!(f64::from(max_down), of_one.max_hosts_down.max, "seed {seed}");
        assert_eq!(max_down, played.max_down);
        assert_eq!(f64::from(last.failed), of_one.failed_hosts.max, "seed {seed}");
        assert_eq!(f64::from(last.failed + last.pending), of_one.unpatched_hosts.max, "seed {seed}");
        assert_eq!(fewest_web, of_one.services[&id("web")].fewest_up, "seed {seed}");
        let end = played.events.last().unwrap();
        assert_eq!(end.at_ms as f64 / 1000.0, of_one.duration_seconds.max);
        assert_eq!(end.what, Happening::Ends { halted: of_one.halt.value == 1.0 });
        outcomes.extend(played.events.iter().filter_map(|event| match event.what {
            Happening::Host { state, .. } => Some(state.name()),
            _ => None,
        }));
    }
    for state in [HostState::Succeeded, HostState::RolledBack, HostState::RollbackFailed] {
        assert!(outcomes.contains(state.name()), "no host ends {}: {outcomes:?}", state.name());
    }
}

#[test]
fn same_seed_and_play_are_the_same_course() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    let mut model = exact();
    model.host.update = simulator::Distribution::Triangular { low: 60.0, mode: 90.0, high: 300.0 };
    let play = |seed, run| trace(&plan, &request.graph, &model, None, seed, run);
    assert_eq!(play(7, 3), play(7, 3));
    assert_ne!(play(7, 3), play(7, 4));
}
