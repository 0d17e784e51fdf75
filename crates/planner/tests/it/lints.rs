//! Plans broken by hand: the linter finds what the planner would not do.

use domain::{
    plan::{NoteSeverity, Plan},
    strategy::Strategy,
    workflow::RollbackMode,
};
use planner::{Compatibility, HostGraph, host_plan, lint};

use crate::fixture::{add_service, depends, id, request};

fn plan() -> (Plan, HostGraph) {
    let mut request = request(Strategy::DepGreedy);
    add_service(&mut request, "web", 3, 2, 2);
    add_service(&mut request, "db", 1, 0, 5);
    depends(&mut request, "web-1", "db-1", Compatibility::Compatible);
    (host_plan(&request), request.graph)
}

fn found(plan: &Plan, graph: &HostGraph, code: &str) -> Option<(NoteSeverity, String)> {
    lint(plan, graph).into_iter().find(|note| note.code == code).map(|note| (note.severity, note.text))
}

#[test]
fn host_in_two_waves_is_an_error() {
    let (mut plan, graph) = plan();
    plan.waves[1].hosts.push(id("db-1"));
    let text = "`db-1` would be patched 2 times: in batch-1, batch-2";
    assert_eq!(found(&plan, &graph, "host-in-two-waves"), Some((NoteSeverity::Error, text.to_owned())));
}

#[test]
fn forgotten_and_foreign_hosts_are_errors() {
    let (mut plan, graph) = plan();
    plan.waves[0].hosts = vec![id("stranger")];
    assert!(plan.errors().count() == 0);
    assert!(found(&plan, &graph, "host-without-wave").unwrap().1.contains("`db-1`"));
    assert!(found(&plan, &graph, "wave-host-not-a-target").unwrap().1.contains("`stranger`"));
}

#[test]
fn wave_beyond_max_parallel_is_an_error() {
    let (mut plan, graph) = plan();
    plan.limits.max_parallel = 1;
    assert_eq!(found(&plan, &graph, "wave-larger-than-max-parallel").unwrap().0, NoteSeverity::Error);
}

#[test]
fn service_below_min_up_names_wave_and_numbers() {
    let (mut plan, graph) = plan();
    let all = plan.waves.drain(..).flat_map(|wave| wave.hosts).collect();
    let (fresh, _) = self::plan();
    plan.waves = vec![domain::plan::Wave { hosts: all, ..fresh.waves[0].clone() }];
    let (severity, text) = found(&plan, &graph, "service-cannot-keep-min-up").unwrap();
    assert_eq!(severity, NoteSeverity::Error);
    assert!(
        text.starts_with("`web` would keep 0 of 3 members up in wave `batch-1`, but needs 2; add a member"),
        "{text}"
    );
    assert_eq!(found(&plan, &graph, "dependency-order").unwrap().0, NoteSeverity::Warning);
}

#[test]
fn single_member_that_goes_down_is_a_warning() {
    let (plan, graph) = plan();
    let (severity, text) = found(&plan, &graph, "service-goes-down").unwrap();
    assert_eq!(
        (severity, text.as_str()),
        (NoteSeverity::Warning, "`db` has no member up during wave `batch-1`")
    );
}

#[test]
fn host_without_rollback_is_a_warning() {
    let (mut plan, graph) = plan();
    plan.targets.get_mut(&id("db-1")).unwrap().rollback_mode = RollbackMode::None;
    assert_eq!(found(&plan, &graph, "no-rollback").unwrap().0, NoteSeverity::Warning);
}

#[test]
fn most_severe_findings_come_first() {
    let (mut plan, graph) = plan();
    plan.waves[1].hosts.push(id("db-1"));
    let severities: Vec<NoteSeverity> = lint(&plan, &graph).iter().map(|note| note.severity).collect();
    assert!(severities.is_sorted_by(|a, b| a >= b), "{severities:?}");
}

#[test]
fn time_is_checked_host_by_host() {
    let (plan, _) = plan();
    let lint = |freezes: serde_json::Value| {
        let window = serde_json::from_value(serde_json::json!({
            "opens": {"days": ["Sat"], "at": "22:00"}, "duration_minutes": 240, "time_zone": "UTC",
        }));
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let freezes = serde_json::from_value(freezes).unwrap();
        let schedule = planner::Schedule::planned_at(now, Some(window.unwrap()), freezes);
        let codes = planner::lint_schedule(&plan, &schedule).into_iter().map(|note| note.code);
        codes.collect::<Vec<String>>()
    };
    let freeze = |ends: &str| serde_json::json!([{"uid": "a", "name": "a", "starts": "2026-11-21T00:00:00Z", "ends": ends}]);
    assert_eq!(lint(serde_json::json!([])), Vec::<String>::new());
    assert_eq!(lint(freeze("2026-11-21T23:00:00Z")), ["frozen-at-start"]);
    assert_eq!(lint(freeze("2028-11-21T23:00:00Z")), ["frozen-throughout"]);
}
