//! Kills the whole platform with SIGKILL in every stage of a run and restarts it: the run must still end as expected.
//!
//! Skipped, with a message, where `ansible-playbook` is not installed; `cargo xtask bootstrap` installs it.

mod backups;
mod platform;

use serde_json::{Value, json};

use platform::KillablePlatform;

/// Starts a run of four hosts, kills the platform as soon as `reached`, starts it again and waits for the end.
async fn killed_when(name: &str, fleet: usize, reached: impl Fn(&Value) -> bool) {
    let Some(mut platform) = KillablePlatform::start(name).await else { return };
    let desk = platform.desk.clone();
    desk.fleet(fleet, 0).await;
    desk.policy(json!({ "retries": 0 })).await;
    let run = desk.run().await;
    let mut killed = false;
    if desk.get(&run).await["state"] == "planning" && reached(&desk.get(&run).await) {
        platform.kill_and_start().await;
        killed = true;
    }
    let waiting = desk
        .until(&run, "awaiting approval", |run| {
            run["state"] == "awaiting_approval" && run["change_id"].is_string()
        })
        .await;
    if !killed && reached(&waiting) {
        platform.kill_and_start().await;
        killed = true;
    }
    desk.approve(&run).await;
    if !killed {
        desk.until(&run, "in the expected state", |run| reached(run) || !run["ended_at"].is_null()).await;
        platform.kill_and_start().await;
    }
    let ended = desk.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(ended["hosts"]["succeeded"], json!(fleet), "{ended:#}");
    desk.assert_settled(&run).await;
    platform.stop().await;
}

fn in_state(state: &'static str) -> impl Fn(&Value) -> bool {
    move |run| run["state"] == state
}

fn a_host_is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |run| {
        run["host_states"].as_array().is_some_and(|hosts| hosts.iter().any(|host| host["state"] == state))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_planning() {
    killed_when("planning", 3, in_state("planning")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_awaiting_approval() {
    killed_when("awaiting", 2, in_state("awaiting_approval")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_approval_and_snapshots() {
    killed_when("validating", 3, |run| {
        ["validating", "snapshotting", "executing"].contains(&run["state"].as_str().unwrap_or_default())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_draining() {
    killed_when("draining", 3, a_host_is("draining")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_package_transaction() {
    killed_when("patching", 4, a_host_is("patching")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_services_start_again() {
    killed_when("post-step", 3, |run| a_host_is("post_step")(run) || a_host_is("verifying")(run)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_batches() {
    killed_when("between", 4, |run| run["hosts"]["succeeded"].as_i64() >= Some(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_verifying() {
    killed_when("verifying", 3, in_state("verifying")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_reporting_or_alerting() {
    killed_when("reporting", 2, |run| {
        ["reporting", "alerting"].contains(&run["state"].as_str().unwrap_or_default())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_host_is_rolled_back() {
    let Some(mut platform) = KillablePlatform::start("rollback").await else { return };
    let desk = platform.desk.clone();
    desk.fleet(3, 0).await;
    desk.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-2", "times": 1 })).await.expect(201);
    let run = desk.run().await;
    desk.approve(&run).await;
    desk.until(&run, "failed", a_host_is("failed")).await;
    platform.kill_and_start().await;
    let ended = desk.until_ended(&run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    assert!(a_host_is("rolled_back")(&ended), "{ended:#}");
    let incidents = desk.itsm.get("/itsm/incidents").await.expect(200);
    assert_eq!(incidents["items"].as_array().map(Vec::len), Some(1));
    desk.assert_settled(&run).await;
    platform.stop().await;
}
