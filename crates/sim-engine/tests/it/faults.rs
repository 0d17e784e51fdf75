use serde_json::{Value, json};

use crate::{World, service_of, version_of};

async fn fault(world: &World, id: &Value) -> Value {
    let listed = world.get("/sim/inject").await;
    let found = listed["items"].as_array().unwrap().iter().find(|fault| fault["id"] == *id).cloned();
    found.expect("the fault is listed")
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_failure_stops_half_way_and_revert_undoes_it() {
    let world = World::start().await;
    world.create("web-01").await;
    let snapshot = world.snapshot("web-01", "run:1").await;
    let injected = world.inject("patch-failure", json!({ "vm_id": "web-01", "times": 1 })).await;
    let wanted =
        json!({ "linux-image-amd64": "6.1.119-1", "nginx": "1.22.1-9+deb12u1", "openssl": "3.0.15-1" });
    world.start_transaction("web-01", "t:1", wanted.clone(), 202).await;
    world.pass(10);
    let failed = world.transaction("web-01", "t:1").await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["failure"].as_str().unwrap().contains("nginx"), "{failed}");
    assert_eq!(failed["changed"].as_array().unwrap().len(), 1);
    assert_eq!(failed["reboot_pending"], true);
    let guest = world.guest("web-01").await;
    assert_eq!(version_of(&guest, "linux-image-amd64"), "6.1.119-1");
    assert_eq!(version_of(&guest, "openssl"), "3.0.11-1");
    let spent = fault(&world, &injected["id"]).await;
    assert_eq!((&spent["times_left"], &spent["strikes"]), (&json!(0), &json!(1)));
    let object = format!("fault/{}", injected["id"].as_str().unwrap());
    assert_eq!(world.audited("strike_fault", &object).await, 1);

    world.revert("web-01", &snapshot).await;
    assert_eq!(version_of(&world.guest("web-01").await, "linux-image-amd64"), "6.1.55-1");
    world.start_transaction("web-01", "t:2", wanted, 202).await;
    world.pass(10);
    assert_eq!(world.transaction("web-01", "t:2").await["state"], "completed", "the fault is spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_fails_before_anything_changes() {
    let world = World::start().await;
    world.create("web-01").await;
    let injected = world.inject("disk-full", json!({ "vm_id": "web-01" })).await;
    assert_eq!(world.guest("web-01").await["disk_free_percent"], 0.0);
    let failed = world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 200).await;
    assert_eq!((&failed["state"], &failed["changed"]), (&json!("failed"), &json!([])));
    assert!(failed["failure"].as_str().unwrap().contains("space"), "{failed}");
    let path = format!("/sim/inject/{}", injected["id"].as_str().unwrap());
    world.operator.delete(&path).await.expect(204);
    world.operator.delete(&path).await.expect_problem(404);
    assert_eq!(world.guest("web-01").await["disk_free_percent"], 60.0);
    world.start_transaction("web-01", "t:2", json!({ "openssl": "3.0.15-1" }), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn named_service_does_not_come_back_from_an_update() {
    let world = World::start().await;
    world.create("web-01").await;
    let body = json!({ "vm_id": "web-01", "service": "nginx", "times": 2 });
    world.inject("service-failure", body).await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.pass(10);
    let guest = world.guest("web-01").await;
    let nginx = service_of(&guest, "nginx");
    assert_eq!((&nginx["active"], &nginx["healthy"]), (&json!(true), &json!(false)));
    assert_eq!(service_of(&guest, "exporter")["healthy"], true);
    assert_eq!(world.control("web-01", "exporter", "restart").await["healthy"], true);
    assert_eq!(world.control("web-01", "nginx", "restart").await["healthy"], false, "the second strike");
    assert_eq!(world.control("web-01", "nginx", "restart").await["healthy"], true, "spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_comes_back_from_a_reboot_until_revert() {
    let world = World::start().await;
    world.create("web-01").await;
    let snapshot = world.snapshot("web-01", "run:1").await;
    world.inject("service-failure", json!({ "vm_id": "web-01", "times": 1 })).await;
    world.post("/sim/vms/web-01/guest/reboot", json!({}), 202).await;
    world.pass(20);
    let guest = world.guest("web-01").await;
    for name in ["nginx", "exporter"] {
        assert_eq!(service_of(&guest, name)["healthy"], false);
    }
    world.revert("web-01", &snapshot).await;
    assert_eq!(service_of(&world.guest("web-01").await, "nginx")["healthy"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_host_comes_back_with_power_or_revert() {
    let world = World::start().await;
    world.create("web-01").await;
    let snapshot = world.snapshot("web-01", "run:1").await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    let injected = world.inject("host-failure", json!({ "vm_id": "web-01" })).await;
    assert_eq!((&injected["strikes"], &injected["times_left"]), (&json!(1), &json!(0)));
    let vm = world.get("/sim/vms/web-01").await;
    assert_eq!((&vm["power"], &vm["reachable"]), (&json!("on"), &json!(false)));
    World::expect_unreachable(world.operator.get("/sim/vms/web-01/guest").await, "has failed");
    world.post("/sim/vms/web-01/power", json!({ "action": "on" }), 200).await;
    world.pass(20);
    assert_eq!(world.transaction("web-01", "t:1").await["state"], "failed");
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.11-1");

    world.inject("host-failure", json!({ "vm_id": "web-01", "times": 2 })).await;
    assert_eq!(world.revert("web-01", &snapshot).await["reachable"], true);
    let reboot = world.operator.post("/sim/vms/web-01/guest/reboot", &json!({})).await;
    World::expect_unreachable(reboot, "has failed");
    world.post("/sim/vms/web-01/power", json!({ "action": "reset" }), 200).await;
    world.pass(20);
    world.post("/sim/vms/web-01/guest/reboot", json!({}), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_guests_take_longer() {
    let world = World::start().await;
    world.create("web-01").await;
    world.inject("slow", json!({ "vm_id": "web-01", "delay_seconds": 5, "times": 2 })).await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.pass(14);
    assert_eq!(world.transaction("web-01", "t:1").await["state"], "running");
    world.pass(1);
    assert_eq!(world.transaction("web-01", "t:1").await["state"], "completed");
    world.post("/sim/vms/web-01/guest/reboot", json!({}), 202).await;
    world.pass(24);
    World::expect_unreachable(world.operator.get("/sim/vms/web-01/guest").await, "boots");
    world.pass(1);
    world.guest("web-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_behind_a_partition_runs_on() {
    let world = World::start().await;
    world.create("web-01").await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    let injected = world.inject("network-partition", json!({ "vm_id": "web-01" })).await;
    let vm = world.get("/sim/vms/web-01").await;
    assert_eq!((&vm["power"], &vm["reachable"]), (&json!("on"), &json!(false)));
    World::expect_unreachable(world.operator.get("/sim/vms/web-01/guest/transactions/t:1").await, "network");
    world.pass(10);
    let snapshot = world.snapshot("web-01", "run:1").await;
    world.operator.delete(&format!("/sim/inject/{}", injected["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(world.transaction("web-01", "t:1").await["state"], "completed");
    assert_eq!(world.get("/sim/vms/web-01").await["boot_id"], vm["boot_id"]);
    world.inject("network-partition", json!({ "vm_id": "web-01", "times": 2 })).await;
    world.revert("web-01", &snapshot).await;
    for _ in 0..2 {
        World::expect_unreachable(world.operator.get("/sim/vms/web-01/guest").await, "network");
    }
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.15-1", "as in the snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn same_seed_causes_the_same_failures() {
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let world = World::start().await;
        world.create("web-01").await;
        let body = json!({ "vm_id": "web-01", "service": "nginx", "probability": 0.5, "seed": u64::MAX });
        world.inject("service-failure", body).await;
        let mut healthy = Vec::new();
        for _ in 0..24 {
            healthy.push(world.control("web-01", "nginx", "restart").await["healthy"] == true);
        }
        outcomes.push(healthy);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].contains(&true) && outcomes[0].contains(&false), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_has_filters_and_pages() {
    let world = World::start().await;
    world.create("web-01").await;
    world.create("web-02").await;
    world.inject("slow", json!({ "vm_id": "web-01", "delay_seconds": 1 })).await;
    world.inject("disk-full", json!({ "vm_id": "web-02" })).await;
    let count = async |query: &str| {
        world.get(&format!("/sim/inject{query}")).await["items"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("?vm_id=web-02").await, 1);
    assert_eq!(count("?kind=slow").await, 1);
    assert_eq!(count("?kind=slow&vm_id=web-02").await, 0);
    assert_eq!(count("?limit=1").await, 1);
    world.operator.delete("/sim/vms/web-02").await.expect(204);
    assert_eq!(count("").await, 1, "faults are deleted with their machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_faults_are_refused() {
    let world = World::start().await;
    world.create("web-01").await;
    for (kind, body, pointer) in [
        ("slow", json!({ "vm_id": "web-01" }), "/delay_seconds"),
        ("slow", json!({ "vm_id": "web-01", "delay_seconds": 1e9 }), "/delay_seconds"),
        ("disk-full", json!({ "vm_id": "web-01", "delay_seconds": 1 }), "/delay_seconds"),
        ("disk-full", json!({ "vm_id": "web-01", "service": "nginx" }), "/service"),
        ("service-failure", json!({ "vm_id": "web-01", "service": "apache2" }), "/service"),
        ("patch-failure", json!({ "vm_id": "web-01", "probability": 0 }), "/probability"),
        ("patch-failure", json!({ "vm_id": "web-01", "probability": 1.5 }), "/probability"),
        ("patch-failure", json!({ "vm_id": "web-01", "times": 0 }), "/times"),
        ("patch-failure", json!({ "vm_id": "nobody" }), "/vm_id"),
    ] {
        let problem = world.operator.post(&format!("/sim/inject/{kind}"), &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{kind} {body}");
    }
    world.operator.post("/sim/inject/meteor", &json!({ "vm_id": "web-01" })).await.expect_problem(404);
    assert_eq!(world.get("/sim/inject").await["items"], json!([]));
}
