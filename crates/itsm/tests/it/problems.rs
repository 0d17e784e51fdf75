//! Problem records.

use serde_json::{Value, json};

use crate::lab::{Lab, patch_with, post_with};

async fn two_incidents(lab: &Lab) {
    for _ in 0..2 {
        let body = json!({"short_description": "web is slow", "severity": "medium"});
        lab.operator.post("/itsm/incidents", &body).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn problem_gathers_incidents() {
    let lab = Lab::start().await;
    two_incidents(&lab).await;
    let body = json!({"short_description": "kernel bug", "incident_ids": ["INC0000002", "INC0000001", "INC0000001"]});
    let answer = post_with(&lab.operator, "/itsm/problems", ("idempotency-key", "p"), &body).await;
    assert_eq!(answer.headers["location"], "/itsm/problems/PRB0000001");
    let problem = answer.expect(201);
    assert_eq!(problem["incident_ids"], json!(["INC0000001", "INC0000002"]));
    let again = post_with(&lab.operator, "/itsm/problems", ("idempotency-key", "p"), &body).await.expect(201);
    assert_eq!(again, problem);
    let linked = lab.operator.get("/itsm/incidents?problem_id=PRB0000001").await.expect(200);
    assert_eq!(linked["items"].as_array().unwrap().len(), 2);
    // An incident has one cause.
    let refused = lab.operator.post("/itsm/problems", &body).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/already-linked");
    let unknown = json!({"short_description": "x", "incident_ids": ["INC0000077"]});
    let refused = lab.operator.post("/itsm/problems", &unknown).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/incident_ids/0");
    // What was refused left nothing behind.
    let page = lab.operator.get("/itsm/problems").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_is_linked_later_too() {
    let lab = Lab::start().await;
    two_incidents(&lab).await;
    lab.operator.post("/itsm/problems", &json!({"short_description": "kernel bug"})).await.expect(201);
    lab.operator.patch("/itsm/incidents/INC0000002", &json!({"problem_id": "PRB0000001"})).await.expect(200);
    let problem = lab.operator.get("/itsm/problems/PRB0000001").await.expect(200);
    assert_eq!(problem["incident_ids"], json!(["INC0000002"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn known_error_has_a_workaround_and_resolved_problem_a_root_cause() {
    let lab = Lab::start().await;
    lab.operator.post("/itsm/problems", &json!({"short_description": "kernel bug"})).await.expect(201);
    let path = "/itsm/problems/PRB0000001";
    for (edit, pointer) in [
        (json!({"state": "known_error"}), "/workaround"),
        (json!({"state": "resolved"}), "/root_cause"),
        (json!({"short_description": "a\nb"}), "/short_description"),
        (json!({"incident_ids": []}), "/incident_ids"),
    ] {
        let problem = lab.operator.patch(path, &edit).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let known = json!({"state": "known_error", "workaround": "boot the old kernel"});
    patch_with(&lab.operator, path, ("if-match", "\"1\""), &known).await.expect(200);
    patch_with(&lab.operator, path, ("if-match", "\"1\""), &known).await.expect_problem(412);
    let resolved = json!({"state": "resolved", "root_cause": "race in the scheduler"});
    let problem = lab.operator.patch(path, &resolved).await.expect(200);
    assert_eq!(problem["workaround"], "boot the old kernel");
    let count = async |query: &str| -> usize {
        let page: Value = lab.operator.get(&format!("/itsm/problems?{query}")).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!((count("state=resolved").await, count("state=open").await), (1, 0));
    lab.operator.get("/itsm/problems/PRB0000002").await.expect_problem(404);
    lab.operator.patch("/itsm/problems/PRB0000002", &json!({})).await.expect_problem(404);
}
