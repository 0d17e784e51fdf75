use chrono::TimeDelta;
use serde_json::json;

use crate::{World, eventually, service_of, version_of};

const PATH: &str = "/sim/vms/web-01/snapshots";

#[tokio::test(flavor = "multi_thread")]
async fn same_owner_and_purpose_return_the_same_snapshot() {
    let world = World::start().await;
    world.create("web-01").await;
    let first = world.snapshot("web-01", "run:1").await;
    assert!(first["size_bytes"].as_i64().unwrap() > 0);
    let body = json!({
        "owner": "run:1", "purpose": "before patching", "expires_at": world.clock.now() + TimeDelta::hours(9),
    });
    assert_eq!(world.post(PATH, body, 200).await, first);
    let other = world.snapshot("web-01", "run:2").await;
    let listed = world.get(PATH).await;
    assert_eq!(listed["items"], json!([first, other]));
    assert_eq!(world.get(&format!("{PATH}?limit=1")).await["items"], json!([first]));

    let one = format!("{PATH}/{}", first["id"].as_str().unwrap());
    world.operator.delete(&one).await.expect(204);
    world.operator.delete(&one).await.expect_problem(404);
    world.operator.post(&format!("{one}/revert"), &json!({})).await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn revert_restores_everything() {
    let world = World::start().await;
    world.create("web-01").await;
    let before = world.guest("web-01").await;
    let snapshot = world.snapshot("web-01", "run:1").await;

    let wanted = json!({ "linux-image-amd64": "6.1.119-1", "openssl": "3.0.15-1" });
    world.start_transaction("web-01", "t:1", wanted, 202).await;
    world.pass(10);
    world.control("web-01", "nginx", "stop").await;
    let patched = world.guest("web-01").await;
    assert_eq!(patched["reboot_pending"], true);
    assert_eq!(version_of(&patched, "openssl"), "3.0.15-1");
    assert_eq!(service_of(&patched, "nginx")["active"], false);

    let vm = world.revert("web-01", &snapshot).await;
    assert_eq!(vm["reachable"], true);
    assert_ne!(vm["boot_id"], before["boot_id"]);
    let mut after = world.guest("web-01").await;
    assert_eq!(after["boot_id"], vm["boot_id"]);
    for field in ["boot_id", "booted_at"] {
        after[field] = before[field].clone();
    }
    assert_eq!(after, before);
    assert_eq!(
        world.transaction("web-01", "t:1").await["state"],
        "completed",
        "transactions are not reverted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revert_interrupts_the_running_transaction_and_starts_a_machine_that_is_off() {
    let world = World::start().await;
    world.create("web-01").await;
    let snapshot = world.snapshot("web-01", "run:1").await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.revert("web-01", &snapshot).await;
    let torn = world.transaction("web-01", "t:1").await;
    assert_eq!((&torn["state"], &torn["changed"]), (&json!("failed"), &json!([])));
    assert!(torn["failure"].as_str().unwrap().starts_with("interrupted"), "{torn}");
    world.pass(60);
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.11-1");

    world.post("/sim/vms/web-01/power", json!({ "action": "off" }), 200).await;
    assert_eq!(world.revert("web-01", &snapshot).await["power"], "on");
    world.guest("web-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_snapshots_are_deleted() {
    let world = World::start().await;
    world.create("web-01").await;
    let snapshot = world.snapshot("web-01", "run:1").await;
    let id = snapshot["id"].as_str().unwrap();
    world.pass(3601);
    world.operator.post(&format!("{PATH}/{id}/revert"), &json!({})).await.expect_problem(404);
    let object = format!("vm/web-01/snapshot/{id}");
    eventually(async || (world.audited("expire_snapshot", &object).await == 1).then_some(())).await;
    assert_eq!(world.get(PATH).await["items"], json!([]));
    let again = world.snapshot("web-01", "run:1").await;
    assert_ne!(again["id"], snapshot["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_snapshots_are_refused() {
    let world = World::start().await;
    world.create("web-01").await;
    let now = world.clock.now();
    for (body, pointer) in [
        (json!({ "owner": "run:1", "expires_at": now }), "/expires_at"),
        (json!({ "owner": "run:1" }), "/duration_seconds"),
        (json!({ "owner": "run:1", "duration_seconds": 0 }), "/duration_seconds"),
        (json!({ "owner": "run:1", "duration_seconds": 366 * 86_400 + 1 }), "/duration_seconds"),
        (
            json!({ "owner": "run:1", "duration_seconds": 1, "expires_at": now + TimeDelta::hours(1) }),
            "/expires_at",
        ),
        (json!({ "owner": "run:1", "expires_at": now + TimeDelta::days(367) }), "/expires_at"),
        (json!({ "owner": "", "expires_at": now + TimeDelta::hours(1) }), "/owner"),
        (json!({ "owner": "x".repeat(201), "expires_at": now + TimeDelta::hours(1) }), "/owner"),
    ] {
        let problem = world.operator.post(PATH, &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    for i in 0..32 {
        world.snapshot("web-01", &format!("run:{i}")).await;
    }
    let one_more = json!({ "owner": "run:32", "expires_at": now + TimeDelta::hours(1) });
    world.operator.post(PATH, &one_more).await.expect_problem(409);
    world.operator.post("/sim/vms/nobody/snapshots", &one_more).await.expect_problem(404);
}
