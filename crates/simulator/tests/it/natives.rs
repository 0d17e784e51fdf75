use std::sync::atomic::{AtomicU32, Ordering};

use domain::strategy::Strategy;
use planner::{
    Scenario, scenario,
    scenario::{Health, NodeKind},
    strategy::{NodePlan, plan},
};
use proptest::prelude::*;
use simulator::native::{
    self, FailureMix, NativeMetrics, NativeOptions, NativeRun, Sampling, Simulation, Window,
};

use crate::scenarios::any_scenario;

/// web (3, needs 2) in front of db (2, needs 1); everything restarts.
const SHOP: &str = "
nodes:
  - {id: w1, type: SERVICE_INSTANCE, service: web, min_up: 2, criticality: 2, patch: &web {patch_duration_seconds: 40, requires_restart: true, severity: 5, failure_probability: 0.1}}
  - {id: w2, type: SERVICE_INSTANCE, service: web, min_up: 2, criticality: 2, patch: *web}
  - {id: w3, type: SERVICE_INSTANCE, service: web, min_up: 2, criticality: 2, patch: *web}
  - {id: d1, type: DATABASE, service: db, criticality: 5, patch: &db {patch_duration_seconds: 100, requires_restart: true, severity: 8, failure_probability: 0.1}}
  - {id: d2, type: DATABASE, service: db, criticality: 5, patch: *db}
edges:
  - {source: w1, target: d1}
  - {source: w2, target: d2, compatibility: DEGRADED}
";

fn shop() -> Scenario {
    scenario::read("shop.yaml", SHOP).unwrap()
}

fn with_failure(mut scenario: Scenario, probability: f64) -> Scenario {
    scenario.nodes.iter_mut().for_each(|node| node.patch.failure_probability = probability);
    scenario
}

fn play(scenario: &Scenario, strategy: Strategy, options: &NativeOptions) -> NativeRun {
    let plan = plan(scenario, strategy, 2).unwrap();
    native::run(scenario, &plan, options, 1)
}

fn measure(scenario: &Scenario, strategy: Strategy, options: &NativeOptions) -> NativeMetrics {
    play(scenario, strategy, options).metrics
}

#[test]
fn refused_plan_is_played_and_its_harm_measured() {
    let scenario = with_failure(shop(), 0.0);
    let metrics = measure(&scenario, Strategy::BigBang, &NativeOptions::exact());
    assert_eq!(metrics.availability_violations, 2);
    // web is below for its 40 s and db for its 100 s, during which web is degraded.
    assert_eq!((metrics.downtime_seconds, metrics.longest_downtime_seconds), (140.0, 100.0));
    assert_eq!(metrics.degraded_service_seconds, 100.0);
    assert_eq!(metrics.time_to_full_patch_seconds, Some(100.0));
    assert_eq!(metrics.exposure, 3.0 * 10.0 * 40.0 + 2.0 * 40.0 * 100.0);
    assert_eq!(metrics.mixed_version_seconds, 60.0);
}

#[test]
fn nodes_start_as_others_finish_within_max_parallel() {
    let scenario = with_failure(shop(), 0.0);
    let options = NativeOptions { max_parallel: Some(2), ..NativeOptions::exact() };
    // w1 and w2 side by side, w3 after w1, d1 after w2, d2 when w3 is done.
    assert_eq!(measure(&scenario, Strategy::BigBang, &options).duration_seconds, 180.0);
}

