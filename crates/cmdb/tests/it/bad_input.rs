//! Input that is malformed, unknown, oversized, out of range or of the wrong type is refused with a problem, and leaves nothing.

use reqwest::Method;
use serde_json::json;

use crate::platform::{Platform, column};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_on_every_path_that_takes_one() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let paths = [
        (Method::POST, "/cmdb/cis"),
        (Method::PATCH, "/cmdb/cis/web-01"),
        (Method::PUT, "/cmdb/cis/web-01/maintenance"),
        (Method::PUT, "/cmdb/cis/web-01/patch-state"),
        (Method::POST, "/cmdb/relationships"),
        (Method::POST, "/cmdb/graph"),
    ];
    let nested = "[".repeat(100_000);
    let bodies: Vec<(Vec<u8>, &[u16])> = vec![
        (b"".to_vec(), &[400]),
        (b"[]".to_vec(), &[422]),
        (b"null".to_vec(), &[422]),
        (b"{} x".to_vec(), &[400, 422]),
        (b"{}{}".to_vec(), &[400, 422]),
        (b"{/*x*/}".to_vec(), &[400]),
        (b"{'a':1}".to_vec(), &[400]),
        (b"{\"n\": NaN}".to_vec(), &[400, 422]),
        (b"{\"name\": \"\xff\"}".to_vec(), &[400, 422]),
        (b"{\"name\": \"\\ud800\"}".to_vec(), &[400, 422]),
        (b"\xff\xfe{\0}\0".to_vec(), &[400]),
        (b"{\"__proto__\": {\"admin\": true}, \"constructor\": 1}".to_vec(), &[422]),
        (b"{\"tenant_id\": \"other\", \"approved_by\": \"me\"}".to_vec(), &[422]),
        (nested.into_bytes(), &[400, 422]),
        (vec![b' '; 3 * 1024 * 1024], &[413]),
    ];
    for (method, path) in paths {
        for (body, expected) in &bodies {
            let answer = platform.operator.send(method.clone(), path, JSON, Some(body.clone())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(expected.contains(&answer.status.as_u16()), "{method} {path} {shown}: {}", answer.text);
            let status = answer.status.as_u16();
            answer.expect_problem(status);
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let headers = [("content-type", content_type)];
            let answer = platform.operator.send(method.clone(), path, &headers, Some(b"{}".to_vec())).await;
            answer.expect_problem(415);
        }
    }
    let cis = platform.operator.get("/cmdb/cis?status=any").await.expect(200);
    assert_eq!(column(&cis, "id"), ["web-01"]);
    assert_eq!(cis["items"][0]["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fields_are_named() {
    let platform = Platform::start().await;
    let long = "x".repeat(300);
    for (body, pointer) in [
        (json!({"id": "a\u{0}b", "type": "host"}), "/id"),
        (json!({"id": null, "type": "host"}), "/id"),
        (json!({"id": 1, "type": "host"}), "/id"),
        (json!({"id": "a", "type": "toaster"}), "/type"),
        (json!({"id": "a", "type": "host", "name": long}), "/name"),
        (json!({"id": "a", "type": "host", "name": "a\nb"}), "/name"),
        (json!({"id": "a", "type": "host", "tags": {"env": 1}}), "/tags/env"),
        (json!({"id": "a", "type": "host", "tags": {"a b": "x"}}), "/tags/a b"),
        (json!({"id": "a", "type": "host", "tags": {"env": long}}), "/tags/env"),
        (json!({"id": "a", "type": "host", "attributes": {"a-b": 1}}), "/attributes/a-b"),
        (json!({"id": "a", "type": "host", "attributes": {"criticality": 9}}), "/attributes/criticality"),
        (
            json!({"id": "a", "type": "host", "attributes": {"services": ["--host=evil"]}}),
            "/attributes/services/0",
        ),
        (json!({"id": "a", "type": "host", "name": "web\u{202e}10"}), "/name"),
        (json!({"id": "a", "type": "host", "tags": {"env": "prod\u{200b}"}}), "/tags/env"),
        (json!({"id": "a", "type": "host", "attributes": {"note": "x".repeat(70_000)}}), "/attributes"),
        (json!({"id": "a", "type": "host", "attributes": {"note": "a\u{0}"}}), "/attributes/note"),
        (json!({"id": "a", "type": "host", "reason": "x".repeat(1001)}), "/reason"),
        (json!({"id": "a", "type": "host", "status": "active"}), "/status"),
    ] {
        let problem = platform.operator.post("/cmdb/cis", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let nested = |depth: usize| (1..depth).fold(json!([]), |inner, _| json!([inner]));
    let ci = |id: &str, value| json!({"id": id, "type": "host", "attributes": {"a": value}});
    platform.operator.post("/cmdb/cis", &ci("deep", nested(32))).await.expect(201);
    for depth in [33, 500] {
        let answer = platform.operator.post("/cmdb/cis", &ci("x", nested(depth))).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{depth}: {}", answer.text);
    }
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("t{n}"), json!("x"))).collect();
    platform
        .operator
        .post("/cmdb/cis", &json!({"id": "x", "type": "host", "tags": many}))
        .await
        .expect_problem(422);
    assert_eq!(column(&platform.operator.get("/cmdb/cis").await.expect(200), "id"), ["deep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_and_parameters_are_refused() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    for (path, status) in [
        ("/cmdb/cis/none", 404),
        ("/cmdb/cis/a%2Fb", 404),
        ("/cmdb/cis/a%00b", 404),
        ("/cmdb/cis/..%2f..", 404),
        ("/CMDB/cis", 404),
        ("//cmdb//cis", 404),
        ("/cmdb/cis?limit=0", 422),
        ("/cmdb/cis?limit=1001", 422),
        ("/cmdb/cis?limit=-1", 400),
        ("/cmdb/cis?limit=x", 400),
        ("/cmdb/cis?limit=1&limit=2", 400),
        ("/cmdb/cis?page_token=AAAA", 400),
        ("/cmdb/cis?foo=1", 400),
        ("/cmdb/cis?type=toaster", 400),
        ("/cmdb/cis?status=x", 400),
        ("/cmdb/cis?tag=env", 422),
        ("/cmdb/cis?env=a&tag=env:b", 422),
        ("/cmdb/cis?q=%00", 400),
        ("/cmdb/cis/web-01/history?page_token=e30", 400),
        ("/cmdb/cis/web-01/impact?depth=x", 400),
        ("/cmdb/graph?all=maybe", 400),
        ("/cmdb/ansible/inventory?run_id=x", 400),
    ] {
        platform.operator.get(path).await.expect_problem(status);
    }
    platform.operator.delete("/cmdb/relationships/null").await.expect_problem(404);
    platform.operator.delete("/cmdb/relationships?source=a").await.expect_problem(400);
    platform.operator.send(Method::TRACE, "/cmdb/cis", &[], None).await.expect_problem(405);
    let key = "k".repeat(300);
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let body = json!({"id": "a", "type": "host"}).to_string().into_bytes();
    platform.operator.send(Method::POST, "/cmdb/cis", &headers, Some(body)).await.expect_problem(400);
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let gzipped =
        platform.operator.send(Method::POST, "/cmdb/cis", &headers, Some(b"\x1f\x8b\x08".to_vec())).await;
    assert!(gzipped.status.is_client_error(), "{}", gzipped.text);
    assert_eq!(platform.operator.get("/openapi.json").await.expect(200)["info"]["title"], "CMDB");
}
