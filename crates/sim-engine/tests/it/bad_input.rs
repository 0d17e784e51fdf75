use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{World, vm};

/// Every path that takes a body, with a body it accepts.
fn writes(world: &World) -> Vec<(Method, &'static str, Value)> {
    let expires_at = world.clock.now() + chrono::TimeDelta::hours(1);
    let packages = json!({ "transaction_id": "t:1", "packages": { "openssl": "3.0.15-1" } });
    vec![
        (Method::POST, "/sim/vms", vm("new-01")),
        (Method::POST, "/sim/vms/bulk", json!({ "vms": [vm("new-02")] })),
        (Method::POST, "/sim/vms/web-01/power", json!({ "action": "on" })),
        (
            Method::POST,
            "/sim/vms/web-01/snapshots",
            json!({ "owner": "o", "purpose": "p", "expires_at": expires_at }),
        ),
        (Method::POST, "/sim/vms/web-01/guest/transactions", packages),
        (Method::POST, "/sim/vms/web-01/guest/services/nginx", json!({ "action": "start" })),
        (Method::POST, "/sim/vms/web-01/guest/reboot", json!({ "boot_id": Uuid::nil() })),
        (Method::PUT, "/sim/repositories/rocky9", json!({ "packages": { "nginx": ["1"] } })),
        (
            Method::POST,
            "/sim/inject/slow",
            json!({ "vm_id": "web-01", "probability": 1, "times": 1, "delay_seconds": 1, "seed": 1 }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn body_that_is_not_a_json_object_is_refused_everywhere() {
    let world = World::start().await;
    world.create("web-01").await;
    let nested = "[".repeat(2000);
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("empty body", b"".to_vec(), &[400]),
        ("array for object", b"[]".to_vec(), &[422]),
        ("trailing garbage", b"{\"a\":1}x".to_vec(), &[400, 422]),
        ("two documents", b"{}{}".to_vec(), &[400, 422]),
        ("byte order mark", b"\xef\xbb\xbf{}".to_vec(), &[400]),
        ("utf-16", utf16, &[400]),
        ("latin-1", b"{\"name\":\"\xff\"}".to_vec(), &[400, 422]),
        ("comment", b"{/*x*/}".to_vec(), &[400]),
        ("single quotes", b"{'a':1}".to_vec(), &[400]),
        ("NaN", b"{\"n\":NaN}".to_vec(), &[400, 422]),
        ("deep nesting", nested.into_bytes(), &[400, 422]),
        ("unknown field", b"{\"__proto__\":{\"admin\":true},\"constructor\":1}".to_vec(), &[422]),
        ("lone surrogate", b"{\"\\ud800\":1}".to_vec(), &[400, 422]),
    ];
    let headers = [("content-type", "application/json")];
    for (method, path, _) in writes(&world) {
        for (name, body, expected) in &bodies {
            let answer = world.operator.send(method.clone(), path, &headers, Some(body.clone())).await;
            let status = answer.status.as_u16();
            assert!(expected.contains(&status), "{name} to {path}: {status} {}", answer.text);
            answer.expect_problem(status);
        }
        for content_type in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/x-www-form-urlencoded")],
        ] {
            let answer = world.operator.send(method.clone(), path, content_type, Some(b"{}".to_vec())).await;
            answer.expect_problem(415);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_a_wrong_type_is_a_server_error() {
    let world = World::start().await;
    world.create("web-01").await;
    let values = [
        "null",
        "true",
        "-1",
        "1.5",
        "1e999",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[null]",
        "{\"a\\u0000\":\"b\"}",
        "{\"\":\"\"}",
        "\"../..\"",
        "\"name;drop table\"",
    ];
    let headers = [("content-type", "application/json")];
    for (method, path, body) in writes(&world) {
        let mut fields: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
        fields.push("unknown".to_owned());
        for field in fields {
            for value in values {
                let mut changed = body.clone();
                changed[&field] = json!("REPLACED");
                let text = changed.to_string().replace("\"REPLACED\"", value);
                let answer =
                    world.operator.send(method.clone(), path, &headers, Some(text.into_bytes())).await;
                let status = answer.status.as_u16();
                assert!(status < 500, "{method} {path} with {field} = {value}: {}", answer.text);
                if value.contains("u0000") || field == "unknown" {
                    assert!((400..500).contains(&status), "{path} {field} = {value}: {status}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_refused() {
    let world = World::start().await;
    world.create("web-01").await;
    let headers = [("content-type", "application/json")];
    // Only one byte too many: a client that continues to send may lose the answer when the connection is closed.
    let body = vec![b' '; service_kit::server::BODY_LIMIT + 1];
    world
        .operator
        .send(Method::POST, "/sim/vms/web-01/power", &headers, Some(body))
        .await
        .expect_problem(413);
    let body = vec![b' '; service_kit::server::BODY_LIMIT + 1];
    let answer = world.operator.send(Method::POST, "/sim/vms/bulk", &headers, Some(body)).await;
    assert!(
        answer.expect_problem(400)["detail"].as_str().unwrap().contains("empty"),
        "many machines may be large"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_addresses_are_not_found() {
    let world = World::start().await;
    world.create("web-01").await;
    for path in [
        "/sim/vms/null%00",
        "/sim/vms/..%2f..",
        "/sim/vms/a%2Fb",
        "/sim/vms/localhost",
        "/sim/vms/-o",
        "/SIM/VMS",
        "//sim//vms",
        "/sim/vms/web-01/snapshots/null/revert",
        "/sim/vms/web-01/guest/transactions/%00",
        "/sim/vms/web-01/guest/transactions/a%0Ab",
        "/sim/repositories/%00",
        "/sim/repositories/nothing",
    ] {
        let answer = world.operator.get(path).await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 400 | 404 | 405), "{path}: {status} {}", answer.text);
    }
    let stop = json!({ "action": "stop" });
    for name in ["%00", "..%2f", &"x".repeat(3000)] {
        let path = format!("/sim/vms/web-01/guest/services/{name}");
        world.operator.post(&path, &stop).await.expect_problem(404);
    }
    world.operator.delete("/sim/inject/not-a-uuid").await.expect_problem(404);
    world.operator.delete("/sim/vms/web-01/snapshots/not-a-uuid").await.expect_problem(404);
    world.operator.get("/sim/vms?tag=a%00:b").await.expect_problem(400);
    world.operator.delete("/sim/inject/00000000-0000-0000-0000-000000000000?x=1").await.expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_errors_of_a_machine_are_reported() {
    let world = World::start().await;
    let mut request = vm("web-01");
    request["os"] = json!("windows11");
    request["cluster"] = json!("");
    request["guest"]["disk_free_percent"] = json!(101);
    request["guest"]["reboot_seconds"] = json!(1e9);
    request["guest"]["packages"]["a b"] = json!("1");
    request["guest"]["services"][1]["name"] = json!("nginx");
    let problem = world.operator.post("/sim/vms", &request).await.expect_problem(422);
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        [
            "/os",
            "/cluster",
            "/guest/packages/a b",
            "/guest/reboot_seconds",
            "/guest/disk_free_percent",
            "/guest/services/1/name"
        ]
    );
    let mut request = vm("localhost");
    world.operator.post("/sim/vms", &request).await.expect_problem(422);
    request["id"] = json!("web-01");
    request["driver"] = json!("vsphere");
    world.operator.post("/sim/vms", &request).await.expect_problem(422);
}
