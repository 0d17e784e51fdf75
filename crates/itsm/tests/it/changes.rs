//! Changes opened, read, listed.

use api_types::access::Role;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{HASH, Lab, OTHER_HASH, post_with, with};

#[tokio::test(flavor = "multi_thread")]
async fn change_is_opened_as_a_draft_in_the_callers_name() {
    let lab = Lab::start().await;
    lab.service.add_person("arjun", "arjun@example.org", &[Role::Approver]).await;
    let body = with(
        lab.normal(),
        &[
            ("ci_ids", json!(["web-02", "WEB-01.", "web-02"])),
            ("evidence", json!({"strategy": "rolling", "hosts": 2})),
            ("approver_emails", json!(["arjun@example.org"])),
        ],
    );
    let answer = lab.operator.post("/itsm/changes", &body).await;
    assert_eq!(answer.headers["location"], "/itsm/changes/CHG0000001");
    assert_eq!(answer.headers["etag"], "\"1\"");
    let change = answer.expect(201);
    assert_eq!(change["id"], "CHG0000001");
    assert_eq!(change["state"], "draft");
    assert_eq!(change["risk"], "moderate");
    assert_eq!(change["requested_by"], "olivia");
    assert_eq!(change["ci_ids"], json!(["web-01", "web-02"]));
    assert_eq!(change["evidence"], json!({"strategy": "rolling", "hosts": 2}));
    assert_eq!(change["approvals"], json!([]));
    let read = lab.service.viewer().await.get("/itsm/changes/CHG0000001").await;
    assert_eq!(read.headers["etag"], "\"1\"");
    assert_eq!(read.expect(200), change);
    assert_eq!(lab.draft(&body).await, "/itsm/changes/CHG0000002");
}

