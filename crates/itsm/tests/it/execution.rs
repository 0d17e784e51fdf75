//! When the work of a change may begin, and what each kind of change asks for.

use api_types::access::Role;
use chrono::{TimeDelta, Utc};
use itsm::Settings;
use serde_json::{Value, json};
use service_kit::Clock;

use crate::lab::{HASH, Lab, OTHER_HASH, with};

fn kind_of(problem: &Value) -> &str {
    problem["type"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn execution_is_bound_to_the_approved_plan() {
    let lab = Lab::start().await;
    let path = format!("{}/execute", lab.approved(&lab.normal()).await);
    let problem = lab.operator.post(&path, &json!({"plan_hash": OTHER_HASH})).await.expect_problem(409);
    assert_eq!(kind_of(&problem), "/problems/approval-void");
    let problem = lab.operator.post(&path, &json!({})).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/plan_hash");
    assert_eq!(
        lab.operator.post(&path, &json!({"plan_hash": HASH})).await.expect(200)["state"],
        "in_progress"
    );

    let without_plan = lab.approved(&with(lab.normal(), &[("plan_hash", Value::Null)])).await;
    let path = format!("{without_plan}/execute");
    let problem = lab.operator.post(&path, &json!({"plan_hash": HASH})).await.expect_problem(409);
    assert_eq!(kind_of(&problem), "/problems/approval-void");
    lab.operator.post(&path, &json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn execution_is_bound_to_the_span() {
    let clock = Clock::fixed(Utc::now());
    let lab = Lab::at(Settings::default(), clock.clone()).await;
    let now = clock.now();
    let span = [("start_at", json!(now + TimeDelta::hours(1))), ("end_at", json!(now + TimeDelta::hours(3)))];
    let path = lab.approved(&with(lab.normal(), &span)).await;
    let execute = async || lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await;
    assert_eq!(kind_of(&execute().await.expect_problem(409)), "/problems/outside-window");
    clock.advance(TimeDelta::hours(3));
    let problem = execute().await.expect_problem(409);
    assert_eq!(kind_of(&problem), "/problems/outside-window");
    assert!(problem["detail"].as_str().unwrap().contains("move its span"), "{problem}");
    clock.advance(TimeDelta::hours(-1));
    execute().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_with_a_fast_clock_may_begin_a_little_early_and_a_person_may_not() {
    let clock = Clock::fixed(Utc::now());
    let lab = Lab::at(Settings::default(), clock.clone()).await;
    let engine = lab.person("service:patch-manager", &[Role::Service]).await;
    let starting = |minutes: i64| {
        let now = clock.now();
        let span = [
            ("start_at", json!(now + TimeDelta::minutes(minutes))),
            ("end_at", json!(now + TimeDelta::hours(3))),
        ];
        with(lab.normal(), &span)
    };
    let (near, far) = (lab.approved(&starting(4)).await, lab.approved(&starting(6)).await);
    let body = json!({"plan_hash": HASH});
    for (caller, path) in [(&lab.operator, &near), (&engine, &far)] {
        let problem = caller.post(&format!("{path}/execute"), &body).await.expect_problem(409);
        assert_eq!(kind_of(&problem), "/problems/outside-window");
    }
    let begun = engine.post(&format!("{near}/execute"), &body).await.expect(200);
    assert_eq!(begun["state"], "in_progress");
}

#[tokio::test(flavor = "multi_thread")]
async fn change_whose_span_is_over_is_neither_submitted_nor_approved() {
    let clock = Clock::fixed(Utc::now());
    let lab = Lab::at(Settings::default(), clock.clone()).await;
    let (draft, waiting) = (lab.draft(&lab.normal()).await, lab.submitted(&lab.normal()).await);
    clock.advance(TimeDelta::hours(23));
    let late = lab.operator.post(&format!("{draft}/submit"), &json!({})).await.expect_problem(409);
    assert_eq!(kind_of(&late), "/problems/outside-window");
    let late = lab.approver.post(&format!("{waiting}/approve"), &json!({})).await.expect_problem(409);
    assert_eq!(kind_of(&late), "/problems/outside-window");
    // It can still be given up or rejected, so that nothing stays open.
    lab.operator.post(&format!("{draft}/cancel"), &json!({})).await.expect(200);
    lab.approver.post(&format!("{waiting}/reject"), &json!({"comment": "too late"})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn emergency_change_needs_one_word_and_a_review_within_a_week() {
    let clock = Clock::fixed(Utc::now());
    let lab = Lab::at(Settings::default(), clock.clone()).await;
    for (verb, notes) in [("complete", "patched"), ("fail", "rolled back")] {
        let path = lab.submitted(&with(lab.normal(), &[("kind", json!("emergency"))])).await;
        let execute = format!("{path}/execute");
        lab.operator.post(&execute, &json!({"plan_hash": HASH})).await.expect_problem(409);
        lab.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200);
        let change = lab.operator.post(&execute, &json!({"plan_hash": HASH})).await.expect(200);
        assert!(change["review_due_at"].is_null());
        let change =
            lab.operator.post(&format!("{path}/{verb}"), &json!({"close_notes": notes})).await.expect(200);
        let due = change["review_due_at"].as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap();
        assert_eq!(due, clock.now() + TimeDelta::days(7));
    }
    // One that never began needs no review.
    let path = lab.approved(&with(lab.normal(), &[("kind", json!("emergency"))])).await;
    let change = lab.operator.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
    assert!(change["review_due_at"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_change_is_approved_by_its_template_as_it_is_submitted() {
    let lab = Lab::start().await;
    let templates = lab.operator.get("/itsm/templates").await.expect(200);
    assert_eq!(templates[0]["name"], "monthly-baseline");
    let path = lab.draft(&lab.standard()).await;
    let change = lab.operator.post(&format!("{path}/submit"), &json!({})).await.expect(200);
    assert_eq!(change["state"], "approved");
    assert_eq!(change["approvals"][0]["approver"], "template:monthly-baseline");
    lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect(200);

    for (field, value) in [("template", json!("made-up")), ("template", Value::Null)] {
        let problem = lab
            .operator
            .post("/itsm/changes", &with(lab.standard(), &[(field, value)]))
            .await
            .expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/template");
    }
    let long = with(lab.standard(), &[("end_at", json!(lab.now() + TimeDelta::days(7)))]);
    let path = lab.draft(&long).await;
    let problem = lab.operator.post(&format!("{path}/submit"), &json!({})).await.expect_problem(409);
    assert_eq!(kind_of(&problem), "/problems/template-does-not-fit");
}

#[tokio::test(flavor = "multi_thread")]
async fn approver_withdraws_an_approval_until_the_work_begins() {
    let lab = Lab::start().await;
    let path = lab.approved(&lab.normal()).await;
    let other = lab.person("anna", &[Role::Approver]).await;
    let change = other.post(&format!("{path}/reject"), &json!({"comment": "freeze"})).await.expect(200);
    assert_eq!(change["state"], "rejected");
    assert_eq!(change["approvals"][1]["decision"], "rejected");
    lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect_problem(409);
}