#[test]
fn rolled_back_node_is_retried_and_then_given_up() {
    let scenario = with_failure(shop(), 1.0);
    let only_health = FailureMix { patch: 0.0, reboot: 0.0, health: 1.0, lost: 0.0 };
    let options = NativeOptions {
        failure_mix: only_health,
        retries: 2,
        health_timeout_seconds: 10,
        ..NativeOptions::exact()
    };
    let metrics = measure(&scenario, Strategy::Rolling, &options);
    assert_eq!((metrics.rollbacks, metrics.retries, metrics.failed_nodes), (15, 10, 5));
    // Each attempt of db: 100 s, 10 s until noticed, 50 s back; two nodes, three attempts each. web is done before.
    assert_eq!(metrics.duration_seconds, 2.0 * 3.0 * 160.0);
    // Batch after batch, the third of web comes after the second of db.
    let in_batches = NativeOptions { step_barriers: true, ..options };
    let metrics = measure(&scenario, Strategy::Rolling, &in_batches);
    assert_eq!(metrics.duration_seconds, 2.0 * 3.0 * 160.0 + 3.0 * 70.0);
    assert_eq!((metrics.unpatched_nodes, metrics.time_to_full_patch_seconds), (5, None));
    let exposed = metrics.duration_seconds + 86_400.0;
    assert_eq!(metrics.exposure, (3.0 * 10.0 + 2.0 * 40.0) * exposed);
}

#[test]
fn failed_canary_halts_the_run_unless_canaries_do_not_gate() {
    let scenario = with_failure(shop(), 1.0);
    let metrics = measure(&scenario, Strategy::Canary, &NativeOptions::exact());
    assert!(metrics.halted && metrics.failed_nodes == 2 && metrics.unpatched_nodes == 5);
    let careless = NativeOptions { canaries_gate: false, ..NativeOptions::exact() };
    assert!(!measure(&scenario, Strategy::Canary, &careless).halted);
}

#[test]
fn too_many_failures_halt_the_run() {
    let scenario = with_failure(shop(), 1.0);
    let options = NativeOptions { max_failures: Some(0), max_parallel: Some(1), ..NativeOptions::exact() };
    let metrics = measure(&scenario, Strategy::Rolling, &options);
    assert_eq!((metrics.halted, metrics.failed_nodes), (true, 1));
}

#[test]
fn second_set_costs_capacity_and_can_fail() {
    let sound = measure(&with_failure(shop(), 0.0), Strategy::BlueGreen, &NativeOptions::exact());
    assert_eq!((sound.downtime_seconds, sound.node_unavailability_seconds), (0.0, 0.0));
    assert_eq!(sound.extra_capacity_seconds, 5.0 * (100.0 + 600.0));
    let broken = measure(&with_failure(shop(), 1.0), Strategy::BlueGreen, &NativeOptions::exact());
    assert!(broken.halted && broken.unpatched_nodes == 5 && broken.extra_capacity_seconds > 0.0);
    assert_eq!(broken.node_unavailability_seconds, 0.0, "the first set goes on serving");
}

#[test]
fn host_takes_down_what_it_contains() {
    let yaml = "
nodes:
  - {id: h, type: HOST, min_up: 0, patch: {patch_duration_seconds: 50, requires_reboot: true}}
  - {id: a, type: SERVICE_INSTANCE, service: app, patchable: false}
  - {id: f, type: SERVICE_INSTANCE, service: front, patchable: false}
edges: [{source: a, target: h}, {source: f, target: a}]
";
    let scenario = scenario::read("s.yaml", yaml).unwrap();
    let metrics = measure(&scenario, Strategy::Rolling, &NativeOptions::exact());
    let downtime: Vec<f64> = metrics.services.iter().map(|service| service.downtime_seconds).collect();
    let degraded: Vec<f64> = metrics.services.iter().map(|service| service.degraded_seconds).collect();
    assert_eq!((downtime, degraded), (vec![0.0, 50.0, 0.0], vec![0.0, 0.0, 50.0]));
}

#[test]
fn attempts_wait_for_a_window_that_holds_them() {
    let scenario = with_failure(shop(), 0.0);
    let windows = vec![Window { opens: 1000, closes: 1090 }, Window { opens: 5000, closes: 5300 }];
    let options = NativeOptions { windows, ..NativeOptions::exact() };
    let run = play(&scenario, Strategy::Rolling, &options);
    // db needs 100 s and waits for the second window; two of web fit into the first, one after the other.
    let starts: Vec<u64> =
        run.events.iter().filter(|e| e.event == "started").map(|e| e.time_ms / 1000).collect();
    assert_eq!(starts, [1000, 1040, 5000, 5000, 5100]);
    let closed = NativeOptions { windows: vec![Window { opens: 0, closes: 50 }], ..NativeOptions::exact() };
    let metrics = measure(&scenario, Strategy::Rolling, &closed);
    assert!(metrics.halted && metrics.out_of_windows && metrics.unpatched_nodes == 5);
}