#[tokio::test(flavor = "multi_thread")]
async fn same_idempotency_key_opens_one_change() {
    let lab = Lab::start().await;
    let (key, body) = (("idempotency-key", "open-1"), lab.normal());
    let first = post_with(&lab.operator, "/itsm/changes", key, &body).await.expect(201);
    assert_eq!(post_with(&lab.operator, "/itsm/changes", key, &body).await.expect(201), first);
    let other = with(body, &[("risk", json!("low"))]);
    post_with(&lab.operator, "/itsm/changes", key, &other).await.expect_problem(422);
    assert_eq!(lab.operator.get("/itsm/changes").await.expect(200)["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_is_filtered_and_paged_newest_first() {
    let lab = Lab::start().await;
    for number in 1..=5 {
        let ci = format!("web-{number:02}");
        lab.draft(&with(lab.normal(), &[("ci_ids", json!([ci, "db-01"]))])).await;
    }
    let emergency = [("kind", json!("emergency")), ("plan_hash", json!(OTHER_HASH))];
    lab.submitted(&with(lab.normal(), &emergency)).await;

    let ids = async |query: &str| -> Vec<String> {
        let page = lab.operator.get(&format!("/itsm/changes{query}")).await.expect(200);
        page["items"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("?ci=web-03").await, ["CHG0000003"]);
    assert_eq!(ids("?ci=db-01").await.len(), 5);
    assert_eq!(ids("?state=pending_approval").await, ["CHG0000006"]);
    assert_eq!(ids("?kind=emergency").await, ["CHG0000006"]);
    assert_eq!(ids("?state=draft&kind=normal&requested_by=olivia").await.len(), 5);
    assert_eq!(ids(&format!("?plan_hash={OTHER_HASH}")).await, ["CHG0000006"]);
    assert!(ids("?requested_by=nobody").await.is_empty());

    let mut seen = Vec::new();
    let mut query = "?limit=4".to_owned();
    loop {
        let page = lab.operator.get(&format!("/itsm/changes{query}")).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
        match page["next_page_token"].as_str() {
            Some(token) => query = format!("?limit=4&page_token={token}"),
            None => break,
        }
    }
    let wanted: Vec<String> = (1..=6).rev().map(|number| format!("CHG{number:07}")).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_changes_are_not_found() {
    let lab = Lab::start().await;
    for id in ["CHG9999999", "CHG1", "INC0000001", "null", "..%2f..", "%00", "CHG0000001%00"] {
        lab.operator.get(&format!("/itsm/changes/{id}")).await.expect_problem(404);
        lab.operator.patch(&format!("/itsm/changes/{id}"), &json!({})).await.expect_problem(404);
        lab.operator.post(&format!("/itsm/changes/{id}/submit"), &json!({})).await.expect_problem(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fields_are_named_and_nothing_is_stored() {
    let lab = Lab::start().await;
    let early = lab.now() - TimeDelta::days(2);
    let long = "x".repeat(161);
    for (field, value) in [
        ("kind", json!("urgent")),
        ("short_description", json!("")),
        ("short_description", json!(long)),
        ("short_description", json!("a\r\nBcc: x@example.org")),
        ("description", json!("\u{1b}[31m")),
        ("description", json!("x".repeat(20_001))),
        ("ci_ids", json!([])),
        ("ci_ids", json!("web-01")),
        ("plan_hash", json!("abc")),
        ("plan_hash", json!(HASH.to_uppercase())),
        ("end_at", json!(early)),
        ("start_at", json!("1970-01-01T00:00:00Z")),
        ("start_at", json!("tomorrow")),
        ("risk", json!(3)),
        ("template", json!("monthly-baseline")),
        ("evidence", json!("because")),
        ("evidence", json!({"x": "y".repeat(300_000)})),
        ("assignment_group", json!("")),
        ("approver_emails", json!(vec!["a@example.org"; 21])),
    ] {
        let body = with(lab.normal(), &[(field, value.clone())]);
        let answer = lab.operator.post("/itsm/changes", &body).await;
        assert_eq!(answer.status, 422, "{field} {value}: {}", answer.text);
        let problem = answer.expect_problem(422);
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(pointer.starts_with(&format!("/{field}")), "{field}: {problem}");
    }
    for (index, id) in ["all", "a b", "127.0.0.1", "h[1:3]", "-o"].iter().enumerate() {
        let body = with(lab.normal(), &[("ci_ids", json!([["ok-01"], [id]].concat()))]);
        let problem = lab.operator.post("/itsm/changes", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/ci_ids/1", "{index}");
    }
    for address in ["a@example.org\r\nBcc: b@example.org", "nobody", "a@b@c", "", "\"a b\" <a@example.org>"] {
        let body = with(lab.normal(), &[("approver_emails", json!([address]))]);
        let problem = lab.operator.post("/itsm/changes", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/approver_emails/0", "{address:?}");
    }
    // An edit is checked like the opening.
    let path = lab.draft(&lab.normal()).await;
    for (field, value) in [
        ("plan_hash", json!("x")),
        ("end_at", json!(early)),
        ("ci_ids", json!([])),
        ("state", json!("approved")),
        ("requested_by", json!("me")),
        ("approvals", json!([])),
    ] {
        let problem = lab.operator.patch(&path, &json!({field: value})).await.expect_problem(422);
        assert!(
            problem["errors"][0]["pointer"].as_str().unwrap().starts_with(&format!("/{field}")),
            "{problem}"
        );
    }
    let page: Value = lab.operator.get("/itsm/changes").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_client_speaks_every_verb_of_a_change() {
    use api_client::itsm::ItsmClient;
    use api_types::itsm::{ChangeState, CloseChange, CreateChange, Decide, ExecuteChange, UpdateChange};
    let lab = Lab::start().await;
    let operator = ItsmClient::new(&lab.service.base, lab.operator.token().unwrap());
    let approver = ItsmClient::new(&lab.service.base, lab.approver.token().unwrap());
    let request: CreateChange = serde_json::from_value(lab.normal()).unwrap();
    let change = operator.create_change_once(&request, "run-1").await.unwrap();
    assert_eq!(operator.create_change_once(&request, "run-1").await.unwrap(), change);
    let edit = UpdateChange { description: Some("as planned".to_owned()), ..UpdateChange::default() };
    operator.update_change(&change.id, &edit, Some("\"1\"")).await.unwrap();
    assert_eq!(
        operator.update_change(&change.id, &edit, Some("\"1\"")).await.unwrap_err().status(),
        Some(412)
    );
    operator.submit_change(&change.id).await.unwrap();
    let decide = Decide { plan_hash: Some(HASH.to_owned()), ..Decide::default() };
    assert_eq!(operator.approve_change(&change.id, &decide).await.unwrap_err().status(), Some(403));
    approver.approve_change(&change.id, &decide).await.unwrap();
    operator.execute_change(&change.id, &ExecuteChange { plan_hash: Some(HASH.to_owned()) }).await.unwrap();
    let close = CloseChange { close_notes: "done".to_owned(), ..CloseChange::default() };
    let change = operator.complete_change(&change.id, &close).await.unwrap().done().unwrap();
    assert_eq!(change.state, ChangeState::Completed);
    assert_eq!(operator.get_change(&change.id).await.unwrap(), change);
    assert_eq!(
        operator.list_changes(&[("state", "completed".to_owned())], 10).await.unwrap(),
        std::slice::from_ref(&change)
    );
    assert!(operator.list_conflicts(&change.id).await.unwrap().conflicts.is_empty());
    assert_eq!(operator.list_templates().await.unwrap()[0].name, "monthly-baseline");
}
