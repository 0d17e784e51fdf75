//! Simulations of scenarios in files, without a platform.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use test_support::shared_data;

use crate::program::{Finished, run};

const SCENARIO: &str = "\
name: shop
seed: 4
nodes:
  - { id: web-1, type: SERVICE_INSTANCE, service: web, min_up: 1, patch: &patch { patch_duration_seconds: 60,
      requires_restart: true, failure_probability: 0.2, severity: 5 } }
  - { id: web-2, type: SERVICE_INSTANCE, service: web, min_up: 1, patch: *patch }
  - { id: db-1, type: DATABASE, service: db, criticality: 5, min_up: 1, patch: *patch }
  - { id: db-2, type: DATABASE, service: db, criticality: 5, min_up: 1, patch: *patch }
edges:
  - { source: web-1, target: db-1, compatibility: DEGRADED }
  - { source: web-2, target: db-2 }
";

struct Desk {
    folder: TempDir,
    file: String,
    out: String,
}

impl Desk {
    fn new(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scenario.yaml");
        fs::write(&file, scenario).unwrap();
        let out = folder.path().join("out");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        Self { file: text(&file), out: text(&out), folder }
    }

    fn simulate(&self, arguments: &[&str]) -> Finished {
        run(&[&["simulate", "-f", &self.file], arguments].concat())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("out").join(name)).unwrap_or_else(|error| {
            panic!("{name}: {error}");
        })
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join("out").join(name).exists()
    }
}

#[test]
fn reference_figures_are_written_for_every_strategy_and_batch_size() {
    let Some(folder) = shared_data("patchplanner") else { return };
    let mut expected = csv::Reader::from_path(folder.join("expected-p0-p1.csv")).unwrap();
    let mut compared = 0;
    for row in expected.deserialize() {
        let row: BTreeMap<String, String> = row.unwrap();
        let yaml = fs::read_to_string(folder.join(format!("{}.yaml", row["scenario"]))).unwrap();
        let probability = if row["run"] == "p0" { "0.0" } else { "1.0" };
        let fixed = |line: &str| match line.split_once("failure_probability:") {
            Some((indent, _)) => format!("{indent}failure_probability: {probability}\n"),
            None => format!("{line}\n"),
        };
        let desk = Desk::new(&yaml.lines().map(fixed).collect::<String>());
        let (strategy, batch_size) =
            row["strategy"].split_once("_sorted-b").unwrap_or((&row["strategy"], "2"));
        let ask = ["--reference", "--strategy", strategy, "--batch-size", batch_size, "--out", &desk.out];
        let answer = desk.simulate(&ask);
        let plan: serde_json::Value = serde_json::from_str(&desk.read("plan.json")).unwrap();
        assert_eq!(plan["steps"].as_array().unwrap().len().to_string(), row["steps"], "{row:?}");
        if let Some((_, why)) = row["error"].split_once(": ") {
            let answer = answer.expect(3);
            assert!(answer.stderr.contains(why), "{row:?}: {answer:?}");
            assert!(desk.read("report.md").contains(why) && !desk.has("metrics.csv"), "{row:?}");
        } else {
            answer.expect(0);
            let metrics = desk.read("metrics.csv");
            let found: BTreeMap<&str, &str> =
                metrics.lines().map(|line| line.trim_end().split_once(',').unwrap()).collect();
            assert_eq!(found["metric"], "value");
            let own = [
                "scenario",
                "strategy",
                "run",
                "steps",
                "nodes_v_new_at_end",
                "nodes_failed_at_end",
                "error",
            ];
            for (name, value) in row.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
                assert_eq!(found[name.as_str()], value, "{name} in {row:?}");
            }
            assert!(desk.read("events.jsonl").lines().all(|line| line.starts_with("{\"time\":")), "{row:?}");
        }
        compared += 1;
    }
    assert_eq!(compared, 60, "rows compared");
}

#[test]
fn refused_plan_names_the_service_and_leaves_no_old_figures() {
    let desk = Desk::new(SCENARIO);
    let ask = |strategy: &str| desk.simulate(&["--reference", "--strategy", strategy, "--out", &desk.out]);
    ask("rolling").expect(0);
    assert!(desk.read("metrics.csv").contains("time_to_full_patch,120\r\n"));
    let refused = ask("bigbang").expect(3);
    assert!(
        refused.stderr.contains("`bigbang`") && refused.stderr.contains("service=web healthy=0 min_up=1")
    );
    assert!(
        desk.read("report.md").contains("service=db") && !desk.has("metrics.csv") && desk.has("plan.json")
    );
}

