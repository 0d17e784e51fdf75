use reqwest::Method;
use serde_json::json;

use crate::platform::Platform;

/// Every verb that changes something, with a body it would take.
fn writes() -> Vec<(Method, &'static str, Option<serde_json::Value>)> {
    vec![
        (Method::POST, "/cmdb/cis", Some(json!({"id": "a", "type": "host"}))),
        (Method::PATCH, "/cmdb/cis/web-01", Some(json!({"name": "x"}))),
        (Method::DELETE, "/cmdb/cis/web-01", None),
        (Method::PUT, "/cmdb/cis/web-01/maintenance", Some(json!({"state": "off", "owner": "x"}))),
        (Method::PUT, "/cmdb/cis/web-01/patch-state", Some(json!({"compliance_status": "unknown"}))),
        (Method::POST, "/cmdb/relationships", Some(json!({"source": "a", "target": "b", "type": "uses"}))),
        (Method::DELETE, "/cmdb/relationships/018f4e3a-0000-7000-8000-000000000001", None),
        (Method::DELETE, "/cmdb/relationships?source=a&target=b&type=uses", None),
        (Method::POST, "/cmdb/sync", Some(json!({}))),
        (Method::POST, "/cmdb/import", Some(json!([]))),
    ]
}

const READS: [&str; 8] = [
    "/cmdb/cis",
    "/cmdb/cis/web-01",
    "/cmdb/cis/web-01/relationships",
    "/cmdb/cis/web-01/impact",
    "/cmdb/cis/web-01/history",
    "/cmdb/sync/status",
    "/cmdb/graph?all=true",
    "/cmdb/ansible/inventory",
];

#[tokio::test(flavor = "multi_thread")]
async fn viewers_read_operators_write_and_others_do_neither() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let (nobody, viewer, approver) =
        (platform.service.nobody(), platform.service.viewer().await, platform.service.approver().await);
    for (method, path, body) in writes() {
        let body = body.map(|body| body.to_string().into_bytes());
        let json = [("content-type", "application/json")];
        nobody.send(method.clone(), path, &json, body.clone()).await.expect_problem(401);
        viewer.send(method.clone(), path, &json, body.clone()).await.expect_problem(403);
        approver.send(method, path, &json, body).await.expect_problem(403);
    }
    for path in READS {
        nobody.get(path).await.expect_problem(401);
        viewer.get(path).await.expect(200);
    }
    viewer.post("/cmdb/graph", &json!({"selector": {"all": true}})).await.expect(200);
    let version = platform.operator.get("/cmdb/cis/web-01").await.expect(200)["version"].clone();
    assert_eq!(version, 1, "a refused write changed something");
}
