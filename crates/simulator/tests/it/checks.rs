use domain::{quantity::HostCount, strategy::Strategy};
use planner::{Scenario, host_plan, scenario, scenario::Health, strategy::plan};
use proptest::prelude::*;
use simulator::check::{CheckEvent, Verdict, check_hosts, check_nodes};

use crate::{
    fixture::{id, request},
    scenarios::any_scenario,
};

#[test]
fn sound_plan_is_proven_and_one_failure_shows_what_is_missing() {
    let request = request(Strategy::Rolling);
    let plan = host_plan(&request);
    assert!(matches!(check_hosts(&plan, &request.graph, 0), Verdict::Safe { states } if states > 3));
    let verdict = check_hosts(&plan, &request.graph, 1);
    assert_eq!(
        verdict.to_string(),
        "in `batch-1`: `db-1` starts, `db-2` fails, then `db` has 0 up and needs 1"
    );
}

#[test]
fn bigbang_is_checked_without_the_guard_that_it_would_not_pass() {
    let request = request(Strategy::BigBang);
    let Verdict::Unsafe(example) = check_hosts(&host_plan(&request), &request.graph, 0) else {
        panic!("was proven")
    };
    assert_eq!((example.service.as_str(), example.up, example.events.len()), ("db", 0, 2));
}

#[test]
fn more_members_survive_a_failure() {
    let mut request = request(Strategy::Rolling);
    request.graph.services.get_mut(&id("web")).unwrap().min_up = 1;
    request.graph.services.get_mut(&id("db")).unwrap().min_up = 0;
    request.max_parallel = HostCount::Number(1);
    let plan = host_plan(&request);
    assert!(matches!(check_hosts(&plan, &request.graph, 1), Verdict::Safe { .. }));
    let Verdict::Unsafe(example) = check_hosts(&plan, &request.graph, 3) else { panic!("was proven") };
    assert!(example.without_plan, "three failures of three members need no plan");
}

fn hosts_with_instances() -> Scenario {
    let yaml = "
nodes:
  - {id: h1, type: HOST, service: hosts, min_up: 0, patch: {requires_reboot: true}}
  - {id: h2, type: HOST, service: hosts, min_up: 0, patch: {requires_reboot: true}}
  - {id: a1, type: SERVICE_INSTANCE, service: app, min_up: 2, patchable: false}
  - {id: a2, type: SERVICE_INSTANCE, service: app, min_up: 2, patchable: false}
  - {id: a3, type: SERVICE_INSTANCE, service: app, min_up: 2, patchable: false}
edges: [{source: a1, target: h1}, {source: a2, target: h1}, {source: a3, target: h2}]
";
    scenario::read("s.yaml", yaml).unwrap()
}

#[test]
fn host_that_contains_two_members_is_the_counterexample() {
    let scenario = hosts_with_instances();
    let plan = plan(&scenario, Strategy::BatchRolling, 1).unwrap();
    let Verdict::Unsafe(example) = check_nodes(&scenario, &plan, None, 0) else { panic!("was proven") };
    assert_eq!((example.service.as_str(), example.up), ("app", 1));
    assert_eq!(example.events, [CheckEvent::Begins("h1".into())]);
}

#[test]
fn service_below_before_the_plan_is_reported() {
    let mut scenario = hosts_with_instances();
    scenario.nodes[2].health = Health::Down;
    scenario.nodes[3].health = Health::Down;
    let plan = plan(&scenario, Strategy::BlueGreen, 1).unwrap();
    let verdict = check_nodes(&scenario, &plan, None, 0).to_string();
    assert_eq!(verdict, "`app` has 1 up and needs 2 before anything starts");
}

proptest! {
    /// Without failures and containment the verdict is the same as the reference's own check.
    #[test]
    fn verdict_without_failures_is_that_of_the_reference(scenario in any_scenario(), strategy in 0..7_usize) {
        let mut scenario = scenario;
        for node in &mut scenario.nodes {
            node.patch.failure_probability = 0.0;
            node.health = Health::Healthy;
            node.kind = planner::scenario::NodeKind::Database;
        }
        if let Ok(plan) = plan(&scenario, Strategy::ALL[strategy], 2) {
            let patches = plan.steps.iter().any(|step| step.action.patches_in_place());
            let refused = patchplanner_reference::run(&scenario, &plan, 1).is_err();
            let verdict = check_nodes(&scenario, &plan, None, 0);
            prop_assert!(matches!(verdict, Verdict::Unsafe(_)) == refused || !patches, "{}", verdict);
        }
    }

    /// More failures never make a plan safer.
    #[test]
    fn safety_is_lost_but_never_won_by_failures(scenario in any_scenario(), strategy in 0..7_usize) {
        if let Ok(plan) = plan(&scenario, Strategy::ALL[strategy], 2) {
            let safe = |failures| matches!(check_nodes(&scenario, &plan, None, failures), Verdict::Safe { .. });
            prop_assert!(safe(0) || !safe(1));
            prop_assert!(safe(1) || !safe(2));
        }
    }
}
