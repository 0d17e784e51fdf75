//! Services that still run the library which a run has replaced.

use serde_json::{Value, json};
use test_support::OLD;

use crate::platform::Platform;

/// A platform with one host, on which `cron` runs the library too and is not a service of the run.
async fn platform_with_cron() -> Option<Platform> {
    let platform = Platform::start().await?;
    platform.fleet(1, 0).await;
    platform.sim.delete("/sim/vms/h-1").await.expect(204);
    let guest = json!({ "id": "h-1", "driver": "model", "os": "debian12", "tags": { "env": "prod", "os": "debian12" },
        "guest": { "packages": { "openssl": OLD }, "library_packages": ["openssl"], "patch_seconds": 0.2,
            "services": [{ "name": "nginx", "port": 443 }, { "name": "cron" }, { "name": "dbus" }] } });
    platform.sim.post("/sim/vms", &guest).await.expect(201);
    Some(platform)
}

/// Runs the policy with this workflow to its end, and returns the run.
async fn patch(platform: &Platform, workflow: Value) -> Value {
    platform.policy(json!({ "workflow": workflow, "reboot": "never" })).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let run = platform.until_ended(&run).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    run
}

fn waiting(pending: &Value) -> Vec<(&str, &str)> {
    assert_eq!(pending["state"], "checked", "{pending:#}");
    let services = pending["services"].as_array().unwrap().iter();
    services.map(|one| (one["name"].as_str().unwrap(), one["remedy"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn host_whose_services_run_replaced_code_is_reported_and_not_called_healthy() {
    let Some(platform) = platform_with_cron().await else { return };
    let run = patch(&platform, json!({})).await;
    let host = &run["host_states"][0];
    let both = [("cron", "restart"), ("dbus", "reboot")];
    assert_eq!(waiting(&host["pending_restart"]), both);
    let steps = host["steps"].as_array().unwrap();
    let restart = steps.iter().find(|step| step["step"] == "restart_services").expect("the step");
    assert_eq!(restart["state"], "skipped", "{restart}");
    let log = run["log_tail"].to_string();
    assert!(log.contains("pending restart of cron (restart it), dbus (reboot the host)"), "{log}");
    assert!(!log.contains("changed, healthy"), "{log}");
    assert!(log.contains("1 with services that wait for a restart"), "the closed change: {log}");

    let id = run["id"].as_str().unwrap();
    let report = platform.patch.get(&format!("/patch/runs/{id}/report")).await.expect(200);
    assert_eq!(report["pending_restarts"], 1);
    // The scan of the verification found the same.
    let compliance = platform.patch.get("/patch/compliance/h-1").await.expect(200);
    assert_eq!(waiting(&compliance["pending_restart"]), both);
    assert!(compliance["reason"].as_str().unwrap().contains("pending restart of cron"), "{compliance:#}");

    // An operator restarts it, and the next scan finds that it is done.
    let restart = json!({ "action": "restart" });
    platform.sim.post("/sim/vms/h-1/guest/services/cron", &restart).await.expect(200);
    let scan = platform.patch.post("/patch/compliance/scan", &json!({})).await.expect(202);
    let path = format!("/patch/compliance/scans/{}", scan["id"].as_str().unwrap());
    for _ in 0..300 {
        if platform.patch.get(&path).await.expect(200)["state"] == "succeeded" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let compliance = platform.patch.get("/patch/compliance/h-1").await.expect(200);
    assert_eq!(waiting(&compliance["pending_restart"]), [("dbus", "reboot")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_restarted_after_the_update_when_the_policy_says_so() {
    let Some(platform) = platform_with_cron().await else { return };
    let run = patch(&platform, json!({ "restart_services": "all" })).await;
    assert_eq!(run["plan"]["workflow"]["restart_services"], "all");
    let host = &run["host_states"][0];
    assert_eq!(waiting(&host["pending_restart"]), [("dbus", "reboot")]);
    let change = run["change_id"].as_str().unwrap();
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert!(change.to_string().contains("every service that still runs replaced code"), "{change:#}");

    let names = json!({ "workflow": { "restart_service_names": ["cron"] } });
    let refused = platform.patch.patch("/patch/policies/p", &names).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/workflow/restart_service_names", "{refused:#}");
    let option = json!({ "workflow": { "restart_services": "listed", "restart_service_names": ["--now"] } });
    let refused = platform.patch.patch("/patch/policies/p", &option).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/workflow/restart_service_names/0", "{refused:#}");
}
