//! Every path that takes a body, against every kind of body that is none.

use reqwest::Method;
use serde_json::json;

use crate::lab::Lab;

/// What, the bytes, the statuses that are an answer to them.
fn bodies() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let nested = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    vec![
        ("nothing", b"".to_vec(), &[400]),
        ("not JSON", b"{/*x*/}".to_vec(), &[400]),
        ("single quotes", b"{'a':1}".to_vec(), &[400]),
        ("NaN", b"{\"n\":NaN}".to_vec(), &[400, 422]),
        ("trailing garbage", b"{}x".to_vec(), &[400, 422]),
        ("two documents", b"{}{}".to_vec(), &[400, 422]),
        ("not UTF-8", b"{\"description\":\"\xff\"}".to_vec(), &[400, 422]),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), &[400]),
        ("a lone surrogate", br#"{"description":"\ud800"}"#.to_vec(), &[400, 422]),
        ("deep nesting", nested, &[400, 422]),
        ("an array", b"[]".to_vec(), &[422]),
        ("null", b"null".to_vec(), &[422]),
        ("a number out of range", b"{\"n\":1e999}".to_vec(), &[400, 422]),
        ("an unknown field", br#"{"approved_by":"me"}"#.to_vec(), &[422]),
        ("prototype keys", br#"{"__proto__":{"admin":true}}"#.to_vec(), &[422]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_everywhere_and_change_nothing() {
    let lab = Lab::start().await;
    let change = lab.draft(&lab.normal()).await;
    lab.operator
        .post("/itsm/incidents", &json!({"short_description": "x", "severity": "low"}))
        .await
        .expect(201);
    lab.operator.post("/itsm/problems", &json!({"short_description": "x"})).await.expect(201);
    let before = lab.operator.get(&change).await.expect(200);
    let mut paths = vec![
        (Method::POST, "/itsm/changes".to_owned(), &lab.operator),
        (Method::PATCH, change.clone(), &lab.operator),
        (Method::POST, "/itsm/incidents".to_owned(), &lab.operator),
        (Method::PATCH, "/itsm/incidents/INC0000001".to_owned(), &lab.operator),
        (Method::POST, "/itsm/incidents/INC0000001/resolve".to_owned(), &lab.operator),
        (Method::POST, "/itsm/problems".to_owned(), &lab.operator),
        (Method::PATCH, "/itsm/problems/PRB0000001".to_owned(), &lab.operator),
        (Method::POST, "/itsm/notifications".to_owned(), &lab.operator),
    ];
    for verb in ["execute", "complete", "fail", "cancel"] {
        paths.push((Method::POST, format!("{change}/{verb}"), &lab.operator));
    }
    for verb in ["approve", "reject"] {
        paths.push((Method::POST, format!("{change}/{verb}"), &lab.approver));
    }
    for (method, path, http) in paths {
        for (what, body, statuses) in bodies() {
            let json = [("content-type", "application/json")];
            let answer = http.send(method.clone(), &path, &json, Some(body)).await;
            let status = answer.status.as_u16();
            assert!(statuses.contains(&status), "{what} to {method} {path}: {status} {}", answer.text);
            answer.expect_problem(status);
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let headers = [("content-type", content_type)];
            http.send(method.clone(), &path, &headers, Some(b"{}".to_vec())).await.expect_problem(415);
        }
        let nul =
            br#"{"short_description":"a\u0000b","description":"a\u0000b","comment":"a\u0000b"}"#.to_vec();
        let json = [("content-type", "application/json")];
        http.send(method.clone(), &path, &json, Some(nul)).await.expect_problem(422);
        let long_key = "k".repeat(10_000);
        if method == Method::POST {
            let headers = [("content-type", "application/json"), ("idempotency-key", long_key.as_str())];
            http.send(method.clone(), &path, &headers, Some(b"{}".to_vec())).await.expect_problem(400);
        }
    }
    assert_eq!(lab.operator.get(&change).await.expect(200), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn body_beyond_the_limit_is_refused_before_it_is_read() {
    let lab = Lab::start().await;
    for path in ["changes", "incidents", "problems", "notifications"] {
        let request = reqwest::Client::new()
            .post(format!("{}/itsm/{path}", lab.service.base))
            .bearer_auth(lab.operator.token().unwrap())
            .header("content-type", "application/json")
            .body(vec![b' '; 3 * 1024 * 1024]);
        // The service answers and closes at once; a client that is still sending may see the end of the connection only.
        match request.send().await {
            Ok(answer) => assert_eq!(answer.status(), 413),
            Err(error) => assert!(error.is_request() || error.is_body(), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_parameters_are_checked() {
    let lab = Lab::start().await;
    for list in ["changes", "incidents", "problems", "notifications"] {
        for (query, status) in [
            ("limit=0", 422),
            ("limit=1001", 422),
            ("limit=-1", 400),
            ("limit=x", 400),
            ("limit=1&limit=2", 400),
            ("page_token=AAAA", 400),
            ("foo=1", 400),
            ("sort=name;drop%20table", 400),
            ("state=asleep", 400),
            ("state=%00", 400),
        ] {
            lab.operator.get(&format!("/itsm/{list}?{query}")).await.expect_problem(status);
        }
    }
    lab.operator.get("/itsm/changes?ci=a%20b").await.expect_problem(400);
    lab.operator.get("/itsm/notifications/not-a-uuid").await.expect_problem(404);
    for id in ["null", "%00", "INC%00", "..%2f.."] {
        let status = lab.operator.get(&format!("/itsm/incidents/{id}")).await.status.as_u16();
        assert!((400..500).contains(&status), "{id}: {status}");
        let status = lab.operator.get(&format!("/itsm/problems/{id}")).await.status.as_u16();
        assert!((400..500).contains(&status), "{id}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_is_served_and_names_every_path() {
    let lab = Lab::start().await;
    let contract = lab.service.nobody().get("/openapi.json").await.expect(200);
    for path in
        ["/itsm/changes", "/itsm/changes/{id}/approve", "/itsm/notifications/{id}/resend", "/itsm/templates"]
    {
        assert!(contract["paths"][path].is_object(), "{path}");
    }
    // Two things are called a problem; the contract tells them apart.
    let schemas = &contract["components"]["schemas"];
    assert!(schemas["Problem"]["properties"]["detail"].is_object());
    assert!(schemas["ProblemRecord"]["properties"]["root_cause"].is_object());
}
