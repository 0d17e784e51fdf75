//! Plans of scenarios that no reference figure covers.

use domain::strategy::Strategy;
use planner::{PlanError, Scenario, scenario, strategy::plan};

fn scenario(yaml: &str) -> Scenario {
    scenario::read("s.yaml", yaml).unwrap()
}

fn steps(scenario: &Scenario, strategy: Strategy, batch_size: usize) -> Vec<String> {
    let plan = plan(scenario, strategy, batch_size).unwrap();
    plan.steps
        .iter()
        .map(|step| {
            let nodes: Vec<&str> = plan.nodes_of(step).map(|node| scenario.nodes[node].id.as_str()).collect();
            format!("{}: {}", step.name, nodes.join(" "))
        })
        .collect()
}

const FIVE: &str = "
nodes:
  - {id: w1, type: HOST, service: w, min_up: 1, criticality: 2}
  - {id: w2, type: HOST, service: w, min_up: 1, criticality: 2}
  - {id: w3, type: HOST, service: w, min_up: 1, criticality: 1}
  - {id: d1, type: DATABASE, criticality: 5}
  - {id: x1, type: HOST, patchable: false}
edges:
  - {source: w1, target: d1}
  - {source: w2, target: w3, compatibility: INCOMPATIBLE}
";

#[test]
fn node_that_its_service_cannot_spare_comes_by_itself_and_last() {
    assert_eq!(
        steps(&scenario(FIVE), Strategy::Rolling, 2),
        ["patch-1: w1 w2", "patch-2: w3", "patch-3: d1"]
    );
    assert_eq!(
        steps(&scenario(FIVE), Strategy::BatchRolling, 1),
        ["patch-1: w1", "patch-2: w2", "patch-3: w3", "patch-4: d1"]
    );
}

#[test]
fn step_ids_are_unique() {
    assert_eq!(
        steps(&scenario(FIVE), Strategy::Canary, 2),
        ["patch_canary-1: w3", "pause-canary: ", "patch-1: w1 w2", "patch-2: d1"]
    );
}

#[test]
fn dep_greedy_keeps_groups_together_and_providers_first() {
    let mut scenario = scenario(FIVE);
    scenario.nodes[3].patch.severity = 1.0;
    assert_eq!(steps(&scenario, Strategy::DepGreedy, 2), ["patch-1: d1", "patch-2: w1", "patch-3: w2 w3"]);
    scenario.nodes[1].patch.severity = 9.0;
    assert_eq!(steps(&scenario, Strategy::DepGreedy, 2)[0], "patch-1: w2 w3");
}

#[test]
fn groups_of_equal_risk_go_by_the_text_of_their_number() {
    let nodes: String = (0..12).map(|n| format!("  - {{id: n{n:02}, type: HOST}}\n")).collect();
    let order = steps(&scenario(&format!("nodes:\n{nodes}")), Strategy::DepGreedy, 2);
    let order: Vec<&str> = order.iter().map(|step| step.split_once(": ").unwrap().1).collect();
    assert_eq!(order[..5], ["n00", "n01", "n10", "n11", "n02"]);
}

#[test]
fn dependency_cycle_is_named() {
    let yaml = format!("{FIVE}  - {{source: d1, target: w2}}\n  - {{source: w3, target: w1}}\n");
    let refused = plan(&scenario(&yaml), Strategy::DepGreedy, 2).unwrap_err();
    assert!(matches!(&refused, PlanError::DependencyCycle(nodes) if nodes.len() == 3), "{refused}");
    assert!(refused.to_string().contains("`d1`"), "{refused}");
}

#[test]
fn repeated_edge_groups_if_one_is_incompatible_and_counts_once_as_a_dependency() {
    // Whichever of the two the file names last.
    for kinds in [["INCOMPATIBLE", "COMPATIBLE"], ["COMPATIBLE", "INCOMPATIBLE"]] {
        let edges: String =
            kinds.map(|kind| format!("  - {{source: a, target: b, compatibility: {kind}}}\n")).concat();
        let patch = "patch: {severity: 1.0}";
        let yaml = format!(
            "nodes:\n  - {{id: a, type: HOST, {patch}}}\n  - {{id: b, type: HOST, {patch}}}\n  \
             - {{id: c, type: HOST, patch: {{severity: 2.5}}}}\nedges:\n{edges}"
        );
        let scenario = scenario(&yaml);
        // c has a risk of 2.5, a and b of 1 x (1 + 1): with the repetition they would have 3 and come first.
        assert_eq!(steps(&scenario, Strategy::DepGreedy, 2), ["patch-1: c", "patch-2: a b"]);
        assert_eq!(scenario.groups_and_risks(), (vec![0, 0, 1], vec![2.0, 2.0, 2.5]));
    }
}

#[test]
fn edges_in_both_directions_are_two_dependencies_and_group_if_one_is_incompatible() {
    let yaml = "
nodes:
  - {id: a, type: HOST, patch: {severity: 1.0}}
  - {id: b, type: HOST, patch: {severity: 1.0}}
edges:
  - {source: a, target: b, compatibility: INCOMPATIBLE}
  - {source: b, target: a, compatibility: DEGRADED}
";
    assert_eq!(scenario(yaml).groups_and_risks(), (vec![0, 0], vec![3.0, 3.0]));
}

#[test]
fn batch_of_nothing_is_refused() {
    assert_eq!(plan(&scenario(FIVE), Strategy::BatchRolling, 0), Err(PlanError::EmptyBatch));
}
