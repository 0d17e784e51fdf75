//! Synchronisation, against a server that says what a sim-engine would.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::Clock;
use tokio::sync::Semaphore;

use crate::platform::{Platform, column, today};

/// Says its state, or fails, once it is let.
#[derive(Clone)]
struct Machines {
    state: Arc<Mutex<Option<Value>>>,
    gate: Arc<Semaphore>,
}

impl Machines {
    fn set(&self, vms: Value) {
        let state = json!({"version": 1, "vms": vms, "hypervisors": [], "clusters": []});
        *self.state.lock().unwrap() = Some(state);
    }

    async fn serve(&self) -> String {
        let machines = self.clone();
        let answer = async move || {
            let _passed = machines.gate.acquire().await.unwrap();
            let state = machines.state.lock().unwrap().clone();
            state.map(|state| state.to_string()).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
        };
        let json = [("content-type", "application/json")];
        let app =
            Router::new().route("/sim/state", get(async move || answer().await.map(|text| (json, text))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }
}

fn vm(id: &str, os: &str, tags: Value) -> Value {
    json!({"id": id, "driver": "model", "os": os, "cluster": "east", "hypervisor": null, "tags": tags, "power": "on",
        "reachable": true, "address": null, "boot_id": "018f4e3a-0000-7000-8000-000000000001",
        "created_at": "2026-03-01T00:00:00Z", "updated_at": "2026-03-01T00:00:00Z"})
}

async fn start(clock: Clock) -> (Platform, Machines) {
    let machines = Machines { state: Arc::default(), gate: Arc::new(Semaphore::new(1)) };
    let url = machines.serve().await;
    (Platform::start_with(&url, clock).await, machines)
}

async fn settled(platform: &Platform) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let sync = platform.operator.get("/cmdb/sync/status").await.expect(200);
        if sync["status"] != "running" {
            return sync;
        }
        assert!(tokio::time::Instant::now() < deadline, "still running: {sync}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn synchronise(platform: &Platform) -> Value {
    let started = platform.operator.post("/cmdb/sync", &json!({})).await;
    assert_eq!(started.headers["location"], "/cmdb/sync/status");
    assert_eq!(started.expect(202)["status"], "running");
    settled(platform).await
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_become_cis_and_tags_of_operators_win() {
    let (platform, machines) = start(Clock::system()).await;
    let operator = &platform.operator;
    assert_eq!(operator.get("/cmdb/sync/status").await.expect(200)["status"], "never");
    platform.ci("web-01", "host", json!({"env": "prod"})).await;
    machines.set(json!([
        vm("web-01", "rocky9", json!({"env": "dev"})),
        vm("web-02", "rocky9", json!({"env": "dev"}))
    ]));
    let sync = synchronise(&platform).await;
    assert_eq!(
        json!([sync["status"], sync["created"], sync["updated"]]),
        json!(["succeeded", 1, 1]),
        "{sync}"
    );
    let web = operator.get("/cmdb/cis/web-01").await.expect(200);
    assert_eq!(web["type"], "host");
    assert_eq!(web["tags"], json!({"env": "prod", "os": "rocky9", "cluster": "east"}));
    assert_eq!(web["attributes"], json!({"driver": "model"}));
    assert_eq!(operator.get("/cmdb/cis/web-02").await.expect(200)["type"], "vm");

    // Nothing new: nothing changes, no version is raised.
    let sync = synchronise(&platform).await;
    assert_eq!(json!([sync["created"], sync["updated"], sync["unchanged"]]), json!([0, 0, 2]));

    operator.patch("/cmdb/cis/web-02", &json!({"tags": {"env": "prod", "cluster": null}})).await.expect(200);
    machines.set(json!([vm("web-02", "rocky10", json!({"env": "test"}))]));
    let sync = synchronise(&platform).await;
    assert_eq!(sync["missing"], json!(["web-01"]));
    let web = operator.get("/cmdb/cis/web-02").await.expect(200);
    assert_eq!(web["tags"], json!({"env": "prod", "os": "rocky10"}));
    let history = operator.get("/cmdb/cis/web-02/history").await.expect(200);
    assert_eq!(column(&history, "action"), ["update_ci", "update_ci", "create_ci"]);
    assert_eq!(history["items"][0]["why"], "synchronised with the sim-engine");

    operator.delete("/cmdb/cis/web-02").await.expect(204);
    synchronise(&platform).await;
    assert_eq!(operator.get("/cmdb/cis/web-02").await.expect(200)["status"], "decommissioned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_synchronisation_says_why_and_changes_nothing() {
    let (platform, machines) = start(Clock::system()).await;
    let sync = synchronise(&platform).await;
    assert_eq!(sync["status"], "failed");
    assert!(sync["error"].as_str().unwrap().contains("sim-engine"), "{sync}");
    machines.set(json!([vm("web-01", "rocky9", json!({}))]));
    assert_eq!(synchronise(&platform).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runs_at_a_time_and_a_dead_one_is_taken_over() {
    let clock = Clock::fixed(today());
    let (platform, machines) = start(clock.clone()).await;
    machines.set(json!([vm("web-01", "rocky9", json!({}))]));
    let held = machines.gate.clone().acquire_owned().await.unwrap();
    platform.operator.post("/cmdb/sync", &json!({})).await.expect(202);
    platform.operator.post("/cmdb/sync", &json!({})).await.expect_problem(409);
    clock.advance(TimeDelta::seconds(121));
    let overdue = platform.operator.get("/cmdb/sync/status").await.expect(200);
    assert_eq!(overdue["status"], "failed");
    platform.operator.post("/cmdb/sync", &json!({})).await.expect(202);
    drop(held);
    // Both go on; only the one that took over is written down.
    let sync = settled(&platform).await;
    assert_eq!(json!([sync["status"], sync["created"]]), json!(["succeeded", 1]), "{sync}");
    let history = platform.operator.get("/cmdb/cis/web-01/history").await.expect(200);
    assert_eq!(column(&history, "action"), ["create_ci"]);
}
