//! A database that was restored or copied: nothing is worked on until an administrator confirms.

use std::time::Duration;

use local_postgres::{EphemeralPostgres, LocalPostgres};
use serde_json::{Value, json};
use service_kit::Clock;
use sqlx::{Connection, PgConnection};
use test_support::{Http, TestDatabase, dump, restore};
use tokio::net::TcpListener;

use crate::platform::{Platform, platform};

/// Longer than the intervals at which a patch-manager looks for work.
const A_WHILE: Duration = Duration::from_secs(8);

async fn until_held(patch: &Http, cause: &str) -> Value {
    for _ in 0..300 {
        let found = patch.get("/patch/installation").await;
        if found.status == 200 && found.json["hold"]["cause"] == cause {
            return found.json;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not held because `{cause}`: {}", patch.get("/patch/installation").await.text);
}

fn of_desk(platform: &Platform, base: &str) -> Http {
    Http::new(base, platform.patch.token().map(str::to_owned))
}

async fn stop_all(platform: &mut Platform) {
    platform.patch_service.take().unwrap().stop().await;
    platform.cmdb_service.take().unwrap().stop().await;
    platform.itsm_service.take().unwrap().stop().await;
    platform.sim_service.take().unwrap().stop().await;
}

async fn start_all(platform: &mut Platform) {
    platform.start_sim().await;
    platform.start_cmdb().await;
    platform.start_itsm().await;
    platform.start_patch().await;
}

/// How many transactions each host has.
async fn done(platform: &Platform, hosts: usize) -> Vec<usize> {
    let mut all = Vec::new();
    for n in 1..=hosts {
        let path = format!("/sim/vms/h-{n}/guest/transactions");
        let found = platform.sim.get(&path).await.expect(200);
        all.push(found["items"].as_array().map_or(0, Vec::len));
    }
    all
}

async fn until_one_succeeded(platform: &Platform, run: &str) {
    platform
        .until(run, "in its second batch", |run| {
            run["hosts"]["succeeded"].as_i64() >= Some(1) && run["state"] == "executing"
        })
        .await;
}

/// Asserts that a held run is not worked on, before and after the confirmation, and continues when it is resumed.
async fn assert_waits_for_people(platform: &Platform, run: &str, hosts: usize) {
    let paused = platform.until(run, "paused", |run| run["pause_cause"] == "needs_operator").await;
    assert_eq!(paused["state"], "paused", "{paused:#}");
    let before = done(platform, hosts).await;
    let resume = format!("/patch/runs/{run}/resume");
    let refused = platform.patch.post(&resume, &json!({})).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/needs-operator", "{refused:#}");
    platform.patch.post("/patch/runs", &json!({ "policy_id": "p" })).await.expect_problem(409);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(done(platform, hosts).await, before, "nothing is patched while it is held");

    let confirm = json!({ "reason": "a test" });
    platform.patch.post("/patch/installation/confirm", &confirm).await.expect_problem(403);
    let admin = platform.patch_service.as_ref().unwrap().admin().await;
    admin.post("/patch/installation/confirm", &json!({ "reason": " " })).await.expect_problem(422);
    let confirmed = admin.post("/patch/installation/confirm", &confirm).await.expect(200);
    assert!(confirmed["hold"].is_null() && confirmed["epoch"] == 2, "{confirmed:#}");
    assert_eq!(confirmed["held_runs"][0]["id"], run, "{confirmed:#}");
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(platform.get(run).await["pause_cause"], "needs_operator");
    assert_eq!(done(platform, hosts).await, before, "a confirmation resumes no run");

    platform.patch.post(&resume, &json!({ "reason": "checked" })).await.expect(202);
    let ended = platform.until_ended(run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert!(ended["log_tail"].to_string().contains("hosts that wait to be patched again"), "{ended:#}");
    platform.assert_settled(run).await;
    let audit = admin.get("/access/audit?object=installation").await.expect(200).to_string();
    assert!(audit.contains("hold_installation") && audit.contains("confirm_installation"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_restore_in_mid_run_patches_nothing_without_an_operator() {
    let mut platform = platform!();
    platform.fleet(6, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    until_one_succeeded(&platform, &run).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let url = platform.database_url.clone();
    dump(&url, &file).await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    stop_all(&mut platform).await;
    restore(&url, &file).await;
    start_all(&mut platform).await;
    let held = until_held(&platform.patch, "moved").await;
    assert!(held["hold"]["detail"].as_str().unwrap().contains("cluster/database/table"), "{held:#}");
    assert_waits_for_people(&platform, &run, 6).await;
}

/// Stops the server, copies its files, and starts it again, as a base backup or a snapshot of its disk does.
fn copy_files(server: &LocalPostgres, from: &str, to: &str) {
    let root = server.socket_dir().parent().unwrap().to_owned();
    server.stop_server();
    let target = root.join(to);
    let _ = std::fs::remove_dir_all(&target);
    let copied =
        std::process::Command::new("cp").arg("-a").arg(root.join(from)).arg(target).status().unwrap();
    assert!(copied.success());
    server.start_server().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn older_files_under_a_running_service_are_recognised_before_anything_is_patched() {
    let server = tokio::task::spawn_blocking(|| EphemeralPostgres::start().unwrap()).await.unwrap();
    let mut connection = PgConnection::connect(&server.maintenance_url()).await.unwrap();
    sqlx::query("CREATE DATABASE platform").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let Some(platform) = Platform::start_at(server.url("platform"), Clock::system()).await else { return };
    platform.fleet(6, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    until_one_succeeded(&platform, &run).await;
    let server = tokio::task::spawn_blocking(move || {
        copy_files(&server, "data", "backup");
        server
    })
    .await
    .unwrap();
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    let _server = tokio::task::spawn_blocking(move || {
        copy_files(&server, "backup", "data");
        server
    })
    .await
    .unwrap();
    until_held(&platform.patch, "older").await;
    assert_waits_for_people(&platform, &run, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_with_a_new_folder_joins_while_another_is_at_work() {
    let mut platform = platform!();
    platform.fleet(2, 0).await;
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = platform.patch_in(&platform.database_url, folder.path(), listener).await;
    let client = of_desk(&platform, &second.base);
    for _ in 0..300 {
        let found = client.get("/patch/installation").await.expect(200);
        assert!(found["hold"].is_null(), "{found:#}");
        if found["folders"].as_array().map(Vec::len) == Some(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It works without the first.
    platform.patch_service.take().unwrap().stop().await;
    let run = client.post("/patch/runs", &json!({ "policy_id": "p" })).await.expect(202);
    let path = format!("/patch/runs/{}", run["id"].as_str().unwrap());
    for _ in 0..600 {
        if client.get(&path).await.expect(200)["state"] == "awaiting_approval" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the second replica claims no run");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_folder_that_nobody_vouches_for_needs_an_operator() {
    let mut platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "executing", |run| run["state"] == "executing").await;
    platform.patch_service.take().unwrap().stop().await;
    let folder = tempfile::tempdir().unwrap();
    let before = done(&platform, 2).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = platform.patch_in(&platform.database_url, folder.path(), listener).await;
    let client = of_desk(&platform, &other.base);
    until_held(&client, "unknown_folder").await;
    assert_eq!(done(&platform, 2).await, before);
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_of_the_database_is_not_worked_with_and_the_original_is() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.until(&run, "awaiting approval", |run| run["state"] == "awaiting_approval").await;
    let (folder, copy) = (tempfile::tempdir().unwrap(), TestDatabase::create_empty().await);
    let file = folder.path().join("dump");
    dump(&platform.database_url, &file).await;
    restore(copy.url(), &file).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let clone = platform.patch_in(copy.url(), folder.path(), listener).await;
    let of_clone = of_desk(&platform, &clone.base);
    until_held(&of_clone, "moved").await;
    platform.approve(&run).await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    let original = platform.patch.get("/patch/installation").await.expect(200);
    assert!(original["hold"].is_null(), "{original:#}");
    let paused = of_clone.get(&format!("/patch/runs/{run}")).await.expect(200);
    assert_eq!((&paused["state"], &paused["pause_cause"]), (&json!("paused"), &json!("needs_operator")));
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_is_not_a_restore() {
    let mut platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "executing", |run| run["state"] == "executing").await;
    platform.patch_service.take().unwrap().stop().await;
    platform.start_patch().await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    let found = platform.patch.get("/patch/installation").await.expect(200);
    assert!(found["hold"].is_null() && found["epoch"] == 1, "{found:#}");
}
