//! One test per stage, SCHEDULE (see `schedule`) to ALERT.

use serde_json::json;

use test_support::NEW;

use crate::platform::platform;

#[tokio::test(flavor = "multi_thread")]
async fn run_patches_every_host_once_and_closes_its_change() {
    let platform = platform!();
    platform.fleet(4, 2).await;
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(ended["hosts"]["succeeded"], 4);
    assert!(
        ended["host_states"]
            .as_array()
            .unwrap()
            .iter()
            .all(|host| host["changed"][0]["to"] == NEW && host["attempts"] == 1)
    );
    platform.assert_settled(&run).await;
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(
        (change["state"].as_str(), change["close_code"].as_str()),
        (Some("completed"), Some("successful"))
    );
    let ci = platform.cmdb.get("/cmdb/cis/h-1").await.expect(200);
    assert_eq!(ci["patch_state"]["compliance_status"], "compliant", "{ci:#}");
    assert_eq!(ci["patch_state"]["run_id"].as_str(), Some(run.as_str()));
    let report = platform.patch.get(&format!("/patch/runs/{run}/report")).await.expect(200);
    assert_eq!(report["packages_changed"], 4);
    assert_eq!(report["compliance_before"]["compliant"], 0);
    assert_eq!(report["compliance_after"]["compliant"], 4);
    assert!(report["prediction"]["duration_p95_seconds"].as_f64().unwrap() > 0.0);
    assert!(report["actual"]["max_hosts_down"].as_i64().unwrap() <= 2);
    let ledger = platform.patch.get("/patch/predictions").await.expect(200);
    assert_eq!(ledger["items"][0]["run_id"].as_str(), Some(run.as_str()));
    assert_eq!(ledger["calibration"]["runs"], 1, "the prediction is compared with what happened");
    let text = platform.patch.get(&format!("/patch/runs/{run}/report?format=markdown")).await;
    assert!(text.text.starts_with(&format!("# Run {run}: succeeded")), "{}", text.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_nothing_to_do_ends_after_its_plan() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    for host in ["h-1", "h-2"] {
        let transaction = json!({ "transaction_id": "by-hand", "packages": { "openssl": NEW } });
        platform
            .sim
            .post(&format!("/sim/vms/{host}/guest/transactions?wait=10"), &transaction)
            .await
            .expect(200);
    }
    let run = platform.run().await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded");
    assert!(ended["change_id"].is_null(), "no change is opened without work");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_ends_after_its_plan_and_changes_nothing() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run =
        platform.patch.post("/patch/runs", &json!({ "policy_id": "p", "dry_run": true })).await.expect(202);
    let ended = platform.until_ended(run["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(ended["plan"]["targets"].as_object().unwrap().len(), 2);
    assert!(ended["change_id"].is_null());
    let history = platform.sim.get("/sim/vms/h-1/guest/transactions").await.expect(200);
    assert_eq!(history["items"].as_array().map(Vec::len), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_waits_until_somebody_else_than_its_requester_approves_the_change() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    let waiting = platform.until(&run, "awaiting approval", |run| run["change_id"].is_string()).await;
    let change = waiting["change_id"].as_str().unwrap().to_owned();
    platform.itsm.post(&format!("/itsm/changes/{change}/approve"), &json!({})).await.expect_problem(403);
    let change_now = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change_now["plan_hash"], waiting["plan_hash"], "the approval is bound to this plan");
    assert_eq!(change_now["requested_by"], "olivia");
    platform.until_performed(&run, "check_change", 2).await;
    assert_eq!(platform.get(&run).await["state"], "awaiting_approval");
    platform.approver.post(&format!("/itsm/changes/{change}/approve"), &json!({})).await.expect(200);
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_change_cancels_the_run() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    let waiting = platform.until(&run, "awaiting approval", |run| run["change_id"].is_string()).await;
    let change = waiting["change_id"].as_str().unwrap();
    let reject = json!({ "comment": "not tonight" });
    platform.approver.post(&format!("/itsm/changes/{change}/reject"), &reject).await.expect(200);
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "cancelled");
    assert!(ended["reason"].as_str().unwrap().contains("not tonight"), "{}", ended["reason"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_stops_the_run_before_any_host_is_changed() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let now = chrono::Utc::now();
    let freeze = json!({ "name": "quarter end", "scope": { "env": "prod" },
        "starts": now - chrono::TimeDelta::hours(1), "ends": now + chrono::TimeDelta::hours(1) });
    platform.patch.post("/patch/calendars", &freeze).await.expect(201);
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    let conflicts = platform.itsm.get(&format!("/itsm/changes/{change}/conflicts")).await.expect(200);
    let freeze = &conflicts["conflicts"][0];
    assert_eq!(
        (&freeze["kind"], &freeze["with"]),
        (&json!("freeze"), &json!("quarter end")),
        "{conflicts:#}"
    );
    assert_eq!(freeze["ci_ids"], json!(["h-1", "h-2"]));
    let held = platform
        .until(&run, "waiting for the end of the freeze", |run| {
            run["log_tail"].to_string().contains("quarter end")
        })
        .await;
    assert_eq!((&held["state"], &held["stage"]), (&json!("awaiting_window"), &json!("validating")));
    let history = platform.sim.get("/sim/vms/h-1/guest/transactions").await.expect(200);
    assert_eq!(history["items"].as_array().map(Vec::len), Some(0));
    platform.patch.post(&format!("/patch/runs/{run}/cancel"), &json!({})).await.expect(202);
    assert_eq!(platform.until_ended(&run).await["state"], "cancelled");
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_whose_snapshot_fails_is_not_patched() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    let run = platform.run().await;
    platform.until(&run, "awaiting approval", |run| run["change_id"].is_string()).await;
    // The VM disappears between plan and snapshot.
    platform.sim.delete("/sim/vms/h-2").await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    let host = ended["host_states"].as_array().unwrap().iter().find(|host| host["ci_id"] == "h-2").unwrap();
    assert_eq!(host["state"], "skipped");
    assert!(host["error"].as_str().unwrap().contains("snapshot failed"), "{host}");
    assert_eq!(ended["state"], "completed_with_errors");
    assert_eq!(ended["hosts"]["succeeded"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_host_is_rolled_back_to_its_snapshot_and_opens_an_incident() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let fault = json!({ "vm_id": "h-3", "times": 1 });
    platform.sim.post("/sim/inject/patch-failure", &fault).await.expect(201);
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    let host = ended["host_states"].as_array().unwrap().iter().find(|host| host["ci_id"] == "h-3").unwrap();
    assert_eq!(host["state"], "rolled_back");
    platform.assert_settled(&run).await;
    let incidents = platform.itsm.get("/itsm/incidents").await.expect(200);
    let incidents = incidents["items"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "one run opens one incident");
    assert_eq!(incidents[0]["ci_ids"], json!(["h-3"]));
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change["close_code"], "successful_issues");
}
