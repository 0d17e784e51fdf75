use serde_json::json;

use crate::{World, vm};

#[tokio::test(flavor = "multi_thread")]
async fn vm_is_created_read_and_deleted() {
    let world = World::start().await;
    let answer = world.operator.post("/sim/vms", &vm("web-01")).await;
    assert_eq!(answer.headers["location"], "/sim/vms/web-01");
    let created = answer.expect(201);
    assert_eq!(created["power"], "on");
    assert_eq!(created["reachable"], true);
    assert_eq!(created["address"], json!(null));
    assert_eq!(world.get("/sim/vms/web-01").await, created);
    assert_eq!(world.audited("create_vm", "vm/web-01").await, 1);

    world.operator.delete("/sim/vms/web-01").await.expect(204);
    world.operator.get("/sim/vms/web-01").await.expect_problem(404);
    world.operator.delete("/sim/vms/web-01").await.expect_problem(404);
    assert_eq!(world.audited("delete_vm", "vm/web-01").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_id_is_refused() {
    let world = World::start().await;
    world.create("web-01").await;
    let problem = world.operator.post("/sim/vms", &vm("WEB-01.")).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/vm-exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_driver_is_named() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["driver"] = json!("linux");
    let problem = world.operator.post("/sim/vms", &request).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/driver");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("`linux`") && detail.contains("`model`"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn same_key_creates_once() {
    let world = World::start().await;
    let send = async |id: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
        let body = vm(id).to_string().into_bytes();
        world.operator.send(reqwest::Method::POST, "/sim/vms", &headers, Some(body)).await
    };
    let first = send("web-01").await.expect(201);
    assert_eq!(send("web-01").await.expect(201), first);
    send("web-02").await.expect_problem(422);
    world.operator.get("/sim/vms/web-02").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_created_at_once_or_not_at_all() {
    let world = World::start().await;
    let request = |range: std::ops::Range<u32>| json!({ "vms": range.map(|i| vm(&format!("app-{i:04}"))).collect::<Vec<_>>() });
    assert_eq!(world.post("/sim/vms/bulk", request(0..1000), 201).await, json!({ "created": 1000 }));
    let problem = world.operator.post("/sim/vms/bulk", &request(999..1002)).await.expect_problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("`app-0999`"), "{problem}");
    world.operator.get("/sim/vms/app-1001").await.expect_problem(404);
    world.operator.post("/sim/vms/bulk", &request(1000..2001)).await.expect_problem(422);
    world.operator.post("/sim/vms/bulk", &json!({ "vms": [] })).await.expect_problem(422);
    let twice = json!({ "vms": [vm("twin"), vm("twin")] });
    world.operator.post("/sim/vms/bulk", &twice).await.expect_problem(409);
    let mut wrong = vm("app-2000");
    wrong["guest"]["patch_seconds"] = json!(-1);
    let problem =
        world.operator.post("/sim/vms/bulk", &json!({ "vms": [vm("ok"), wrong] })).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/vms/1/guest/patch_seconds");
    world.operator.get("/sim/vms/ok").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_has_filters_and_pages() {
    let world = World::start().await;
    for (id, os, hypervisor, env) in [
        ("a", "debian12", "hv-01", "production"),
        ("b", "rocky9", "hv-01", "staging"),
        ("c", "debian12", "hv-02", "staging"),
    ] {
        let mut request = vm(id);
        request["os"] = json!(os);
        request["hypervisor"] = json!(hypervisor);
        request["tags"]["env"] = json!(env);
        world.post("/sim/vms", request, 201).await;
    }
    world.post("/sim/vms/b/power", json!({ "action": "off" }), 200).await;
    let ids = async |query: &str| {
        let page = world.get(&format!("/sim/vms{query}")).await;
        let items = page["items"].as_array().unwrap();
        items.iter().map(|vm| vm["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
    };
    assert_eq!(ids("").await, "a,b,c");
    assert_eq!(ids("?os=debian12").await, "a,c");
    assert_eq!(ids("?hypervisor=hv-01").await, "a,b");
    assert_eq!(ids("?cluster=none").await, "");
    assert_eq!(ids("?power=off").await, "b");
    assert_eq!(ids("?tag=env:staging").await, "b,c");
    assert_eq!(ids("?tag=env:staging,role:web&os=rocky9").await, "b");

    let first = world.get("/sim/vms?limit=2").await;
    let token = first["next_page_token"].as_str().unwrap();
    let rest = world.get(&format!("/sim/vms?limit=2&page_token={token}")).await;
    assert_eq!(rest["items"][0]["id"], "c");
    assert!(rest.get("next_page_token").is_none());
    for (query, status) in [
        ("limit=0", 422),
        ("limit=1001", 422),
        ("limit=x", 400),
        ("page_token=AAAA", 400),
        ("tag=env", 422),
        ("power=half", 400),
        ("foo=1", 400),
    ] {
        world.operator.get(&format!("/sim/vms?{query}")).await.expect_problem(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cycle_starts_a_new_boot() {
    let world = World::start().await;
    let created = world.create("web-01").await;
    let power =
        async |action: &str| world.post("/sim/vms/web-01/power", json!({ "action": action }), 200).await;

    assert_eq!(power("on").await["boot_id"], created["boot_id"], "a running machine does not change");
    let off = power("off").await;
    assert_eq!((&off["power"], &off["reachable"]), (&json!("off"), &json!(false)));
    World::expect_unreachable(world.operator.get("/sim/vms/web-01/guest").await, "is off");

    let booting = power("on").await;
    assert_eq!((&booting["power"], &booting["reachable"]), (&json!("on"), &json!(false)));
    World::expect_unreachable(world.operator.get("/sim/vms/web-01/guest").await, "boots until");
    world.pass(20);
    let up = world.get("/sim/vms/web-01").await;
    assert_eq!(up["reachable"], true);
    assert_ne!(up["boot_id"], created["boot_id"]);

    power("reset").await;
    world.pass(20);
    assert_ne!(world.get("/sim/vms/web-01").await["boot_id"], up["boot_id"]);
    assert_eq!(world.audited("set_power", "vm/web-01").await, 4);
}