#[test]
fn results_of_many_runs_do_not_depend_on_their_order() {
    let scenario = shop();
    let plan = plan(&scenario, Strategy::Rolling, 2).unwrap();
    let options = NativeOptions::default();
    let simulation = Simulation::new(&scenario, &options);
    let watched = AtomicU32::new(0);
    let watch = || _ = watched.fetch_add(1, Ordering::Relaxed);
    let sampling = Sampling { deadline_seconds: Some(300.0), watch: &watch, ..Sampling::new(400, 9) };
    let once = simulation.monte_carlo(&plan, &sampling);
    assert_eq!(once, simulation.monte_carlo(&plan, &sampling));
    assert_eq!(watched.into_inner(), 800);
    let single = simulation.measure(&plan, 9);
    assert_eq!(single, simulation.run(&plan, 9).metrics);
    assert!(once.duration_seconds.max >= single.duration_seconds);
    assert!(once.done_in_time.unwrap().value <= once.fully_patched.value);
}

#[test]
fn comparison_covers_all_strategies_and_has_a_reason() {
    let comparison =
        native::compare(&shop(), &Strategy::ALL, 2, &NativeOptions::default(), &Sampling::new(200, 3));
    assert!(comparison.outcomes.iter().all(|outcome| outcome.result.is_some()));
    let chosen = comparison.recommendation.unwrap();
    assert!(comparison.reason.contains(chosen.name()), "{}", comparison.reason);
    let bigbang = &comparison.outcomes[0];
    assert!(bigbang.result.as_ref().unwrap().downtime_seconds.mean > 100.0);
    assert_ne!(chosen, Strategy::BigBang);
}

#[test]
fn errors_in_options_name_their_field() {
    assert_eq!(NativeOptions::default().faults(), []);
    let windows = vec![Window { opens: 10, closes: 5 }];
    let wrong = NativeOptions { max_parallel: Some(0), windows, ..NativeOptions::default() };
    let fields: Vec<&str> = wrong.faults().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["max_parallel", "windows"]);
}

/// Everything serves at the start, nothing contains anything.
fn tame(mut scenario: Scenario) -> Scenario {
    for node in &mut scenario.nodes {
        node.health = Health::Healthy;
        node.kind = NodeKind::ServiceInstance;
    }
    scenario
}

fn any_plan(scenario: &Scenario, strategy: usize) -> Option<NodePlan> {
    plan(scenario, Strategy::ALL[strategy], 2).ok()
}

