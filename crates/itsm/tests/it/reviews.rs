//! Reviews of emergency changes after their end.

use api_types::access::Role;
use serde_json::json;

use crate::lab::{Lab, with};

#[tokio::test(flavor = "multi_thread")]
async fn emergency_change_is_reviewed_once_and_by_somebody_else() {
    let lab = Lab::start().await;
    let path = lab.in_progress(&with(lab.normal(), &[("kind", json!("emergency"))])).await;
    let reviewer = lab.person("rita", &[Role::Approver]).await;
    let review = json!({ "notes": "the fix was urgent and held" });
    let url = format!("{path}/review");
    reviewer.post(&url, &review).await.expect_problem(409);
    lab.operator.post(&format!("{path}/complete"), &json!({ "close_notes": "done" })).await.expect(200);
    lab.operator.post(&url, &review).await.expect_problem(403);
    lab.approver.post(&url, &review).await.expect_problem(403);
    reviewer.post(&url, &json!({ "notes": " " })).await.expect_problem(422);
    let reviewed = reviewer.post(&url, &review).await.expect(200);
    assert_eq!(reviewed["reviewed_by"], "rita");
    assert_eq!(reviewed["review_notes"], review["notes"]);
    assert!(reviewed["reviewed_at"].is_string() && reviewed["review_due_at"].is_string());
    reviewer.post(&url, &review).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_changes_are_not_reviewed() {
    let lab = Lab::start().await;
    let path = lab.in_progress(&lab.normal()).await;
    lab.operator.post(&format!("{path}/complete"), &json!({ "close_notes": "done" })).await.expect(200);
    let reviewer = lab.person("rita", &[Role::Approver]).await;
    reviewer.post(&format!("{path}/review"), &json!({ "notes": "fine" })).await.expect_problem(409);
}
