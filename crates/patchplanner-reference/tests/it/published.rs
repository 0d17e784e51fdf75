//! The reference mode against the reference's own figures.

use std::{collections::BTreeMap, fs, path::PathBuf};

use domain::strategy::Strategy;
use patchplanner_reference::{ReferenceRun, Refused, plan, run};
use planner::{Scenario, scenario};

/// The folder of shared test data, or `None` where it is missing, which is reported.
fn data() -> Option<PathBuf> {
    test_skip::shared_data("patchplanner")
}

fn play(scenario: &Scenario, strategy: &str, seed: i64) -> (usize, Result<ReferenceRun, Refused>) {
    let (name, batch_size) = match strategy.split_once("_sorted-b") {
        Some((name, size)) => (name, size.parse().unwrap()),
        None => (strategy, 2),
    };
    let strategy: Strategy = name.parse().unwrap();
    let plan = plan(scenario, strategy, batch_size).unwrap();
    (plan.steps.len(), run(scenario, &plan, seed))
}

#[test]
fn figures_match_the_reference_to_the_last_digit() {
    let Some(folder) = data() else { return };
    let expected = fs::read_to_string(folder.join("expected-p0-p1.csv")).unwrap();
    let mut lines = expected.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut compared = 0;
    for line in lines {
        let mut cells: Vec<&str> = line.splitn(header.len(), ',').collect();
        let error = cells.pop().unwrap().trim_matches('"');
        let row: BTreeMap<&str, &str> = header.iter().copied().zip(cells).collect();
        let file = format!("{}.yaml", row["scenario"]);
        let mut scenario = scenario::read(&file, &fs::read_to_string(folder.join(&file)).unwrap()).unwrap();
        let probability = if row["run"] == "p0" { 0.0 } else { 1.0 };
        scenario.nodes.iter_mut().for_each(|node| node.patch.failure_probability = probability);
        let (steps, run) = play(&scenario, row["strategy"], scenario.seed);
        assert_eq!(steps.to_string(), row["steps"], "{line}");
        match run {
            Err(refused) => assert_eq!(format!("RuntimeError: {refused}"), error, "{line}"),
            Ok(run) => {
                assert_eq!(error, "", "{line}");
                let found: BTreeMap<String, String> = run.metrics.rows().into_iter().collect();
                for (name, value) in &row {
                    match *name {
                        "scenario" | "strategy" | "run" | "steps" => {}
                        "nodes_v_new_at_end" => assert_eq!(run.patched_nodes.to_string(), *value, "{line}"),
                        "nodes_failed_at_end" => assert_eq!(run.failed_nodes.to_string(), *value, "{line}"),
                        _ => assert_eq!(found[*name], *value, "{name} in {line}"),
                    }
                }
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 60, "rows compared");
}

#[test]
fn canary_calls_every_batch_the_first() {
    let yaml = "
nodes:
  - {id: w1, type: HOST, service: w, min_up: 1}
  - {id: w2, type: HOST, service: w, min_up: 1}
  - {id: d1, type: DATABASE}
";
    let scenario = scenario::read("s.yaml", yaml).unwrap();
    let plan = plan(&scenario, Strategy::Canary, 2).unwrap();
    let ids: Vec<String> = plan.steps.iter().map(|step| step.name.to_string()).collect();
    assert_eq!(ids, ["patch_canary-1", "pause-canary", "patch-1", "patch-1"]);
}

#[test]
fn repeated_edge_counts_as_often_as_the_file_lists_it() {
    let yaml = "
nodes:
  - {id: a, type: HOST, min_up: 0, patch: {patch_duration_seconds: 60, rollback_supported: false}}
  - {id: b, type: HOST, min_up: 0, version: v_new, patchable: false}
edges:
  - {source: a, target: b, compatibility: INCOMPATIBLE, mixed_max_duration_seconds: 100}
  - {source: a, target: b, compatibility: INCOMPATIBLE, mixed_max_duration_seconds: 100}
  - {source: a, target: b, compatibility: DEGRADED}
  - {source: a, target: b}
";
    let scenario = scenario::read("s.yaml", yaml).unwrap();
    let metrics = play(&scenario, "bigbang", 1).1.unwrap().metrics;
    // Three edges for 60 s; the two incompatible ones share their time, which is 120 s, and are one violation.
    assert_eq!(
        (
            metrics.mixed_version_time_seconds,
            metrics.number_of_incompatibility_violations,
            metrics.number_of_degraded_intervals
        ),
        (180, 1, 1)
    );
}

#[test]
fn seeded_run_draws_once_per_node_and_step() {
    let Some(folder) = data() else { return };
    let yaml = fs::read_to_string(folder.join("scenario3.yaml")).unwrap();
    let scenario = scenario::read("scenario3.yaml", &yaml).unwrap();
    // Draws of CPython's Random(1): 0.134, 0.847, 0.764 for core-host, sensor-1, then sensor-2.
    let (_, run) = play(&scenario, "rolling", 1);
    let run = run.unwrap();
    let events: Vec<String> = run
        .events
        .iter()
        .filter_map(|event| {
            Some(format!("{} {} {}", event.time_ms / 1000, event.event, event.node_id.as_ref()?))
        })
        .collect();
    assert_eq!(events, ["180 patch_failed core-host", "180 patched sensor-1", "210 patched sensor-2"]);
    assert_eq!(run.failed_nodes, 1);
}
