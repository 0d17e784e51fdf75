//! Preflight of the hosts of a policy, asked for before anybody starts a run.

use serde_json::{Value, json};
use test_support::OLD;

use crate::platform::platform;

#[tokio::test(flavor = "multi_thread")]
async fn preflight_of_a_policy_names_what_stops_a_run_and_opens_no_change() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    let tags = json!({ "env": "real", "os": "debian12" });
    let ci = json!({ "id": "real-1", "type": "host", "tags": tags,
        "attributes": { "driver": "ssh", "address": "127.0.0.1", "port": 9 } });
    platform.cmdb.post("/cmdb/cis", &ci).await.expect(201);
    let inventory =
        json!({ "ci_id": "real-1", "os": "debian:12", "packages": [{ "name": "openssl", "version": OLD }] });
    platform.patch.post("/patch/inventory", &inventory).await.expect(200);
    let policy = json!({ "id": "real", "name": "real", "target_ci_tags": { "env": "real" } });
    platform.patch.post("/patch/policies", &policy).await.expect(201);
    let path = "/patch/policies/real/preview";

    let shown = platform.patch.post(path, &json!({})).await.expect(200);
    assert_eq!((&shown["targets"], &shown["preflight_run"]), (&json!(["real-1"]), &Value::Null));
    platform
        .patch
        .post("/patch/policies/none/preview", &json!({ "preflight": true }))
        .await
        .expect_problem(404);

    let asked = platform.patch.post(path, &json!({ "preflight": true })).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let run = asked.json["preflight_run"].as_str().expect("a run").to_owned();
    assert_eq!(asked.headers["location"], format!("/patch/runs/{run}"));
    let ended = platform.until_ended(&run).await;
    assert_eq!((&ended["dry_run"], &ended["change_id"]), (&json!(true), &Value::Null), "{ended:#}");
    assert!(ended["plan"]["not_ready"]["real-1"][0]["check"].is_string(), "{ended:#}");
    assert!(ended["reason"].as_str().unwrap().contains("`real-1`, is not ready: "), "{ended:#}");
    assert_eq!(platform.itsm.get("/itsm/changes").await.expect(200)["items"], json!([]));
}
