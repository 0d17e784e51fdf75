//! The orders of operators: cancel, pause, resume, retry, roll back.

use serde_json::json;

use test_support::OLD;

use crate::platform::platform;

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_run_ends_in_a_known_safe_state() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "patching", |run| run["host_states"].to_string().contains("\"patching\"")).await;
    platform
        .patch
        .post(&format!("/patch/runs/{run}/cancel"), &json!({ "reason": "wrong night" }))
        .await
        .expect(202);
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert!(ended["reason"].as_str().unwrap().contains("wrong night (by olivia)"));
    assert_eq!(
        ended["hosts"]["cancelled"].as_i64().unwrap() + ended["hosts"]["succeeded"].as_i64().unwrap(),
        4
    );
    // The transaction in progress has finished: it is complete or absent.
    for host in ["h-1", "h-2", "h-3", "h-4"] {
        let history = platform.sim.get(&format!("/sim/vms/{host}/guest/transactions")).await.expect(200);
        assert!(
            history["items"].as_array().unwrap().iter().all(|t| t["state"] == "completed"),
            "{history:#}"
        );
    }
    platform.assert_settled(&run).await;
    platform.patch.post(&format!("/patch/runs/{run}/cancel"), &json!({})).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_run_starts_no_host_until_it_is_resumed() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let run = platform.run().await;
    platform.until(&run, "awaiting approval", |run| run["change_id"].is_string()).await;
    platform
        .patch
        .post(&format!("/patch/runs/{run}/pause"), &json!({ "reason": "dinner" }))
        .await
        .expect(202);
    let paused = platform.get(&run).await;
    assert_eq!(
        (paused["state"].as_str(), paused["stage"].as_str()),
        (Some("paused"), Some("awaiting_approval"))
    );
    let change = paused["change_id"].as_str().unwrap();
    platform.approver.post(&format!("/itsm/changes/{change}/approve"), &json!({})).await.expect(200);
    // Nothing is to happen, so there is no condition to wait for: an open run would start within two seconds.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(platform.get(&run).await["state"], "paused");
    platform.patch.post(&format!("/patch/runs/{run}/resume"), &json!({})).await.expect(202);
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    platform.patch.post(&format!("/patch/runs/{run}/resume"), &json!({})).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_hosts_of_an_ended_run_are_retried_in_a_new_run() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-2", "times": 1 })).await.expect(201);
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until_state(&run, "completed_with_errors").await;
    let again = platform.patch.post(&format!("/patch/runs/{run}/retry-failed"), &json!({})).await.expect(202);
    let again_id = again["id"].as_str().unwrap();
    assert_eq!((again["trigger"].as_str(), again["of_run"].as_str()), (Some("retry"), Some(run.as_str())));
    platform.approve(again_id).await;
    let ended = platform.until_ended(again_id).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(ended["hosts"]["total"], 1, "only the host that failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_run_is_rolled_back_by_a_new_run_with_its_own_change() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until_state(&run, "succeeded").await;
    let back = platform
        .patch
        .post(&format!("/patch/runs/{run}/rollback"), &json!({ "reason": "regret" }))
        .await
        .expect(202);
    let back_id = back["id"].as_str().unwrap();
    platform.approve(back_id).await;
    let ended = platform.until_ended(back_id).await;
    assert_eq!(ended["state"], "rolled_back", "{ended:#}");
    for host in ["h-1", "h-2"] {
        let guest = platform.sim.get(&format!("/sim/vms/{host}/guest")).await.expect(200);
        assert_eq!(guest["packages"][0]["version"], OLD, "{guest:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_run_rolls_back_its_own_hosts() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "half done", |run| run["hosts"]["succeeded"].as_i64() >= Some(2)).await;
    platform.patch.post(&format!("/patch/runs/{run}/rollback"), &json!({})).await.expect(202);
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "rolled_back", "{ended:#}");
    for host in ["h-1", "h-2", "h-3", "h-4"] {
        let guest = platform.sim.get(&format!("/sim/vms/{host}/guest")).await.expect(200);
        assert_eq!(guest["packages"][0]["version"], OLD, "{host}: {guest:#}");
    }
    // The hosts are as they were ordered to be.
    let refused =
        platform.patch.post(&format!("/patch/runs/{run}/retry-failed"), &json!({})).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/run-state", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_host_is_left_as_it_is_and_the_change_says_so() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let run = platform.run().await;
    platform.until(&run, "awaiting approval", |run| run["change_id"].is_string()).await;
    let skip = async |host: &str| {
        let reason = json!({ "reason": "its disk is being replaced" });
        platform.patch.post(&format!("/patch/runs/{run}/hosts/{host}/skip"), &reason).await
    };
    skip("h-9").await.expect_problem(409);
    skip("h-4").await.expect(202);
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    assert_eq!((&ended["hosts"]["succeeded"], &ended["hosts"]["skipped"]), (&json!(3), &json!(1)));
    let skipped =
        ended["host_states"].as_array().unwrap().iter().find(|host| host["ci_id"] == "h-4").unwrap();
    let why = "skipped: its disk is being replaced (by olivia)";
    assert_eq!((&skipped["state"], &skipped["error"]), (&json!("skipped"), &json!(why)), "{skipped:#}");
    let guest = platform.sim.get("/sim/vms/h-4/guest").await.expect(200);
    assert_eq!(guest["packages"][0]["version"], OLD, "{guest:#}");
    let change = ended["change_id"].as_str().unwrap();
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change["close_code"], "successful_issues", "{change:#}");
    assert!(change["close_notes"].as_str().unwrap().contains(", 1 skipped"), "{change:#}");
    skip("h-4").await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn same_idempotency_key_starts_one_run() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "tonight")];
    let start = async |body: &str| {
        let body = Some(body.as_bytes().to_vec());
        platform.patch.send(reqwest::Method::POST, "/patch/runs", &headers, body).await
    };
    let first = start(r#"{"policy_id":"p","dry_run":true}"#).await.expect(202);
    let second = start(r#"{"policy_id":"p","dry_run":true}"#).await.expect(202);
    assert_eq!(first["id"], second["id"]);
    start(r#"{"policy_id":"p"}"#).await.expect_problem(422);
    let runs = platform.patch.get("/patch/runs").await.expect(200);
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1));
}