proptest! {
    #[test]
    fn step_by_step_without_chance_it_agrees_with_the_reference(
        scenario in any_scenario(), strategy in 0..7_usize
    ) {
        let scenario = with_failure(tame(scenario), 0.0);
        if let Some(plan) = any_plan(&scenario, strategy)
            && let Ok(reference) = patchplanner_reference::run(&scenario, &plan, 1)
        {
            let options = NativeOptions { step_barriers: true, ..NativeOptions::exact() };
            let native = native::run(&scenario, &plan, &options, 1).metrics;
            prop_assert_eq!(native.duration_seconds, reference.metrics.time_to_full_patch as f64);
            prop_assert_eq!(u64::from(native.guardrail_pauses), reference.metrics.number_of_guardrail_pauses);
            prop_assert!(native.downtime_seconds == 0.0 || plan.steps.iter().all(|s| !s.action.patches_in_place()));
            // A node that finishes early is patched early.
            prop_assert!(native.exposure <= reference.metrics.exposure_window_weighted + 1e-6);
            prop_assert!(native.node_unavailability_seconds
                <= reference.metrics.node_unavailability_seconds as f64);
        }
    }

    /// A plan that keeps every `min_up` step by step also keeps it when its steps overlap, and patches everything.
    #[test]
    fn flowing_steps_take_no_service_below_what_the_steps_keep(
        scenario in any_scenario(), strategy in 0..7_usize, max_parallel in prop::option::of(1..6_u32)
    ) {
        let scenario = with_failure(tame(scenario), 0.0);
        if let Some(plan) = any_plan(&scenario, strategy)
            && patchplanner_reference::run(&scenario, &plan, 1).is_ok()
        {
            let options = NativeOptions { max_parallel, ..NativeOptions::exact() };
            let NativeRun { metrics, events } = native::run(&scenario, &plan, &options, 1);
            prop_assert!(metrics.availability_violations == 0
                || plan.steps.iter().all(|step| !step.action.patches_in_place()));
            prop_assert_eq!(metrics.unpatched_nodes, 0);
            let ended = events.iter().filter(|event| event.event == "patch_step_complete").count();
            prop_assert_eq!(ended, plan.steps.iter().filter(|step| step.action.patches_in_place()).count());
        }
    }

    #[test]
    fn figures_hang_together(scenario in any_scenario(), strategy in 0..7_usize, seed in any::<u64>()) {
        let Some(plan) = any_plan(&scenario, strategy) else { return Ok(()) };
        let options = NativeOptions { max_parallel: Some(3), ..NativeOptions::default() };
        let NativeRun { metrics, events } = native::run(&scenario, &plan, &options, seed);
        let again = native::run(&scenario, &plan, &options, seed);
        prop_assert_eq!((&again.metrics, &again.events), (&metrics, &events));

        let downtime: f64 = metrics.services.iter().map(|service| service.downtime_seconds).sum();
        prop_assert!((metrics.downtime_seconds - downtime).abs() < 1e-6);
        prop_assert!(metrics.longest_downtime_seconds <= metrics.downtime_seconds);
        prop_assert_eq!(metrics.time_to_full_patch_seconds.is_some(), metrics.unpatched_nodes == 0);
        prop_assert!(events.is_sorted_by_key(|event| event.time_ms));

        // Exposure is the sum of its parts: each node until the time at which the log says it was patched.
        let mut exposure = 0.0;
        for node in &scenario.nodes {
            let patched = events.iter().find(|e| e.event == "patched" && e.node_id.as_ref() == Some(&node.id));
            let until = match patched {
                _ if node.version == "v_new" => 0.0,
                Some(event) => event.time_ms as f64 / 1000.0,
                None if node.patchable => metrics.duration_seconds + 86_400.0,
                None => metrics.duration_seconds,
            };
            exposure += f64::from(node.criticality) * node.patch.severity * until;
        }
        prop_assert!((metrics.exposure - exposure).abs() <= exposure * 1e-9);

        // Under `dep_greedy` no node starts before its dependencies have ended.
        if plan.strategy == Strategy::DepGreedy {
            let time = |node: usize, names: &[&str]| {
                let of_node = |e: &&simulator::output::Event| {
                    e.node_id.as_ref() == Some(&scenario.nodes[node].id) && names.contains(&e.event)
                };
                (events.iter().position(|e| of_node(&e)), events.iter().rposition(|e| of_node(&e)))
            };
            let step_of = |node| plan.steps.iter().position(|step| plan.nodes_of(step).any(|n| n == node));
            for edge in scenario.edges.iter().filter(|edge| step_of(edge.target) < step_of(edge.source)) {
                let began = time(edge.source, &["started"]).0;
                let ended = time(edge.target, &["patched", "rollback", "patch_failed"]).1;
                prop_assert!(began.is_none() || step_of(edge.target).is_none() || ended < began);
            }
        }

        // Never more attempts at once than allowed.
        let mut running = 0_i32;
        for event in events.iter().filter(|event| event.node_id.is_some()) {
            match event.event {
                "started" => running += 1,
                // Nodes of a switch were attempts when they were built.
                "patched" if plan.steps.iter().any(|s| {
                    s.name.to_string() == event.step_id && !s.action.patches_in_place()
                }) => {}
                _ => running -= 1,
            }
            prop_assert!((0..=3).contains(&running), "{} running", running);
        }
    }
}
