use serde_json::json;

use crate::{World, service_of, vm};

#[tokio::test(flavor = "multi_thread")]
async fn guest_shows_what_its_repository_offers() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["guest"]["held_packages"] = json!(["nginx"]);
    request["guest"]["packages"]["vim"] = json!("9.0");
    request["guest"]["packages"]["curl"] = json!("7.1-from-elsewhere");
    request["guest"]["clock_offset_ms"] = json!(-250);
    world.post("/sim/vms", request, 201).await;
    let guest = world.guest("web-01").await;
    assert_eq!(guest["packaging"], "dpkg");
    assert_eq!(guest["reboot_pending"], false);
    assert_eq!(guest["disk_free_percent"], 60.0);
    assert_eq!(guest["clock_offset_ms"], -250);
    let row = |name: &str, version: &str, candidate: Option<&str>, held: bool| json!({ "name": name, "version": version, "candidate": candidate, "held": held });
    assert_eq!(
        guest["packages"],
        json!([
            row("curl", "7.1-from-elsewhere", Some("7.88.1-10"), false),
            row("linux-image-amd64", "6.1.55-1", Some("6.1.119-1"), false),
            row("nginx", "1.22.1-9", Some("1.22.1-9+deb12u1"), true),
            row("openssl", "3.0.11-1", Some("3.0.15-1"), false),
            row("vim", "9.0", None, false),
        ])
    );
    world.operator.get("/sim/vms/nobody/guest").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_stop_start_and_drain() {
    let world = World::start().await;
    world.create("web-01").await;
    let sessions = async || service_of(&world.guest("web-01").await, "nginx")["sessions"].clone();
    assert_eq!(world.control("web-01", "nginx", "drain").await["sessions"], 40);
    world.pass(15);
    assert_eq!(sessions().await, 20);
    world.control("web-01", "nginx", "drain").await;
    world.pass(15);
    assert_eq!(sessions().await, 0, "a second request does not restart the drain");

    let stopped = world.control("web-01", "nginx", "stop").await;
    assert_eq!((&stopped["active"], &stopped["healthy"]), (&json!(false), &json!(false)));
    let started = world.control("web-01", "nginx", "start").await;
    assert_eq!((&started["healthy"], &started["sessions"]), (&json!(true), &json!(40)));
    world.control("web-01", "nginx", "drain").await;
    assert_eq!(world.control("web-01", "nginx", "restart").await["sessions"], 40);

    let path = "/sim/vms/web-01/guest/services/apache2";
    world.operator.post(path, &json!({ "action": "stop" })).await.expect_problem(404);
    assert_eq!(world.audited("control_service", "vm/web-01/service/nginx").await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_with_invalid_configuration_does_not_start_again() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["guest"]["services"][0]["config_valid"] = json!(false);
    world.post("/sim/vms", request, 201).await;
    assert_eq!(service_of(&world.guest("web-01").await, "nginx")["healthy"], true);
    assert_eq!(world.control("web-01", "nginx", "restart").await["active"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn reboot_takes_its_duration_and_happens_once() {
    let world = World::start().await;
    let created = world.create("web-01").await;
    let kernel = json!({ "linux-image-amd64": "6.1.119-1" });
    world.start_transaction("web-01", "t:1", kernel, 202).await;
    let reboot = json!({ "boot_id": created["boot_id"] });
    let path = "/sim/vms/web-01/guest/reboot";
    let problem = world.operator.post(path, &reboot).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/transaction-in-progress");
    world.pass(10);
    assert_eq!(world.guest("web-01").await["reboot_pending"], true);
    world.control("web-01", "nginx", "stop").await;

    let rebooting = world.post(path, reboot.clone(), 202).await;
    assert_eq!(rebooting["reachable"], false);
    for answer in [
        world.operator.get("/sim/vms/web-01/guest").await,
        world.operator.post(path, &reboot).await,
        world.operator.get("/sim/vms/web-01/guest/transactions").await,
        world.operator.get("/sim/vms/web-01/guest/transactions/t:1").await,
        world.operator.post("/sim/vms/web-01/guest/services/nginx", &json!({ "action": "start" })).await,
    ] {
        World::expect_unreachable(answer, "boots until");
    }
    let packages = json!({ "transaction_id": "t:2", "packages": { "openssl": "3.0.15-1" } });
    World::expect_unreachable(
        world.operator.post("/sim/vms/web-01/guest/transactions", &packages).await,
        "boots",
    );

    world.pass(20);
    let guest = world.guest("web-01").await;
    assert_ne!(guest["boot_id"], created["boot_id"]);
    assert_eq!(guest["reboot_pending"], false);
    assert_eq!(service_of(&guest, "nginx")["active"], true);

    let again = world.post(path, reboot, 202).await;
    assert_eq!((&again["reachable"], &again["boot_id"]), (&json!(true), &guest["boot_id"]));
    assert_eq!(world.audited("reboot_guest", "vm/web-01").await, 1);
    assert_eq!(world.post(path, json!({}), 202).await["reachable"], false);
}
