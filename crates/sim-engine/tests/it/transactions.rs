use serde_json::json;

use crate::{World, version_of, vm};

const PATH: &str = "/sim/vms/web-01/guest/transactions";

#[tokio::test(flavor = "multi_thread")]
async fn transaction_runs_once_for_its_duration() {
    let world = World::start().await;
    world.create("web-01").await;
    let wanted = json!({ "nginx": "1.22.1-9+deb12u1", "openssl": "3.0.15-1" });
    let started = world.start_transaction("web-01", "run-1:1", wanted.clone(), 202).await;
    assert_eq!((&started["state"], &started["changed"]), (&json!("running"), &json!([])));
    world.pass(9);
    assert_eq!(world.transaction("web-01", "run-1:1").await, started);
    assert_eq!(version_of(&world.guest("web-01").await, "nginx"), "1.22.1-9");

    world.pass(1);
    let ended = world.transaction("web-01", "run-1:1").await;
    assert_eq!(ended["state"], "completed");
    assert_eq!(ended["reboot_pending"], false);
    assert_eq!(
        ended["changed"],
        json!([
            { "package": "nginx", "from": "1.22.1-9", "to": "1.22.1-9+deb12u1" },
            { "package": "openssl", "from": "3.0.11-1", "to": "3.0.15-1" },
        ])
    );
    assert_eq!(version_of(&world.guest("web-01").await, "nginx"), "1.22.1-9+deb12u1");

    assert_eq!(world.start_transaction("web-01", "run-1:1", wanted.clone(), 200).await, ended);
    let idle = world.start_transaction("web-01", "run-1:2", wanted, 200).await;
    assert_eq!((&idle["state"], &idle["changed"]), (&json!("completed"), &json!([])));
    let history = world.get(PATH).await;
    assert_eq!(history["items"], json!([idle, ended]));
    let first = world.get(&format!("{PATH}?limit=1")).await;
    let token = first["next_page_token"].as_str().unwrap();
    assert_eq!(world.get(&format!("{PATH}?page_token={token}")).await["items"], json!([ended]));
    assert_eq!(world.audited("end_transaction", "vm/web-01/transaction/run-1:1").await, 1);
    world.operator.get(&format!("{PATH}/run-9:1")).await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_transaction_holds_the_package_lock() {
    let world = World::start().await;
    world.create("web-01").await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    let other = json!({ "transaction_id": "t:2", "packages": { "nginx": "1.22.1-9+deb12u1" } });
    let problem = world.operator.post(PATH, &other).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/transaction-in-progress");
    assert!(problem["detail"].as_str().unwrap().contains("`t:1`"), "{problem}");
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.pass(10);
    world.operator.post(PATH, &other).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn installed_or_newer_versions_do_not_change() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["guest"]["packages"]["linux-image-amd64"] = json!("6.1.119-1");
    world.post("/sim/vms", request, 201).await;
    let wanted = json!({ "linux-image-amd64": "6.1.9-1", "nginx": "1.22.1-9", "openssl": "3.0.15-1" });
    world.start_transaction("web-01", "t:1", wanted, 202).await;
    world.pass(10);
    let ended = world.transaction("web-01", "t:1").await;
    assert_eq!(ended["changed"], json!([{ "package": "openssl", "from": "3.0.11-1", "to": "3.0.15-1" }]));
    assert_eq!(ended["reboot_pending"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_package_fails_the_whole_transaction() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["guest"]["held_packages"] = json!(["nginx"]);
    world.post("/sim/vms", request, 201).await;
    for (index, (package, version, reason)) in [
        ("emacs", "29", "Unable to locate package emacs"),
        ("openssl", "4.0", "Version '4.0' for 'openssl' was not found"),
        ("curl", "7.88.1-10", "curl is not installed"),
        ("nginx", "1.22.1-9+deb12u1", "Held packages were changed"),
    ]
    .into_iter()
    .enumerate()
    {
        let wanted = json!({ "linux-image-amd64": "6.1.119-1", package: version });
        let failed = world.start_transaction("web-01", &format!("t:{index}"), wanted, 200).await;
        assert_eq!((&failed["state"], &failed["changed"]), (&json!("failed"), &json!([])));
        assert!(failed["failure"].as_str().unwrap().contains(reason), "{failed}");
    }
    assert_eq!(version_of(&world.guest("web-01").await, "linux-image-amd64"), "6.1.55-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rpm_guests_fail_with_messages_of_dnf() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["os"] = json!("rocky9");
    world.post("/sim/vms", request, 201).await;
    let failed = world.start_transaction("web-01", "t:1", json!({ "nginx": "9" }), 200).await;
    assert_eq!(failed["failure"], "Error: Unable to find a match: nginx", "there is no repository");
    assert_eq!(world.guest("web-01").await["packaging"], "rpm");
}

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_interrupts_a_transaction() {
    let world = World::start().await;
    world.create("web-01").await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.post("/sim/vms/web-01/power", json!({ "action": "reset" }), 200).await;
    world.pass(60);
    let torn = world.transaction("web-01", "t:1").await;
    assert_eq!((&torn["state"], &torn["changed"]), (&json!("failed"), &json!([])));
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.11-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_waits_for_the_end_on_request() {
    let world = World::start_live().await;
    let mut request = vm("web-01");
    request["guest"]["patch_seconds"] = json!(0.3);
    world.post("/sim/vms", request.clone(), 201).await;
    request["id"] = json!("web-02");
    request["guest"]["patch_seconds"] = json!(600);
    world.post("/sim/vms", request, 201).await;
    let body = json!({ "transaction_id": "t:1", "packages": { "openssl": "3.0.15-1" } });
    let ended = world.post(&format!("{PATH}?wait=20"), body.clone(), 200).await;
    assert_eq!(ended["state"], "completed");
    let running = world.post("/sim/vms/web-02/guest/transactions?wait=1", body.clone(), 202).await;
    assert_eq!(running["state"], "running");
    world.operator.post(&format!("{PATH}?wait=31"), &body).await.expect_problem(422);
    world.operator.post(&format!("{PATH}?wait=soon"), &body).await.expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_without_duration_has_ended_at_once() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["guest"]["patch_seconds"] = json!(0);
    world.post("/sim/vms", request, 201).await;
    let ended = world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 200).await;
    assert_eq!(ended["state"], "completed");
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.15-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_names_the_address_of_the_transaction() {
    let world = World::start().await;
    world.create("web-01").await;
    let body = json!({ "transaction_id": "läuft/1:1", "packages": { "openssl": "3.0.15-1" } });
    let answer = world.operator.post(PATH, &body).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("{PATH}/l%C3%A4uft%2F1:1"));
    let started = answer.expect(202);
    assert_eq!(world.get(&location).await, started);
    world.pass(10);
    let ended = world.post(PATH, body, 200).await;
    assert_eq!(ended["state"], "completed", "the same request returns its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_run_the_replaced_library_until_they_are_started_again() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["guest"]["library_packages"] = json!(["openssl"]);
    world.operator.post("/sim/vms", &request).await.expect(201);
    let stale = async || {
        let guest = world.guest("web-01").await;
        assert_eq!(guest["stale_services"]["state"], "checked", "{guest}");
        let services = guest["stale_services"]["services"].as_array().unwrap().iter();
        services.map(|service| service["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.start_transaction("web-01", "t:1", json!({ "nginx": "1.22.1-9+deb12u1" }), 202).await;
    world.pass(10);
    assert_eq!(stale().await, [""; 0]);
    world.start_transaction("web-01", "t:2", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.pass(10);
    assert_eq!(stale().await, ["exporter", "nginx"]);
    let restart = json!({ "action": "restart" });
    world.operator.post("/sim/vms/web-01/guest/services/nginx", &restart).await.expect(200);
    assert_eq!(stale().await, ["exporter"]);
    world.operator.post("/sim/vms/web-01/guest/reboot", &json!({})).await.expect(202);
    world.pass(20);
    assert_eq!(stale().await, [""; 0]);
}
