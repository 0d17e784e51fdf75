//! The workflow of a host: its steps are named, shown and timed, and what is said of each is followed.

use serde_json::{Value, json};

use crate::platform::platform;

pub fn steps<'a>(run: &'a Value, host: &str) -> Vec<(&'a str, &'a str)> {
    let host = run["host_states"].as_array().unwrap().iter().find(|it| it["ci_id"] == host).unwrap();
    let steps = host["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["step"].as_str().unwrap(), step["state"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_host_is_named_and_shown_in_its_order() {
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
async fn step_says_whether_its_failure_returns_the_host_to_its_snapshot() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    platform.policy(json!({ "workflow": { "steps": { "update": { "on_failure": "abort" } } } })).await;
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-1" })).await.expect(201);
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    let host = &ended["host_states"][0];
    assert_eq!(host["state"], "failed", "the policy's `rollback` is auto, the step's is not: {ended:#}");
    assert_eq!(steps(&ended, "h-1").last(), Some(&("update", "failed")));
    assert!(host["error"].as_str().unwrap().starts_with("update: "), "{host:#}");
    platform.assert_settled(&run).await;
}
