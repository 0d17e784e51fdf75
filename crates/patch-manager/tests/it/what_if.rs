//! `POST /patch/plans/simulate` without a fleet.

use serde_json::{Value, json};

use crate::platform::Platform;

const SHOP: &str = "
name: shop
nodes:
  - {id: w1, type: HOST, service: web, min_up: 1, patch: {patch_duration_seconds: 60, requires_reboot: true, severity: 5}}
  - {id: w2, type: HOST, service: web, min_up: 1, patch: {patch_duration_seconds: 60, requires_reboot: true, severity: 5}}
edges: [{source: w1, target: w2}, {source: w2, target: w1}]
";

async fn simulate(platform: &Platform, body: Value) -> Value {
    platform.operator.post("/patch/plans/simulate", &body).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_in_the_body_is_simulated() {
    let platform = Platform::start().await;
    let found = simulate(&platform, json!({ "scenario": SHOP, "runs": 200 })).await;
    let strategies: Vec<&str> =
        found["outcomes"].as_array().unwrap().iter().filter_map(|o| o["strategy"].as_str()).collect();
    assert_eq!(strategies.len(), 6, "{found}");
    assert_eq!(found["refused"][0]["strategy"], "dep_greedy");
    let refused = found["remarks"][0].as_str().unwrap();
    assert!(refused.starts_with("`dep_greedy`: dependency cycle"), "{refused}");
    assert!(found["recommended"].is_string() && found["why"].is_string());
    assert_eq!(found, simulate(&platform, json!({ "scenario": SHOP, "runs": 200 })).await);
    let rolling =
        &simulate(&platform, json!({ "scenario": SHOP, "strategies": ["rolling"] })).await["outcomes"][0];
    assert_eq!((&rolling["waves"], &rolling["max_hosts_down"]), (&json!(2), &json!(1)));
    assert_eq!(rolling["expected_begun_hosts"], 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_name_the_wrong_field() {
    let platform = Platform::start().await;
    let run = "018f0000-0000-7000-8000-000000000000";
    let selector = json!({ "all": true });
    for (body, pointer, reason) in [
        (json!({}), "", "must have a `policy_id`"),
        (json!({ "scenario": "" }), "/scenario", "contains no scenario"),
        (
            json!({ "scenario": "nodes:\n  - {id: a, type: HOST, colour: red}\n" }),
            "/scenario",
            "scenario:2: nodes[0]",
        ),
        (json!({ "scenario": SHOP, "selector": selector }), "", "must have only one of"),
        (json!({ "scenario": SHOP, "replay_of": run }), "", "must have only one of"),
        (json!({ "scenario": SHOP, "deadline_seconds": 60 }), "/deadline_seconds", "applies to hosts only"),
        (json!({ "selector": selector, "deadline_seconds": 0 }), "/deadline_seconds", "must be 1 to"),
        (json!({ "selector": selector, "confidence": 0.9 }), "/confidence", "needs `deadline_seconds`"),
        (
            json!({ "selector": selector, "deadline_seconds": 9, "confidence": 1 }),
            "/confidence",
            "must be above 0",
        ),
        (json!({ "selector": selector, "runs": 0 }), "/runs", "must be 1 to 100000"),
        (json!({ "selector": selector, "check_failures": 21 }), "/check_failures", "must be 0 to 20"),
        (json!({ "scenario": SHOP, "check_failures": 1 }), "/check_failures", "applies to hosts only"),
        (json!({ "replay_of": run, "check_failures": 1 }), "/check_failures", "a run that has ended"),
        (
            json!({ "selector": selector, "strategies": ["bluegreen"] }),
            "/strategies",
            "use `canary` or `rolling`",
        ),
    ] {
        let problem = platform.operator.post("/patch/plans/simulate", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(problem.to_string().contains(reason), "{problem} instead of {reason}");
    }
    let unknown = platform.operator.post("/patch/plans/simulate", &json!({ "replay_of": run })).await;
    unknown.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_selection_meets_every_deadline() {
    let platform = Platform::start().await;
    let asked = json!({ "selector": { "all": true }, "deadline_seconds": 600, "runs": 50 });
    let answer = &simulate(&platform, asked).await["deadline"];
    assert_eq!((&answer["meets"], &answer["confidence"]), (&json!(true), &json!(0.95)), "{answer}");
}
