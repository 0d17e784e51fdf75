use reqwest::Method;
use serde_json::json;

use crate::platform::Platform;

const ID: &str = "018f0000-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn reading_needs_a_token_and_writing_an_operator() {
    let platform = Platform::start().await;
    let (nobody, viewer, approver) =
        (platform.patch.nobody(), platform.patch.viewer().await, platform.patch.approver().await);
    let reads = [
        "/patch/compliance".to_owned(),
        "/patch/compliance/web-1".to_owned(),
        "/patch/compliance/export".to_owned(),
        "/patch/compliance/hosts".to_owned(),
        "/patch/compliance/history".to_owned(),
        "/patch/compliance/web-1/packages".to_owned(),
        "/patch/packages/openssl".to_owned(),
        format!("/patch/compliance/scans/{ID}"),
        "/patch/policies".to_owned(),
        "/patch/policies/p".to_owned(),
        "/patch/policies/p/preview".to_owned(),
        "/patch/advisories".to_owned(),
        "/patch/advisories/CVE-2026-90100".to_owned(),
        "/patch/exceptions".to_owned(),
        format!("/patch/exceptions/{ID}"),
        "/patch/calendars".to_owned(),
        format!("/patch/calendars/{ID}"),
        "/patch/runs".to_owned(),
        format!("/patch/runs/{ID}"),
        format!("/patch/runs/{ID}/plan"),
        format!("/patch/runs/{ID}/waves"),
        format!("/patch/runs/{ID}/hosts"),
        format!("/patch/runs/{ID}/events"),
        format!("/patch/runs/{ID}/logs"),
        format!("/patch/runs/{ID}/report"),
        "/patch/predictions".to_owned(),
    ];
    for path in reads {
        nobody.get(&path).await.expect_problem(401);
        let status = viewer.get(&path).await.status.as_u16();
        assert!(matches!(status, 200 | 404), "{path}: {status}");
    }
    let writes = [
        (Method::POST, "/patch/compliance/scan".to_owned()),
        (Method::POST, "/patch/inventory".to_owned()),
        (Method::POST, "/patch/policies".to_owned()),
        (Method::PATCH, "/patch/policies/p".to_owned()),
        (Method::DELETE, "/patch/policies/p".to_owned()),
        (Method::POST, "/patch/advisories/import".to_owned()),
        (Method::POST, "/patch/exceptions".to_owned()),
        (Method::DELETE, format!("/patch/exceptions/{ID}")),
        (Method::POST, "/patch/calendars".to_owned()),
        (Method::DELETE, format!("/patch/calendars/{ID}")),
        (Method::POST, "/patch/runs".to_owned()),
        (Method::POST, format!("/patch/runs/{ID}/cancel")),
        (Method::POST, format!("/patch/runs/{ID}/pause")),
        (Method::POST, format!("/patch/runs/{ID}/resume")),
        (Method::POST, format!("/patch/runs/{ID}/retry-failed")),
        (Method::POST, format!("/patch/runs/{ID}/rollback")),
        (Method::POST, "/patch/advisories/CVE-2026-90100/remediate".to_owned()),
    ];
    let headers = [("content-type", "application/json")];
    let body = json!({}).to_string().into_bytes();
    for (method, path) in writes {
        let send = async |http: &test_support::Http| {
            http.send(method.clone(), &path, &headers, Some(body.clone())).await
        };
        send(&nobody).await.expect_problem(401);
        send(&viewer).await.expect_problem(403);
        send(&approver).await.expect_problem(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_audited() {
    let platform = Platform::start().await;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    platform.operator.patch("/patch/policies/p", &json!({ "retries": 1 })).await.expect(200);
    let log = platform.patch.admin().await.get("/access/audit?object=policy/p").await.expect(200);
    let records = log["items"].as_array().unwrap();
    assert_eq!(
        (&records[0]["action"], &records[1]["action"]),
        (&json!("update_policy"), &json!("create_policy"))
    );
    assert_eq!((&records[0]["before"]["retries"], &records[0]["after"]["retries"]), (&json!(0), &json!(1)));
    assert_eq!(records[0]["subject"], "olivia");
}