#[test]
fn seeds_differ_and_each_repeats() {
    let desk = Desk::new(SCENARIO);
    let ask = |seed: &str| {
        let answer = desk.simulate(&["--reference", "--strategy", "rolling", "--seed", seed, "-o", "csv"]);
        answer.expect(0).stdout
    };
    assert_eq!(ask("7"), ask("7"));
    assert!((0..20).map(|seed| ask(&seed.to_string())).any(|answer| answer != ask("7")));
    let own = desk.simulate(&["--reference", "--strategy", "rolling", "-o", "csv"]).expect(0).stdout;
    assert_eq!(own, ask("4"), "the seed of the scenario is the default");
    assert_eq!(ask("-7"), ask("7"), "as Python does");
}

#[test]
fn reference_strategies_are_printed_side_by_side() {
    let desk = Desk::new(SCENARIO);
    let answer = desk.simulate(&["--reference", "-o", "csv", "--out", &desk.out]).expect(3);
    let header = answer.stdout.lines().next().unwrap();
    assert!(header.starts_with("metric,rolling,batch_rolling,canary,bluegreen"), "{header}");
    assert!(!header.contains("bigbang") && desk.has("bigbang/report.md") && desk.has("canary/metrics.csv"));
}

#[test]
fn fault_in_a_scenario_is_reported_with_file_line_and_field() {
    let desk = Desk::new(&SCENARIO.replace("target: db-2", "target: db-3"));
    let answer = desk.simulate(&["--strategy", "rolling", "--reference"]).expect(1);
    let place = format!("{}:11: edges[1].target: there is no node `db-3`", desk.file);
    assert!(answer.one_line_error().contains(&place), "{answer:?}");

    fs::write(&desk.file, SCENARIO.replace("criticality: 5", "criticality: 6")).unwrap();
    assert!(desk.simulate(&[]).expect(1).one_line_error().contains("criticality: must be 1 to 5, but is 6"));
    fs::write(&desk.file, "").unwrap();
    assert!(desk.simulate(&[]).expect(1).one_line_error().contains("contains no scenario"));
}

#[test]
fn file_and_fleet_exclude_each_other() {
    let desk = Desk::new(SCENARIO);
    desk.simulate(&["--policy", "p"]).expect(2);
    desk.simulate(&["--all"]).expect(2);
    desk.simulate(&["--strategy", "slowly"]).expect(2);
    desk.simulate(&["--reference", "--runs", "5"]).expect(2);
    desk.simulate(&["--batch-size", "0"]).expect(2);
    run(&["simulate", "--policy", "p", "--reference"]).expect(2);
    desk.simulate(&["--reference", "--check", "1"]).expect(2);
    let replay = ["simulate", "--replay", "018f4e3a-0000-7000-8000-000000000002", "--check", "1"];
    run(&replay).expect(2);
    assert!(run(&["simulate"]).expect(2).stderr.contains("-f scenario.yaml"));
}

#[test]
fn strategies_are_compared_with_figures_texts_and_pictures() {
    let desk = Desk::new(SCENARIO);
    let ask = ["--strategy", "all", "--runs", "40", "--seed", "3", "--out", &desk.out];
    let answer = desk.simulate(&ask).expect(0);
    for heading in
        ["DURATION P95 (MIN)", "MEAN DOWNTIME (S)", "EXPOSURE P95 (WEIGHTED H)", "HALTED (% OF RUNS)"]
    {
        assert!(answer.stdout.contains(heading), "{heading} in {answer:?}");
    }
    assert!(answer.stdout.contains("same plan as batch_rolling"), "{answer:?}");
    assert!(answer.stdout.contains("recommended: "), "{answer:?}");
    assert_eq!(answer.stderr, "", "no bar without a terminal");
    for strategy in ["bigbang", "rolling", "batch_rolling", "canary", "bluegreen", "dep_greedy", "hybrid"] {
        for file in ["plan.json", "events.jsonl", "metrics.csv", "monte_carlo.json", "report.md"] {
            assert!(!desk.read(&format!("{strategy}/{file}")).is_empty(), "{strategy}/{file}");
        }
        for plot in ["gantt", "capacity", "exposure"] {
            assert!(desk.read(&format!("{strategy}/{plot}.svg")).starts_with("<svg"), "{strategy}/{plot}");
        }
    }
    assert!(desk.read("pareto.svg").starts_with("<svg") && desk.read("report.md").contains("Recommendation"));
    assert_eq!(desk.simulate(&ask).expect(0).stdout, answer.stdout, "the same seed produces the same output");
}

