//! Release lines, the checklist of a release that nothing tests, configuration that merges, and what is recorded for the metrics.
//! Rollouts themselves are in `tests/runs/releases.rs`.

use serde_json::{Value, json};
use test_support::Http;

use crate::platform::Platform;

const CONFIG: &str = "/patch/release-config/apply";

fn customer(slug: &str, tier: &str) -> Value {
    json!({ "slug": slug, "name": slug, "tier": tier, "current_version": "v1.0.0", "health": { "kind": "sim" },
        "deployer": { "kind": "sim" }, "contacts": [format!("ops@{slug}.example")] })
}

/// Applies the configuration; an approver confirms it if it weakens a control.
async fn apply(platform: &Platform, config: Value) -> Value {
    let answer = platform.operator.post(CONFIG, &config).await;
    platform.patch.agreed(answer).await
}

async fn open_items(operator: &Http, version: &str) -> Vec<String> {
    let release = operator.get(&format!("/patch/releases/{version}")).await.expect(200);
    let items = release["checklist"].as_object().unwrap();
    items.iter().filter(|(_, item)| item["state"] == "open").map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn release_that_no_check_tests_has_an_open_item() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    apply(&platform, json!({ "customers": [customer("acme", "standard")] })).await;
    let made = json!({ "version": "v1.0.1", "type": "documentation" });
    operator.post("/patch/releases", &made).await.expect(201);
    assert_eq!(open_items(operator, "v1.0.1").await, ["00-tested-by-hand"]);
    let refused = operator.post("/patch/releases/v1.0.1/deploy", &json!({})).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/checklist-open");
    assert!(refused["detail"].as_str().unwrap().contains("no smoke test is configured"), "{refused}");
    // A validation of nothing does not pass either.
    let refused = operator.post("/patch/releases/v1.0.1/validate", &json!({})).await.expect_problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("no validation check"), "{refused}");

    let smoke = json!([{ "name": "healthy", "kind": "smoke_test", "run": { "by": "health" } }]);
    apply(&platform, json!({ "policies": { "smoke_tests": smoke } })).await;
    assert_eq!(open_items(operator, "v1.0.1").await, Vec::<String>::new());
    apply(&platform, json!({ "policies": { "smoke_tests": [] } })).await;
    let item = "/patch/releases/v1.0.1/checklist/0";
    operator.put(item, &json!({ "state": "waived", "reason": "only the manual changes" })).await.expect(200);
    assert_eq!(open_items(operator, "v1.0.1").await, Vec::<String>::new());
    operator.post("/patch/releases/v1.0.1/deploy", &json!({})).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_patch_of_a_line_needs_no_customer_that_runs_its_base() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let patch = json!({ "version": "v1.1.1", "type": "security" });
    let refused = operator.post("/patch/releases", &patch).await.expect_problem(422);
    let detail = refused["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("release line register --base v1.1.0"), "{refused}");

    let line = "/patch/release-lines/v1.1.0";
    platform.patch.viewer().await.put(line, &json!({})).await.expect_problem(403);
    let long = json!({ "note": "x".repeat(501) });
    assert_eq!(operator.put(line, &long).await.expect_problem(422)["errors"][0]["pointer"], "/note");
    operator.put("/patch/release-lines/1.1", &json!({})).await.expect_problem(404);
    operator.put(line, &json!({})).await.expect(200);
    operator.put(line, &json!({ "note": "shipped by hand" })).await.expect(200);
    let lines = operator.get("/patch/release-lines").await.expect(200);
    assert_eq!(lines.as_array().unwrap().len(), 1);
    assert_eq!((&lines[0]["base_version"], &lines[0]["note"]), (&json!("v1.1.0"), &json!("shipped by hand")));

    assert_eq!(operator.post("/patch/releases", &patch).await.expect(201)["base_version"], "v1.1.0");
    operator.delete(line).await.expect(204);
    operator.delete(line).await.expect_problem(404);
    // The release itself makes its line known.
    let next = json!({ "version": "v1.1.2", "type": "security" });
    operator.post("/patch/releases", &next).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_keeps_what_the_file_does_not_name() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let first = json!({
        "customers": [customer("acme", "standard")],
        "policies": { "max_parallel": 3, "health": { "failures": 7 }, "types": { "security": { "monitoring_hours": 9 } } },
    });
    apply(&platform, first).await;
    let second = json!({
        "customers": [{ "slug": "acme", "paused": "they move" }],
        "policies": { "settle_seconds": 60, "types": { "security": { "urgency": "high" }, "bug_fix": { "monitoring_hours": 5 } } },
    });
    let diff = apply(&platform, second.clone()).await;
    let fields: Vec<&str> =
        diff["changed"].as_array().unwrap().iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert_eq!(
        fields,
        ["/paused", "/settle_seconds", "/types/bug_fix/monitoring_hours", "/types/security/urgency"],
        "{diff:#}"
    );
    assert_eq!(apply(&platform, second).await["changed"], json!([]));
    let stored = operator.get("/patch/release-policies").await.expect(200);
    assert_eq!((&stored["max_parallel"], &stored["health"]["failures"]), (&json!(3), &json!(7)));
    let security = &stored["types"]["security"];
    assert_eq!((&security["monitoring_hours"], &security["urgency"]), (&json!(9), &json!("high")));
    let acme = operator.get("/patch/customers/acme").await.expect(200);
    assert_eq!((&acme["tier"], &acme["contacts"]), (&json!("standard"), &json!(["ops@acme.example"])));

    // `null` returns to the default, and a file with one wrong field changes nothing.
    apply(&platform, json!({ "policies": { "max_parallel": null, "types": { "security": null } } })).await;
    let stored = operator.get("/patch/release-policies").await.expect(200);
    assert_eq!((&stored["max_parallel"], &stored["settle_seconds"]), (&json!(10), &json!(60)));
    assert_eq!(stored["types"]["security"]["monitoring_hours"], 48);
    for (config, pointer) in [
        (json!({ "policies": { "max_paralel": 4 } }), "/policies"),
        (
            json!({ "policies": { "types": { "security": { "urgency": "soon" } } } }),
            "/policies/types/security/urgency",
        ),
        (json!({ "customers": [{ "name": "acme" }] }), "/customers/0/slug"),
        (json!({ "policies": { "max_parallel": 4 }, "customers": [{ "slug": "new-one" }] }), "/customers/0"),
    ] {
        let problem = operator.post(CONFIG, &config).await.expect_problem(422);
        let found = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(found.starts_with(pointer), "{pointer}: {problem}");
    }
    assert_eq!(operator.get("/patch/release-policies").await.expect(200), stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_nothing_was_recorded_for_are_unknown_with_the_reason() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    apply(&platform, json!({ "customers": [customer("acme", "standard")] })).await;
    let made = json!({ "version": "v1.0.1", "type": "security", "resolves": ["BUG-1", " "] });
    let problem = operator.post("/patch/releases", &made).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/resolves/1");
    let made = json!({ "version": "v1.0.1", "type": "security", "resolves": ["BUG-1"] });
    let release = operator.post("/patch/releases", &made).await.expect(201);
    assert_eq!(release["resolves"], json!(["BUG-1"]));
    let rating = "/patch/customers/acme/ratings/v1.0.1";
    let problem = operator.put(rating, &json!({ "score": 6 })).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/score");
    let problem = operator.put(rating, &json!({ "score": 4 })).await.expect_problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("never ran v1.0.1"), "{problem}");
    platform.patch.viewer().await.put(rating, &json!({ "score": 4 })).await.expect_problem(403);
    let metrics = operator.get("/patch/releases/v1.0.1/metrics").await.expect(200);
    for figure in ["issues_resolved", "new_issues", "performance_impact_percent", "satisfaction"] {
        let figure = &metrics["all"][figure];
        assert_eq!(figure["state"], "unknown", "{metrics:#}");
        assert!(!figure["reason"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_that_is_neither_an_address_of_mail_nor_of_http_is_refused() {
    let platform = Platform::start().await;
    for contact in ["javascript:alert(1)", "data:text/plain,hi", "//127.0.0.1/", "http:127.0.0.1", "ops"] {
        let mut body = customer("acme", "standard");
        body["contacts"] = json!(["ops@acme.example", contact]);
        let problem = platform.operator.post("/patch/customers", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/contacts/1", "{contact}: {problem}");
    }
    platform.operator.post("/patch/customers", &customer("acme", "standard")).await.expect(201);
}
