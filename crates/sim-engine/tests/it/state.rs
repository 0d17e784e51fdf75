use serde_json::{Value, json};

use crate::{World, eventually, vm};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|vm| vm["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_holds_machines_hypervisors_and_clusters() {
    let world = World::start().await;
    for (id, cluster, hypervisor) in
        [("a", Some("c1"), Some("h1")), ("b", Some("c1"), Some("h2")), ("c", None, None)]
    {
        let mut request = vm(id);
        request["cluster"] = json!(cluster);
        request["hypervisor"] = json!(hypervisor);
        world.post("/sim/vms", request, 201).await;
    }
    let state = world.get("/sim/state").await;
    assert_eq!(ids(&state["vms"]), ["a", "b", "c"]);
    let hosts = json!([
        { "id": "h1", "cluster": "c1", "vms": ["a"] },
        { "id": "h2", "cluster": "c1", "vms": ["b"] },
    ]);
    let clusters = json!([{ "id": "c1", "hypervisors": ["h1", "h2"], "vms": ["a", "b"] }]);
    assert_eq!((&state["hypervisors"], &state["clusters"]), (&hosts, &clusters));
    assert_eq!(world.get("/sim/hosts").await["items"], hosts);
    assert_eq!(world.get("/sim/clusters").await["items"], clusters);
    let first = world.get("/sim/hosts?limit=1").await;
    let token = first["next_page_token"].as_str().unwrap();
    assert_eq!(world.get(&format!("/sim/hosts?page_token={token}")).await["items"], json!([hosts[1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_lists_changed_and_deleted_machines() {
    let world = World::start().await;
    for id in ["a", "b", "c"] {
        world.create(id).await;
    }
    let version = async || world.get("/sim/state").await["version"].as_i64().unwrap();
    let diff = async |since: i64| world.get(&format!("/sim/state/diff?since={since}")).await;
    let start = version().await;
    assert_eq!(ids(&diff(0).await["changed"]), ["a", "b", "c"]);
    assert_eq!(diff(start).await, json!({ "since": start, "version": start, "changed": [], "deleted": [] }));

    world.post("/sim/vms/b/power", json!({ "action": "off" }), 200).await;
    world.operator.delete("/sim/vms/c").await.expect(204);
    let changes = diff(start).await;
    assert_eq!(ids(&changes["changed"]), ["b"]);
    assert_eq!(changes["deleted"], json!(["c"]));
    assert!(changes["version"].as_i64().unwrap() > start);

    let second = version().await;
    world.create("c").await;
    let partition = world.inject("network-partition", json!({ "vm_id": "a" })).await;
    let changes = diff(start).await;
    assert_eq!(
        ids(&changes["changed"]),
        ["a", "b", "c"],
        "a machine that exists again is not listed as deleted"
    );
    assert_eq!(changes["deleted"], json!([]));
    assert_eq!(changes["changed"][0]["reachable"], false);
    assert_eq!(ids(&diff(second).await["changed"]), ["a", "c"]);
    let third = version().await;
    world.operator.delete(&format!("/sim/inject/{}", partition["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(diff(third).await["changed"][0]["reachable"], true);

    for since in ["-1", "999999"] {
        world.operator.get(&format!("/sim/state/diff?since={since}")).await.expect_problem(422);
    }
    world.operator.get("/sim/state/diff?since=x").await.expect_problem(400);
    world.operator.get("/sim/state/diff").await.expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn boot_that_ends_without_a_request_is_a_change() {
    let world = World::start().await;
    let created = world.create("a").await;
    world.post("/sim/vms/a/guest/reboot", json!({}), 202).await;
    let since = world.get("/sim/state").await["version"].as_i64().unwrap();
    world.pass(20);
    let changes = eventually(async || {
        let diff = world.get(&format!("/sim/state/diff?since={since}")).await;
        (!diff["changed"].as_array().unwrap().is_empty()).then_some(diff)
    })
    .await;
    assert_eq!(changes["changed"][0]["reachable"], true);
    assert_ne!(changes["changed"][0]["boot_id"], created["boot_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_machines_are_one_state() {
    let world = World::start().await;
    for block in 0..10 {
        let vms: Vec<Value> = (0..1000).map(|i| vm(&format!("app-{block}-{i:03}"))).collect();
        world.post("/sim/vms/bulk", json!({ "vms": vms }), 201).await;
    }
    let began = std::time::Instant::now();
    let state = world.get("/sim/state").await;
    println!("the state of 10,000 machines took {:?}", began.elapsed());
    assert_eq!(state["vms"].as_array().unwrap().len(), 10_000);
    assert_eq!(state["clusters"][0]["vms"].as_array().unwrap().len(), 10_000);
}
