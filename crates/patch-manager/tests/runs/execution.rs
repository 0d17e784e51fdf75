//! Waves, gates, budgets, retries.

use serde_json::{Value, json};

use crate::platform::platform;

fn host<'a>(run: &'a Value, id: &str) -> &'a Value {
    run["host_states"].as_array().unwrap().iter().find(|host| host["ci_id"] == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_host_is_retried_as_often_as_the_policy_allows() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    platform.policy(json!({ "retries": 1 })).await;
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-2", "times": 1 })).await.expect(201);
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(host(&ended, "h-2")["attempts"], 2);
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pilot_that_fails_stops_the_run() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    platform.policy(json!({ "pilot_host_count": 1 })).await;
    let run = platform.run().await;
    let planned = platform.until(&run, "planned", |run| run["change_id"].is_string()).await;
    let pilot = planned["plan"]["waves"][0]["hosts"][0].as_str().unwrap().to_owned();
    assert_eq!(planned["plan"]["waves"][0]["kind"], "pilot");
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": pilot })).await.expect(201);
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "halted");
    assert_eq!(host(&ended, &pilot)["state"], "rolled_back");
    assert_eq!(ended["hosts"]["skipped"], 3, "no other host was started");
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_threshold_halts_the_run() {
    let platform = platform!();
    platform.fleet(6, 0).await;
    platform.policy(json!({ "error_threshold": 0 })).await;
    let run = platform.run().await;
    let planned = platform.until(&run, "planned", |run| run["change_id"].is_string()).await;
    let first = planned["plan"]["waves"][0]["hosts"][0].as_str().unwrap().to_owned();
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": first })).await.expect(201);
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "halted");
    assert!(ended["reason"].as_str().unwrap().contains("threshold"));
    assert_eq!(ended["hosts"]["skipped"], 4);

    // The replay of the run: every strategy would have stopped, and there is no failure that the run did not have.
    let asked = json!({ "replay_of": run, "strategies": ["rolling", "bigbang"], "deadline_seconds": 3600 });
    let replayed = platform.patch.post("/patch/plans/simulate", &asked).await.expect(200);
    let remarks: Vec<&str> =
        replayed["remarks"].as_array().unwrap().iter().filter_map(|remark| remark.as_str()).collect();
    assert_eq!(remarks.len(), 3, "{replayed:#}");
    assert!(remarks[0].starts_with("actual run with") && remarks[0].ends_with("1 failed"), "{remarks:?}");
    assert!(remarks[1..].iter().all(|remark| remark.contains("would have stopped after")), "{remarks:?}");
    assert!(replayed["deadline"]["why"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_in_staging_keeps_production_untouched() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    let tags = json!({ "env": "staging", "os": "debian12" });
    let vm = json!({ "id": "s-1", "driver": "model", "os": "debian12", "tags": tags, "guest": {
        "packages": { "openssl": test_support::OLD }, "patch_seconds": 0.3,
        "services": [{ "name": "nginx", "port": 443 }, { "name": "worker", "port": 9000 }] } });
    platform.sim.post("/sim/vms", &vm).await.expect(201);
    let ci = json!({ "id": "s-1", "type": "vm", "tags": tags, "attributes": { "driver": "model", "services": ["nginx"] } });
    platform.cmdb.post("/cmdb/cis", &ci).await.expect(201);
    // A service that no health check covers does not come back after the update: only the tests notice it.
    let tests = json!([{ "name": "worker is active", "kind": "service_active", "service": "worker" },
        { "name": "reachable", "kind": "reachable" }]);
    platform.policy(json!({ "staging": { "target_ci_tags": { "env": "staging" }, "tests": tests }, "rollback": "manual" })).await;
    platform
        .sim
        .post("/sim/inject/service-failure", &json!({ "vm_id": "s-1", "service": "worker" }))
        .await
        .expect(201);
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "halted", "{ended:#}");
    assert_eq!(ended["tests"]["before"], 2);
    assert_eq!(ended["tests"]["after"], 2);
    assert_eq!(ended["tests"]["regressions"], 1);
    assert_eq!(ended["hosts"]["skipped"], 3, "the production waves never start");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_host_ends_as_unreachable() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    platform.policy(json!({ "rollback": "manual" })).await;
    let run = platform.run().await;
    platform.until(&run, "planned", |run| run["change_id"].is_string()).await;
    platform.sim.post("/sim/inject/network-partition", &json!({ "vm_id": "h-1" })).await.expect(201);
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(host(&ended, "h-1")["state"], "unreachable", "{ended:#}");
    assert_eq!(ended["hosts"]["succeeded"], 2);
}