#[test]
fn single_strategy_uses_the_folder_itself_and_programs_read_json() {
    let desk = Desk::new(SCENARIO);
    let ask = ["--strategy", "rolling", "--runs", "20", "-o", "json", "--out", &desk.out];
    let answer: serde_json::Value = serde_json::from_str(&desk.simulate(&ask).expect(0).stdout).unwrap();
    assert_eq!(answer["recommendation"], "rolling");
    assert_eq!((&answer["seed"], &answer["outcomes"][0]["result"]["runs"]), (&4.into(), &20.into()));
    assert!(desk.has("plan.json") && desk.has("gantt.svg") && !desk.has("rolling"));
}

#[test]
fn checker_proves_safety_or_shows_the_shortest_counterexample() {
    let desk = Desk::new(SCENARIO);
    let ask = |strategy: &str, failures: &str| {
        desk.simulate(&["--strategy", strategy, "--check", failures, "--runs", "1"])
    };
    assert!(ask("rolling", "0").expect(0).stdout.contains("proven"));
    let broken = ask("rolling", "1").expect(3).stdout;
    assert!(broken.contains("starts") && broken.contains("fails") && broken.contains("needs 1"), "{broken}");
    assert!(ask("bigbang", "0").expect(3).stdout.contains("in `patch-1`: "));
}

#[test]
fn deadline_shows_which_strategies_meet_it_and_what_the_others_need() {
    let sure = SCENARIO.replace("failure_probability: 0.2", "failure_probability: 0");
    let desk = Desk::new(&sure);
    let ask = |deadline: &str, more: &[&str]| {
        let ask = ["--strategy", "rolling", "--runs", "50", "--deadline", deadline, "-o", "json"];
        let answer = desk.simulate(&[&ask, more].concat()).expect(0).stdout;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["deadline"]["strategies"][0].clone()
    };
    assert_eq!(ask("250", &[])["verdict"], "meets");
    let late = ask("20", &[]);
    assert_eq!((&late["verdict"], &late["best"]["done_in_time"]), (&"none".into(), &0.0.into()));
    assert!(late["best"]["deadline_seconds"].as_f64().is_some_and(|seconds| seconds > 60.0), "{late}");
    let parallel = ask("250", &["--max-parallel", "1"]);
    assert_eq!((&parallel["verdict"], &parallel["max_parallel"]), (&"needs".into(), &2.into()));
    assert!(parallel["windows_longer_seconds"].is_null(), "there are no windows: {parallel}");

    let options = desk.folder.path().join("options.yaml");
    fs::write(
        &options,
        "windows: [{ opens: 0, closes: 61 }]\nduration_factor: { kind: fixed, seconds: 1.0 }\n",
    )
    .unwrap();
    let windows = ask("250", &["--options", options.to_str().unwrap()]);
    assert_eq!((&windows["verdict"], &windows["windows_longer_seconds"]), (&"needs".into(), &60.into()));
}

#[test]
fn options_file_controls_the_simulation_and_its_faults_are_named() {
    let desk = Desk::new(SCENARIO);
    let options = desk.folder.path().join("options.yaml");
    let options = options.to_str().unwrap();
    fs::write(
        options,
        "windows: [{ opens: 0, closes: 61 }]\nduration_factor: { kind: fixed, seconds: 1.0 }\n",
    )
    .unwrap();
    let ask = ["--strategy", "rolling", "--runs", "20", "-o", "json", "--options", options];
    let answer: serde_json::Value = serde_json::from_str(&desk.simulate(&ask).expect(0).stdout).unwrap();
    assert_eq!(answer["outcomes"][0]["result"]["halt"]["value"], 1.0, "the second batch finds no window");
    fs::write(options, "windows: [{ opens: 9, closes: 3 }]\n").unwrap();
    assert!(desk.simulate(&ask).expect(2).stderr.contains("windows must follow each other"));
}

#[test]
fn cycle_refuses_one_strategy_and_the_others_are_still_compared() {
    let cyclic = format!("{SCENARIO}  - {{ source: db-1, target: web-1 }}\n");
    let desk = Desk::new(&cyclic);
    let answer = desk.simulate(&["--runs", "10", "--out", &desk.out]).expect(3);
    assert!(answer.stdout.contains("dep_greedy: refused, dependency cycle"), "{answer:?}");
    assert!(desk.read("dep_greedy/report.md").contains("cycle") && !desk.has("dep_greedy/plan.json"));
    assert!(desk.has("rolling/plan.json"));
}
