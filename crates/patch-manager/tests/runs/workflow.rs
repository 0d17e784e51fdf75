//! The workflow of a host: its steps are shown and timed, and the rules of each step are followed.

use serde_json::{Value, json};

use crate::platform::platform;

pub fn steps<'a>(run: &'a Value, host: &str) -> Vec<(&'a str, &'a str)> {
    let host = run["host_states"].as_array().unwrap().iter().find(|it| it["ci_id"] == host).unwrap();
    let steps = host["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["step"].as_str().unwrap(), step["state"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_host_is_shown_in_order() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let names: Vec<&str> = steps(&ended, "h-1").into_iter().map(|(step, _)| step).collect();
    let wanted = domain::workflow::WorkflowStep::ALL.map(domain::workflow::WorkflowStep::name);
    assert_eq!(names, wanted, "{ended:#}");
    assert!(
        steps(&ended, "h-1").iter().all(|(_, state)| matches!(*state, "succeeded" | "skipped")),
        "{:?}",
        steps(&ended, "h-1")
    );
    let host = &ended["host_states"][0];
    assert!(host["steps"].as_array().unwrap().iter().all(|step| step["ended_at"].is_string()), "{host:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_of_a_step_decides_whether_its_failure_rolls_the_host_back() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    platform.policy(json!({ "workflow": { "steps": { "update": { "on_failure": "abort" } } } })).await;
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-1" })).await.expect(201);
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    let host = &ended["host_states"][0];
    assert_eq!(host["state"], "failed", "the rule of the step overrides the policy's `rollback`: {ended:#}");
    assert_eq!(steps(&ended, "h-1").last(), Some(&("update", "failed")));
    assert!(host["error"].as_str().unwrap().starts_with("update: "), "{host:#}");
    platform.assert_settled(&run).await;
}

/// Each host fails at a different step; none is left without its services or in maintenance.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_fails_services_run_and_maintenance_ends() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let slow = json!({ "id": "h-5", "driver": "model", "os": "debian12", "tags": { "env": "prod", "os": "debian12" },
        "guest": { "packages": { "openssl": test_support::OLD }, "patch_seconds": 0.3, "drain_seconds": 600,
            "services": [{ "name": "nginx", "port": 443, "sessions": 5 }] } });
    platform.sim.post("/sim/vms", &slow).await.expect(201);
    let ci = json!({ "id": "h-5", "type": "vm", "tags": { "env": "prod", "os": "debian12" },
        "attributes": { "driver": "model", "services": ["nginx"] } });
    platform.cmdb.post("/cmdb/cis", &ci).await.expect(201);
    let quick = json!({ "health_timeout_seconds": 5, "drain_timeout_seconds": 3, "host_timeout_seconds": 300,
        "steps": { "stop_services": { "on_failure": "abort" } } });
    platform
        .policy(json!({ "max_parallel": 5, "error_threshold": 5, "reboot": "always", "workflow": quick }))
        .await;
    let run = platform.run().await;
    platform.until(&run, "planned", |run| run["change_id"].is_string()).await;
    for (fault, more) in [
        ("disk-full", json!({ "vm_id": "h-1" })),
        ("patch-failure", json!({ "vm_id": "h-2" })),
        ("service-failure", json!({ "vm_id": "h-3", "service": "nginx" })),
    ] {
        platform.sim.post(&format!("/sim/inject/{fault}"), &more).await.expect(201);
    }
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    let failed_at = |host: &str| steps(&ended, host).into_iter().find(|(_, state)| *state == "failed");
    let state = |host: &str| {
        let hosts = ended["host_states"].as_array().unwrap();
        hosts.iter().find(|it| it["ci_id"] == host).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(failed_at("h-1").map(|(step, _)| step), Some("precheck"), "{ended:#}");
    assert_eq!(state("h-1"), "failed", "nothing was changed that a snapshot would undo");
    assert_eq!(failed_at("h-2").map(|(step, _)| step), Some("update"), "{ended:#}");
    assert_eq!(state("h-2"), "rolled_back");
    assert!(
        matches!(failed_at("h-3").map(|(step, _)| step), Some("start_services" | "health")),
        "{:?}",
        steps(&ended, "h-3")
    );
    assert_eq!(state("h-4"), "succeeded", "{ended:#}");
    assert_eq!(failed_at("h-5").map(|(step, _)| step), Some("stop_services"), "{:?}", steps(&ended, "h-5"));
    assert_eq!(state("h-5"), "failed");
    for host in ["h-1", "h-2", "h-4", "h-5"] {
        let guest = platform.sim.get(&format!("/sim/vms/{host}/guest")).await.expect(200);
        assert!(
            guest["services"].as_array().unwrap().iter().all(|service| service["active"] == true),
            "{host}: {guest:#}"
        );
    }
    for host in ["h-1", "h-2", "h-3", "h-4", "h-5"] {
        let ci = platform.cmdb.get(&format!("/cmdb/cis/{host}")).await.expect(200);
        assert!(ci["maintenance"].is_null(), "{host} is left in maintenance: {ci:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_due_on_a_host_in_one_window_reboot_it_once() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    platform.policy(json!({ "reboot": "always", "pilot_host_count": 1, "soak_seconds": 12 })).await;
    let other = json!({ "id": "q", "name": "q", "target_ci_tags": { "env": "prod" }, "reboot": "always" });
    platform.patch.post("/patch/policies", &other).await.expect(201);
    let first = platform.run().await;
    let second = platform.patch.post("/patch/runs", &json!({ "policy_id": "q" })).await.expect(202);
    let second = second["id"].as_str().unwrap().to_owned();
    platform.until(&second, "planned", |run| run["change_id"].is_string()).await;
    platform.approve(&first).await;
    // The pilot is done and the run soaks: the other run now waits for these hosts.
    let soaking = platform.until(&first, "soaking", |run| run["hosts"]["succeeded"] == 1).await;
    platform.approve(&second).await;
    let rest = soaking["plan"]["waves"][1]["hosts"][0].as_str().unwrap().to_owned();
    let (first, second) = (platform.until_ended(&first).await, platform.until_ended(&second).await);
    let rebooted = |run: &Value| {
        let hosts = run["host_states"].as_array().unwrap();
        hosts.iter().find(|host| host["ci_id"] == rest.as_str()).unwrap()["rebooted"] == true
    };
    assert_eq!((&first["state"], &second["state"]), (&json!("succeeded"), &json!("succeeded")), "{second:#}");
    assert!(first["log_tail"].to_string().contains("its reboot is left to run"), "{first:#}");
    assert_eq!((rebooted(&first), rebooted(&second)), (false, true));
}

/// A stop that the first deadline requests has its own deadline, also while the same action is in progress.
#[tokio::test(flavor = "multi_thread")]
async fn second_deadline_passes_during_the_action_that_the_first_one_stopped() {
    let database = test_support::TestDatabase::create().await;
    // The run must end before the current time of this machine, because playbooks set the end of maintenance by it.
    let clock = service_kit::Clock::fixed(chrono::Utc::now() - chrono::TimeDelta::hours(12));
    let Some(platform) = crate::platform::Platform::start_at(database.url().to_owned(), clock.clone()).await
    else {
        return;
    };
    platform.fleet(1, 0).await;
    platform.sim.delete("/sim/vms/h-1").await.expect(204);
    let slow = json!({ "id": "h-1", "driver": "model", "os": "debian12", "tags": { "env": "prod", "os": "debian12" },
        "guest": { "packages": { "openssl": test_support::OLD }, "patch_seconds": 300, "services": [{ "name": "nginx", "port": 443 }] } });
    platform.sim.post("/sim/vms", &slow).await.expect(201);
    let run = platform.run().await;
    platform.approve(&run).await;
    // The run checks its change every two seconds by this clock, which only the test moves.
    let mut now = platform.get(&run).await;
    for _ in 0..600 {
        if now["host_states"][0]["state"] == "patching" {
            break;
        }
        clock.advance(chrono::TimeDelta::milliseconds(500));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        now = platform.get(&run).await;
    }
    assert_eq!(now["host_states"][0]["state"], "patching", "{now:#}");
    clock.advance(chrono::TimeDelta::hours(3));
    let stopping = platform.until(&run, "stopping", |run| run["reason"].is_string()).await;
    assert!(stopping["reason"].as_str().unwrap().contains("longer than its plan allows"), "{stopping:#}");
    assert!(stopping["ended_at"].is_null());
    clock.advance(chrono::TimeDelta::hours(3));
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "halted", "{ended:#}");
    assert!(
        matches!(ended["host_states"][0]["state"].as_str(), Some("timed_out" | "rolled_back")),
        "{ended:#}"
    );
}
