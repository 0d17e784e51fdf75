//! Bad bodies at every path that takes JSON: refused with a problem, nothing stored, never a 5xx.

use reqwest::Method;

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_everywhere() {
    let platform = Platform::start().await;
    platform.add_policy("p", serde_json::json!({ "env": "dev" }), None).await;
    let customer = serde_json::json!({ "slug": "acme", "name": "ACME", "tier": "standard", "current_version": "v1.0.0",
        "health": { "kind": "sim" }, "deployer": { "kind": "sim" } });
    platform.operator.post("/patch/customers", &customer).await.expect(201);
    let release = serde_json::json!({ "version": "v1.0.1", "type": "documentation" });
    platform.operator.post("/patch/releases", &release).await.expect(201);
    let paths = [
        (Method::POST, "/patch/policies"),
        (Method::PATCH, "/patch/policies/p"),
        (Method::POST, "/patch/compliance/scan"),
        (Method::POST, "/patch/inventory"),
        (Method::POST, "/patch/exceptions"),
        (Method::POST, "/patch/calendars"),
        (Method::POST, "/patch/runs"),
        (Method::POST, "/patch/runs/018f0000-0000-7000-8000-000000000000/cancel"),
        (Method::POST, "/patch/runs/018f0000-0000-7000-8000-000000000000/pause"),
        (Method::POST, "/patch/runs/018f0000-0000-7000-8000-000000000000/resume"),
        (Method::POST, "/patch/runs/018f0000-0000-7000-8000-000000000000/retry-failed"),
        (Method::POST, "/patch/runs/018f0000-0000-7000-8000-000000000000/rollback"),
        (Method::POST, "/patch/advisories/CVE-2026-90100/remediate"),
        (Method::POST, "/patch/plans/simulate"),
        (Method::POST, "/patch/customers"),
        (Method::PATCH, "/patch/customers/acme"),
        (Method::POST, "/patch/customers/acme/reports"),
        (Method::POST, "/patch/releases"),
        (Method::PATCH, "/patch/releases/v1.0.1"),
        (Method::PUT, "/patch/releases/v1.0.1/checklist/1"),
        (Method::POST, "/patch/releases/v1.0.1/plan"),
        (Method::POST, "/patch/releases/v1.0.1/deploy"),
        (Method::POST, "/patch/releases/v1.0.1/emergency"),
        (Method::POST, "/patch/releases/v1.0.1/rollback"),
        (Method::POST, "/patch/release-config/apply"),
    ];
    let deep = "[".repeat(100_000).into_bytes();
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let large = vec![b' '; 10 << 20];
    let bodies: [(&str, &[u8], &[u16]); 22] = [
        ("nul in a string", br#"{"name":"a\u0000b"}"#, &[422]),
        ("lone surrogate", br#"{"name":"\ud800"}"#, &[400, 422]),
        ("deep nesting", &deep, &[400, 422]),
        ("NaN", br#"{"n":NaN}"#, &[400, 422]),
        ("infinity", br#"{"max_parallel":1e999}"#, &[400, 422]),
        ("big integer", br#"{"retries":123456789012345678901234567890}"#, &[422]),
        ("float for an integer", br#"{"retries":1.5}"#, &[422]),
        ("text for an integer", br#"{"retries":"1"}"#, &[422]),
        ("bool for an integer", br#"{"retries":true}"#, &[422]),
        ("null for what is required", br#"{"name":null}"#, &[422]),
        ("empty", b"", &[400]),
        ("array for an object", b"[]", &[400, 422]),
        ("text after the end", br#"{"a":1}x"#, &[400, 422]),
        ("two documents", b"{}{}", &[400, 422]),
        ("byte order mark", b"\xEF\xBB\xBF{}", &[400, 422]),
        ("utf-16", &utf16, &[400, 422]),
        ("latin-1", b"{\"name\":\"\xff\"}", &[400, 422]),
        ("comment", b"{/*x*/}", &[400, 422]),
        ("single quotes", b"{'a':1}", &[400, 422]),
        ("prototype", br#"{"__proto__":{"admin":true},"constructor":1}"#, &[422]),
        ("mass assignment", br#"{"approved_by":"me","version":99,"updated_by":"root"}"#, &[422]),
        ("10 MiB", &large, &[413]),
    ];
    let headers = [("content-type", "application/json")];
    for (method, path) in &paths {
        for (name, body, expected) in &bodies {
            let answer = platform.operator.send(method.clone(), path, &headers, Some(body.to_vec())).await;
            let status = answer.status.as_u16();
            assert!(expected.contains(&status), "{name} at {path}: {status} {}", answer.text);
            answer.expect_problem(status);
        }
        // Package lists of `rpm` and `dpkg-query` may be sent as plain text.
        let plain = (*path != "/patch/inventory").then_some("text/plain");
        for content_type in plain.into_iter().chain(["application/x-www-form-urlencoded"]) {
            let headers = [("content-type", content_type)];
            platform
                .operator
                .send(method.clone(), path, &headers, Some(b"{}".to_vec()))
                .await
                .expect_problem(415);
        }
        platform.operator.send(method.clone(), path, &[], Some(b"{}".to_vec())).await.expect_problem(415);
        platform
            .operator
            .send(method.clone(), &format!("{path}?nothing=1"), &headers, Some(b"{}".to_vec()))
            .await
            .expect_problem(400);
    }
    let policies = platform.operator.get("/patch/policies").await.expect(200);
    assert_eq!(
        (policies["items"].as_array().unwrap().len(), &policies["items"][0]["version"]),
        (1, &serde_json::json!(1))
    );
    for path in ["/patch/customers", "/patch/releases"] {
        let all = platform.operator.get(path).await.expect(200);
        let items = all["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["revision"]), (1, &serde_json::json!(1)), "{all:#}");
    }
    assert_eq!(platform.operator.get("/patch/runs").await.expect(200)["items"], serde_json::json!([]));
    for path in ["/patch/exceptions", "/patch/calendars"] {
        assert_eq!(platform.operator.get(path).await.expect(200)["items"], serde_json::json!([]));
    }
    let scans: i64 =
        sqlx::query_scalar("SELECT count(*) FROM patch.scans").fetch_one(&platform.patch.pool).await.unwrap();
    assert_eq!(scans, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_read_strictly() {
    let platform = Platform::start().await;
    for path in [
        "/patch/policies?limit=many",
        "/patch/policies?limit=-1",
        "/patch/policies?limit=1&limit=2",
        "/patch/advisories?kev=perhaps",
        "/patch/advisories?text=%00",
        "/patch/exceptions?ci_id=a%20b",
        "/patch/compliance?env=prod",
        "/patch/compliance/export?policy_id=..",
        "/patch/customers?tier=gold",
        "/patch/deployments?version=1.0",
    ] {
        platform.operator.get(path).await.expect_problem(400);
    }
    platform.operator.get("/patch/policies/%2e%2e").await.expect_problem(404);
    platform.operator.get("/patch/compliance/scans/1").await.expect_problem(404);
    platform.operator.send(Method::PUT, "/patch/policies/p", &[], None).await.expect_problem(405);
}
