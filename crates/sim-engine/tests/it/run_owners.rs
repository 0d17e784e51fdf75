//! Owners of a run, one after the other: a guest works for the latest one that it has seen.

use serde_json::{Value, json};

use crate::{World, version_of};

const TRANSACTIONS: &str = "/sim/vms/web-01/guest/transactions";
const OWNER: &str = "/sim/vms/web-01/guest/runs/run-1";

fn transaction(id: &str, epoch: u32) -> Value {
    json!({
        "transaction_id": id, "packages": { "openssl": "3.0.15-1" },
        "owner": { "run_id": "run-1", "epoch": epoch },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_refuses_an_earlier_owner_of_a_run() {
    let world = World::start().await;
    world.create("web-01").await;
    let admitted = world.operator.put(OWNER, &json!({ "epoch": 4 })).await.expect(200);
    assert_eq!(admitted, json!({ "run_id": "run-1", "epoch": 4 }));

    let problem = world.operator.post(TRANSACTIONS, &transaction("run-1:1", 3)).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/run-superseded");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("epoch 3 of run `run-1`") && detail.contains("epoch 4"), "{detail}");
    let problem = world.operator.put(OWNER, &json!({ "epoch": 3 })).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/run-superseded");
    world.pass(60);
    assert_eq!(world.get(TRANSACTIONS).await["items"], json!([]), "the refused owner began a transaction");
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.11-1");

    // The present owner, as often as it asks, and every later one.
    world.post(TRANSACTIONS, transaction("run-1:1", 4), 202).await;
    world.post(TRANSACTIONS, transaction("run-1:1", 4), 202).await;
    world.post(TRANSACTIONS, transaction("run-1:1", 7), 202).await;
    let problem = world.operator.post(TRANSACTIONS, &transaction("run-1:1", 4)).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/run-superseded", "a known transaction is refused as well");
    world.operator.put(OWNER, &json!({ "epoch": 7 })).await.expect(200);
    assert_eq!(world.audited("put_run_owner", "vm/web-01/run/run-1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_of_other_runs_and_guests_are_independent() {
    let world = World::start().await;
    for vm in ["web-01", "web-02"] {
        world.create(vm).await;
    }
    world.operator.put(OWNER, &json!({ "epoch": 4 })).await.expect(200);
    world.operator.put("/sim/vms/web-01/guest/runs/run-2", &json!({ "epoch": 1 })).await.expect(200);
    world.operator.put("/sim/vms/web-02/guest/runs/run-1", &json!({ "epoch": 1 })).await.expect(200);
    world.start_transaction("web-01", "by-hand", json!({ "nginx": "1.22.1-9+deb12u1" }), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revert_does_not_bring_an_earlier_owner_back() {
    let world = World::start().await;
    world.create("web-01").await;
    let snapshot = world.snapshot("web-01", "run:run-1").await;
    world.operator.put(OWNER, &json!({ "epoch": 2 })).await.expect(200);
    world.revert("web-01", &snapshot).await;
    world.pass(60);
    world.operator.put(OWNER, &json!({ "epoch": 1 })).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_owners_are_refused_with_their_place() {
    let world = World::start().await;
    world.create("web-01").await;
    let problem = world.operator.post(TRANSACTIONS, &transaction("run-1:1", 0)).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/owner/epoch", "{problem}");
    let problem = world.operator.put(OWNER, &json!({ "epoch": 0 })).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/epoch", "{problem}");
    world.operator.put("/sim/vms/gone/guest/runs/r", &json!({ "epoch": 1 })).await.expect_problem(404);
}
