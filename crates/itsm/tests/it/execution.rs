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
    lab.operator.post(&format!("{path}/execute"), &json!({})).await.expect(200);

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

#[tokio::test(flavor = "multi_thread")]
async fn template_approves_a_plan_only_if_a_service_says_who_agreed() {
    let lab = Lab::start().await;
    let plan = with(lab.standard(), &[("plan_hash", json!(HASH))]);
    let path = lab.draft(&plan).await;
    let refused = lab.operator.post(&format!("{path}/submit"), &json!({})).await.expect_problem(409);
    assert_eq!(kind_of(&refused), "/problems/template-does-not-fit");
    // The same plan put into a change that was approved without one.
    let path = lab.submitted(&lab.standard()).await;
    let edited = lab.operator.patch(&path, &json!({ "plan_hash": HASH })).await.expect(200);
    assert_eq!(edited["state"], "draft");
    lab.operator.post(&format!("{path}/submit"), &json!({})).await.expect_problem(409);

    let agreed = with(plan, &[("preapproved_by", json!("carol")), ("requested_by", json!("schedule:p"))]);
    lab.operator.post("/itsm/changes", &agreed).await.expect_problem(403);
    let service = test_support::Http::new(&lab.service.base, Some(lab.service.service_token().to_owned()));
    let change = service.post("/itsm/changes", &agreed).await.expect(201);
    let path = format!("/itsm/changes/{}", change["id"].as_str().unwrap());
    let change = service.post(&format!("{path}/submit"), &json!({})).await.expect(200);
    assert_eq!(change["state"], "approved");
    assert!(change["approvals"][0]["comment"].as_str().unwrap().ends_with("approved by carol"), "{change:#}");
    lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn template_is_written_by_one_person_approved_by_another_and_expires() {
    let clock = Clock::fixed(Utc::now());
    let lab = Lab::at(itsm::Settings::default(), clock.clone()).await;
    let (ada, path) = (lab.service.admin().await, "/itsm/templates/certificates");
    let template = json!({ "description": "renewal of certificates", "max_risk": "low", "max_span_hours": 4,
        "owner": "anna", "expires_at": clock.now() + TimeDelta::days(30) });
    lab.operator.put(path, &template).await.expect_problem(403);
    for (field, value) in [
        ("expires_at", json!(clock.now() + TimeDelta::days(400))),
        ("max_span_hours", json!(0)),
        ("owner", json!("")),
    ] {
        let problem = ada.put(path, &with(template.clone(), &[(field, value)])).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"));
    }
    assert_eq!(ada.put(path, &template).await.expect(200)["approved_by"], Value::Null);
    let short = with(
        lab.standard(),
        &[
            ("template", json!("certificates")),
            ("risk", json!("low")),
            ("end_at", json!(lab.now() + TimeDelta::hours(2))),
        ],
    );
    let change = lab.draft(&short).await;
    let submit = format!("{change}/submit");
    lab.operator.post(&submit, &json!({})).await.expect_problem(409);
    let both = lab.person("ada", &[Role::Admin, Role::Approver]).await;
    let refused = both.post(&format!("{path}/approve"), &json!({})).await.expect_problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("`ada` edited template"), "{refused:#}");
    assert_eq!(lab.audited("template/certificates").await[1]["action"], "refuse_approve_template");
    assert_eq!(
        lab.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200)["approved_by"],
        "arjun"
    );
    assert_eq!(lab.operator.post(&submit, &json!({})).await.expect(200)["state"], "approved");

    clock.advance(TimeDelta::days(31));
    let late =
        with(short, &[("start_at", json!(lab.now())), ("end_at", json!(lab.now() + TimeDelta::hours(2)))]);
    let change = lab.draft(&late).await;
    let refused = lab.operator.post(&format!("{change}/submit"), &json!({})).await.expect_problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("ask its owner `anna`"), "{refused:#}");
}
