use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::World;

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_many_concurrent_transactions_gets_the_lock() {
    let world = World::start().await;
    world.create("web-01").await;
    let answers = join_all((0..12).map(|i| {
        let operator = world.operator.clone();
        async move {
            let body = json!({ "transaction_id": format!("t:{i}"), "packages": { "openssl": "3.0.15-1" } });
            operator.post("/sim/vms/web-01/guest/transactions", &body).await
        }
    }))
    .await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 11, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn same_transaction_sent_concurrently_runs_once() {
    let world = World::start().await;
    world.create("web-01").await;
    let send =
        || async { world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await };
    let answers = join_all((0..12).map(|_| send())).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    world.pass(10);
    // Many reads end it, and so does the housekeeping.
    let read = || async { world.transaction("web-01", "t:1").await };
    let ended = join_all((0..12).map(|_| read())).await;
    assert!(ended.iter().all(|one| one["state"] == "completed" && one == &ended[0]), "{ended:?}");
    assert_eq!(world.audited("end_transaction", "vm/web-01/transaction/t:1").await, 1);
    assert_eq!(world.audited("start_transaction", "vm/web-01/transaction/t:1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_requested_concurrently_is_taken_once() {
    let world = World::start().await;
    world.create("web-01").await;
    let body = json!({ "owner": "run:1", "expires_at": world.clock.now() + chrono::TimeDelta::hours(1) });
    let answers = join_all((0..8).map(|_| world.operator.post("/sim/vms/web-01/snapshots", &body))).await;
    let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status.as_u16() == 201).count(), 1);
}

/// A client that polls the diffs while machines change misses no change.
#[tokio::test(flavor = "multi_thread")]
async fn client_that_polls_the_diffs_misses_nothing() {
    let world = World::start().await;
    let ids: Vec<String> = (0..24).map(|i| format!("web-{i:02}")).collect();
    for id in &ids {
        world.create(id).await;
    }
    let start = world.get("/sim/state").await["version"].as_i64().unwrap();
    let world = &world;
    let change = join_all(ids.iter().map(|id| async move {
        world.post(&format!("/sim/vms/{id}/power"), json!({ "action": "off" }), 200).await;
    }));
    let follow = async {
        let (mut since, mut seen) = (start, BTreeSet::new());
        for _ in 0..1000 {
            let diff = world.get(&format!("/sim/state/diff?since={since}")).await;
            since = diff["version"].as_i64().unwrap();
            let off = diff["changed"].as_array().unwrap().iter().filter(|vm| vm["power"] == "off");
            seen.extend(off.map(|vm: &Value| vm["id"].as_str().unwrap().to_owned()));
            if seen.len() == ids.len() {
                break;
            }
        }
        seen
    };
    let (_, seen) = futures::future::join(change, follow).await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ids);
}
