//! Incidents.

use serde_json::{Value, json};

use crate::lab::{Lab, patch_with, post_with, with};

fn incident(correlation_id: &str) -> Value {
    json!({
        "short_description": "web-03 failed to patch",
        "severity": "high",
        "ci_ids": ["web-03"],
        "correlation_id": correlation_id,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn same_correlation_id_opens_one_incident() {
    let lab = Lab::start().await;
    let answer = lab.operator.post("/itsm/incidents", &incident("run-1/web-03")).await;
    assert_eq!(answer.headers["location"], "/itsm/incidents/INC0000001");
    let first = answer.expect(201);
    assert_eq!(first["state"], "open");
    assert_eq!(first["opened_by"], "olivia");
    let again = with(incident("run-1/web-03"), &[("severity", json!("low"))]);
    assert_eq!(lab.operator.post("/itsm/incidents", &again).await.expect(200), first);
    let key = ("idempotency-key", "k");
    post_with(&lab.operator, "/itsm/incidents", key, &incident("run-1/web-04")).await.expect(201);
    post_with(&lab.operator, "/itsm/incidents", key, &incident("run-1/web-04")).await.expect(201);
    // Without one, each report is an incident.
    let mut anonymous = incident("");
    anonymous.as_object_mut().unwrap().remove("correlation_id");
    lab.operator.post("/itsm/incidents", &anonymous).await.expect(201);
    lab.operator.post("/itsm/incidents", &anonymous).await.expect(201);
    let page = lab.operator.get("/itsm/incidents").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reports_at_once_open_one_incident() {
    let lab = Lab::start().await;
    let mut reports = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let http = lab.operator.clone();
        reports.spawn(async move { http.post("/itsm/incidents", &incident("same")).await.status.as_u16() });
    }
    let statuses = reports.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 201)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_is_worked_on_resolved_and_opened_again() {
    let lab = Lab::start().await;
    let change = lab.draft(&lab.normal()).await.rsplit('/').next().unwrap().to_owned();
    let body = with(incident("a"), &[("change_id", json!(change))]);
    lab.operator.post("/itsm/incidents", &body).await.expect(201);
    let path = "/itsm/incidents/INC0000001";
    let edit = json!({"state": "in_progress", "assigned_to": "nina", "description": "disk is full"});
    let edited = patch_with(&lab.operator, path, ("if-match", "\"1\""), &edit).await.expect(200);
    assert_eq!((&edited["state"], &edited["assigned_to"]), (&json!("in_progress"), &json!("nina")));
    patch_with(&lab.operator, path, ("if-match", "\"1\""), &edit).await.expect_problem(412);
    let problem = lab.operator.patch(path, &json!({"state": "resolved"})).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/state");

    let resolve = format!("{path}/resolve");
    lab.operator.post(&resolve, &json!({"resolution": ""})).await.expect_problem(422);
    let resolved = lab.operator.post(&resolve, &json!({"resolution": "disk cleaned"})).await.expect(200);
    assert_eq!((&resolved["state"], &resolved["resolution"]), (&json!("resolved"), &json!("disk cleaned")));
    assert!(resolved["resolved_at"].is_string());
    lab.operator.post(&resolve, &json!({"resolution": "again"})).await.expect_problem(409);
    let reopened = lab.operator.patch(path, &json!({"state": "open"})).await.expect(200);
    assert!(reopened["resolved_at"].is_null() && reopened["resolution"].is_null());

    let actions: Vec<Value> =
        lab.audited("incident/INC0000001").await.iter().map(|record| record["action"].clone()).collect();
    assert_eq!(actions, ["create_incident", "update_incident", "resolve_incident", "update_incident"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_filtered_and_paged() {
    let lab = Lab::start().await;
    let change = lab.draft(&lab.normal()).await.rsplit('/').next().unwrap().to_owned();
    for number in 0..5 {
        let fields = [
            ("ci_ids", json!([format!("web-{number:02}")])),
            ("change_id", json!(change)),
            ("severity", json!("low")),
        ];
        let fields = if number < 2 { &fields[..] } else { &fields[..1] };
        lab.operator
            .post("/itsm/incidents", &with(incident(&format!("c{number}")), fields))
            .await
            .expect(201);
    }
    let count = async |query: &str| {
        let page = lab.operator.get(&format!("/itsm/incidents?{query}")).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("ci=web-03").await, 1);
    assert_eq!(count("severity=low").await, 2);
    assert_eq!(count(&format!("change_id={change}")).await, 2);
    assert_eq!(count("correlation_id=c4").await, 1);
    assert_eq!(count("state=resolved").await, 0);
    let first = lab.operator.get("/itsm/incidents?limit=3").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    assert_eq!(count(&format!("limit=3&page_token={token}")).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_names_only_changes_and_problems_that_exist() {
    let lab = Lab::start().await;
    let body = with(incident("x"), &[("change_id", json!("CHG0000099"))]);
    let problem = lab.operator.post("/itsm/incidents", &body).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/change_id");
    lab.operator.post("/itsm/incidents", &incident("x")).await.expect(201);
    let problem = lab.operator.patch("/itsm/incidents/INC0000001", &json!({"problem_id": "PRB1"})).await;
    assert_eq!(problem.expect_problem(422)["errors"][0]["pointer"], "/problem_id");
    lab.operator.get("/itsm/incidents/INC0000009").await.expect_problem(404);
    lab.operator.patch("/itsm/incidents/INC0000009", &json!({})).await.expect_problem(404);
    lab.operator.post("/itsm/incidents/x/resolve", &json!({"resolution": "x"})).await.expect_problem(404);
}
