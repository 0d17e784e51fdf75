//! Hosts and customers on one platform, some with the same id: no query about hosts sees a customer.

use serde_json::{Value, json};

use crate::{
    platform::{Platform, platform},
    releases::{agreed, customers, deploy, release},
};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_patched_after_a_release_was_deployed() {
    let platform = platform!();
    platform.fleet(2, 1).await;
    customer_with_the_id_of_a_host(&platform).await;
    deploy_release(&platform).await;
    patch_hosts(&platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_deployed_after_hosts_were_patched() {
    let platform = platform!();
    platform.fleet(2, 1).await;
    customer_with_the_id_of_a_host(&platform).await;
    patch_hosts(&platform).await;
    deploy_release(&platform).await;
    // A finished deployment is not an observation of a host.
    simulate(&platform, 200).await;
}

/// One customer, with the id of a host; a rollout to it ends at once instead of watching it for some minutes.
async fn customer_with_the_id_of_a_host(platform: &Platform) {
    customers(platform, &[("h-1", "demo")], json!({})).await;
    let config = json!({ "policies": { "settle_seconds": 0 } });
    agreed(platform, platform.patch.post("/patch/release-config/apply", &config).await).await;
}

/// A new run for the failed subjects, or a rollback, would select the host with the id of the customer.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_rollout_is_neither_retried_nor_rolled_back_as_a_run_of_hosts() {
    let platform = platform!();
    platform.fleet(2, 1).await;
    customer_with_the_id_of_a_host(&platform).await;
    release(&platform, "v1.0.1", "security").await;
    let run = deploy(&platform, "v1.0.1").await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    let runs =
        async || platform.patch.get("/patch/runs").await.expect(200)["items"].as_array().unwrap().len();
    let before = runs().await;
    for verb in ["retry-failed", "rollback"] {
        let order = json!({ "reason": "try" });
        let problem =
            platform.patch.post(&format!("/patch/runs/{run}/{verb}"), &order).await.expect_problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("its subjects are customers"), "{problem}");
    }
    assert_eq!(runs().await, before);
}

/// A host run and a rollout under way at the same time hold the lock of `h-1` each.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_and_a_customer_of_one_id_do_not_wait_for_each_other() {
    let platform = platform!();
    platform.fleet(2, 1).await;
    let slow = json!({ "version": "v1.0.0", "deploy_seconds": 20 });
    customer_with_the_id_of_a_host(&platform).await;
    platform.sim.put("/sim/customers/h-1", &slow).await.expect(200);
    release(&platform, "v1.0.1", "security").await;
    let rollout = deploy(&platform, "v1.0.1").await;
    platform.until(&rollout, "deploying", |run| run["host_states"][0]["state"] == "patching").await;
    patch_hosts(&platform).await;
    assert_eq!(platform.until_ended(&rollout).await["state"], "succeeded");
}

async fn deploy_release(platform: &Platform) {
    release(platform, "v1.0.1", "security").await;
    let run = deploy(platform, "v1.0.1").await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
}

async fn patch_hosts(platform: &Platform) {
    simulate(platform, 200).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(ended["hosts"]["succeeded"], 2);
    platform.assert_settled(&run).await;
}

async fn simulate(platform: &Platform, status: u16) -> Value {
    platform.patch.post("/patch/plans/simulate", &json!({ "policy_id": "p" })).await.expect(status)
}
