//! Playbooks whose owner is not in control: one that gives no sign of life, and one of an earlier owner.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use test_support::{NEW, OLD};
use tokio::net::TcpListener;

use crate::platform::{Platform, platform};

fn host<'a>(run: &'a Value, id: &str) -> &'a Value {
    run["host_states"].as_array().unwrap().iter().find(|host| host["ci_id"] == id).unwrap()
}

/// The address at which `h-1` is drained as soon as the test says so, and no other host ever.
async fn drain_address(is_drained: Arc<AtomicBool>) -> String {
    let answer = move |Path(host): Path<String>| async move {
        let is_drained = host == "h-1" && is_drained.load(Ordering::SeqCst);
        if is_drained { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{host}", get(answer))).await });
    format!("http://{address}/{{host}}")
}

/// Pauses the playbook of a run, which then writes nothing any more.
async fn pause_playbook(platform: &Platform, run: &str) {
    let mut conn = PgConnection::connect(&platform.database_url).await.unwrap();
    let pid: i64 = sqlx::query_scalar(
        "SELECT (process->>'pid')::bigint FROM patch.run_steps
         WHERE run_id::text = $1 AND process IS NOT NULL AND ended_at IS NULL",
    )
    .bind(run)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    let paused = Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
    assert!(paused.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_know_the_epoch_of_the_owner_that_worked_on_them() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    let mut conn = PgConnection::connect(&platform.database_url).await.unwrap();
    let owners: Vec<(String, i64)> =
        sqlx::query_as("SELECT vm_id, epoch FROM sim.run_owners WHERE run_id = $1 ORDER BY vm_id")
            .bind(&run)
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let hosts: Vec<&str> = owners.iter().map(|(host, _)| host.as_str()).collect();
    assert_eq!(hosts, ["h-1", "h-2"]);
    let last: i64 = sqlx::query_scalar("SELECT lease_epoch FROM patch.runs WHERE id::text = $1")
        .bind(&run)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(owners.iter().all(|(_, epoch)| (1..=last).contains(epoch)), "{owners:?}, {last}");
    // An owner of before wakes up.
    let late = json!({
        "transaction_id": format!("{run}:1:late"), "packages": { "openssl": NEW },
        "owner": { "run_id": run, "epoch": owners[0].1 },
    });
    let claimed = json!({ "epoch": owners[0].1 + 1 });
    platform.sim.put(&format!("/sim/vms/h-1/guest/runs/{run}"), &claimed).await.expect(200);
    let refused = platform.sim.post("/sim/vms/h-1/guest/transactions", &late).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/run-superseded", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_playbook_is_ended_and_reverts_only_hosts_that_it_has_begun_to_update() {
    let mut platform = platform!();
    platform.patch_service.take().unwrap().stop().await;
    platform.playbook_silence_seconds = 15;
    platform.start_patch().await;
    platform.fleet(2, 0).await;
    let is_drained = Arc::new(AtomicBool::new(false));
    let url = drain_address(is_drained.clone()).await;
    let workflow = json!({
        "health_timeout_seconds": 30, "drain_timeout_seconds": 300, "host_timeout_seconds": 600, "drain": { "url": url },
    });
    platform.policy(json!({ "workflow": workflow })).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let drains = |run: &Value, id: &str| {
        let steps = host(run, id)["steps"].as_array().unwrap();
        steps.iter().any(|step| step["step"] == "drain" && step["state"] == "running")
    };
    platform.until(&run, "draining", |run| drains(run, "h-1") && drains(run, "h-2")).await;
    // The next operation of this host is its package transaction.
    let slow = json!({ "vm_id": "h-1", "delay_seconds": 120, "times": 1 });
    platform.sim.post("/sim/inject/slow", &slow).await.expect(201);
    is_drained.store(true, Ordering::SeqCst);
    let is_at = |run: &Value, id: &str, state: &str| host(run, id)["state"] == state;
    platform
        .until(&run, "updating one host and draining the other", |run| {
            is_at(run, "h-1", "patching") && is_at(run, "h-2", "draining")
        })
        .await;
    // It is not ended as long as its heartbeats come, although nothing happens on its hosts.
    tokio::time::sleep(Duration::from_secs(17)).await;
    let working = platform.get(&run).await;
    assert!(is_at(&working, "h-1", "patching") && is_at(&working, "h-2", "draining"), "{working:#}");
    // What is written on the second host since its snapshot, and would be lost with it.
    let by_hand = json!({ "transaction_id": "by-hand", "packages": { "openssl": NEW } });
    platform.sim.post("/sim/vms/h-2/guest/transactions?wait=10", &by_hand).await.expect(200);
    pause_playbook(&platform, &run).await;

    let ended = platform.until_ended(&run).await;
    assert!(is_at(&ended, "h-1", "rolled_back"), "{ended:#}");
    assert!(is_at(&ended, "h-2", "failed"), "{ended:#}");
    for id in ["h-1", "h-2"] {
        let reason = host(&ended, id)["error"].as_str().unwrap();
        assert!(reason.contains("gave no sign of life"), "{ended:#}");
    }
    let version = async |id: &str| {
        let guest = platform.sim.get(&format!("/sim/vms/{id}/guest")).await.expect(200);
        guest["packages"][0]["version"].clone()
    };
    assert_eq!(version("h-1").await, OLD);
    assert_eq!(version("h-2").await, NEW, "a host that was not touched was reverted");
    let admin = platform.sim_service.as_ref().unwrap().admin().await;
    let audit = admin.get("/access/audit?limit=1000").await.expect(200);
    let reverted: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["action"] == "revert_snapshot")
        .filter_map(|record| record["object"].as_str())
        .collect();
    assert_eq!(reverted.len(), 1, "{reverted:?}");
}
