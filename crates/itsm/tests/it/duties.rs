//! Separation of duties: who may decide on what, and what makes a decision void.

use api_types::access::Role;
use chrono::TimeDelta;
use serde_json::json;

use crate::lab::{HASH, Lab, OTHER_HASH, patch_with, post_with, with};

#[tokio::test(flavor = "multi_thread")]
async fn requester_cannot_decide_with_this_or_any_other_token() {
    let lab = Lab::start().await;
    let path = lab.submitted(&lab.normal()).await;
    let same_person = lab.person("olivia", &[Role::Operator, Role::Approver]).await;
    let second_token = lab.person("olivia", &[Role::Approver]).await;
    for http in [&same_person, &second_token] {
        for verb in ["approve", "reject"] {
            let problem = http.post(&format!("{path}/{verb}"), &json!({})).await.expect_problem(403);
            assert!(problem["detail"].as_str().unwrap().contains("requested"), "{problem}");
        }
    }
    assert_eq!(lab.operator.get(&path).await.expect(200)["state"], "pending_approval");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_approvers_approve() {
    let lab = Lab::start().await;
    let path = lab.submitted(&lab.normal()).await;
    let service = test_support::Http::new(&lab.service.base, Some(lab.service.service_token().to_owned()));
    for http in [&lab.service.viewer().await, &lab.operator, &lab.service.admin().await, &service] {
        http.post(&format!("{path}/approve"), &json!({})).await.expect_problem(403);
    }
    lab.service.nobody().post(&format!("{path}/approve"), &json!({})).await.expect_problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_edited_a_change_cannot_approve_it_even_when_others_edited_later() {
    let lab = Lab::start().await;
    let path = lab.submitted(&lab.normal()).await;
    let editor = lab.person("edda", &[Role::Operator, Role::Approver]).await;
    editor.patch(&path, &json!({"plan_hash": OTHER_HASH})).await.expect(200);
    lab.operator.patch(&path, &json!({"backout_plan": "revert"})).await.expect(200);
    let problem = editor.post(&format!("{path}/approve"), &json!({})).await.expect_problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("edited"), "{problem}");
    lab.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn change_opened_by_a_service_belongs_to_the_person_it_names() {
    let lab = Lab::start().await;
    let service = test_support::Http::new(&lab.service.base, Some(lab.service.service_token().to_owned()));
    let body = with(lab.normal(), &[("requested_by", json!("arjun"))]);
    lab.operator.post("/itsm/changes", &body).await.expect_problem(403);
    let change = service.post("/itsm/changes", &body).await.expect(201);
    assert_eq!(change["requested_by"], "arjun");
    assert_eq!(change["opened_by"], "service:platform");
    let path = format!("/itsm/changes/{}", change["id"].as_str().unwrap());
    service.post(&format!("{path}/submit"), &json!({})).await.expect(200);
    lab.approver.post(&format!("{path}/approve"), &json!({})).await.expect_problem(403);
    let other = lab.person("anna", &[Role::Approver]).await;
    other.post(&format!("{path}/approve"), &json!({})).await.expect(200);
    // A service that names nobody acts for itself.
    let own = service.post("/itsm/changes", &lab.normal()).await.expect(201);
    assert_eq!(own["requested_by"], "service:platform");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_what_a_service_does_cannot_approve_it_in_any_spelling() {
    let lab = Lab::start().await;
    let service = test_support::Http::new(&lab.service.base, Some(lab.service.service_token().to_owned()));
    let more = [("requested_by", json!("schedule:p")), ("editors", json!(["Arjun", "anna@example.org"]))];
    let body = with(lab.normal(), &more);
    lab.operator.post("/itsm/changes", &with(lab.normal(), &more[1..])).await.expect_problem(403);
    let change = service.post("/itsm/changes", &body).await.expect(201);
    assert_eq!(change["edited_by"], json!(["Arjun", "anna@example.org"]));
    let path = format!("/itsm/changes/{}", change["id"].as_str().unwrap());
    service.post(&format!("{path}/submit"), &json!({})).await.expect(200);
    // Anna's subject is another one than her address.
    lab.service.add_person("anna", "anna@example.org", &[Role::Approver]).await;
    for http in [&lab.approver, &lab.person("anna", &[Role::Approver]).await] {
        let refused = http.post(&format!("{path}/approve"), &json!({})).await.expect_problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("edited"), "{refused}");
    }
    let audited = lab.audited(&path.replace("/itsm/changes", "change")).await;
    let refusals = audited.iter().filter(|record| record["action"] == "refuse_approve_change");
    let subjects: Vec<&str> = refusals.map(|record| record["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["arjun", "anna"]);
    lab.person("carol", &[Role::Approver])
        .await
        .post(&format!("{path}/approve"), &json!({}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_approval_by_one_person_changes_nothing_and_anothers_is_refused() {
    let lab = Lab::start().await;
    let path = lab.approved(&lab.normal()).await;
    let before = lab.operator.get(&path).await.expect(200);
    let again = lab.approver.post(&format!("{path}/approve"), &json!({"comment": "again"})).await.expect(200);
    assert_eq!(again, before);
    assert_eq!(before["approvals"].as_array().unwrap().len(), 1);
    let other = lab.person("anna", &[Role::Approver]).await;
    other.post(&format!("{path}/approve"), &json!({})).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn approver_who_names_a_plan_or_version_must_name_the_present_one() {
    let lab = Lab::start().await;
    let path = lab.submitted(&lab.normal()).await;
    let approve = format!("{path}/approve");
    let problem = lab.approver.post(&approve, &json!({"plan_hash": OTHER_HASH})).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/approval-void");
    post_with(&lab.approver, &approve, ("if-match", "\"1\""), &json!({})).await.expect_problem(412);
    let change = post_with(
        &lab.approver,
        &approve,
        ("if-match", "\"2\""),
        &json!({"plan_hash": HASH, "comment": "seen"}),
    )
    .await;
    let change = change.expect(200);
    let approval = &change["approvals"][0];
    assert_eq!(approval["approver"], "arjun");
    assert_eq!(approval["comment"], "seen");
    assert_eq!(approval["plan_hash"], HASH);
    assert_eq!(approval["ci_ids"], json!(["web-01"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_of_what_was_approved_voids_the_approval() {
    let lab = Lab::start().await;
    let later = lab.now() + TimeDelta::hours(30);
    for edit in [
        json!({"plan_hash": OTHER_HASH}),
        json!({"ci_ids": ["web-01", "web-02"]}),
        json!({"end_at": later}),
        json!({"start_at": lab.now() - TimeDelta::hours(2)}),
        json!({"risk": "very_high"}),
        json!({"implementation_plan": "something else"}),
    ] {
        let path = lab.approved(&lab.normal()).await;
        let change = lab.operator.patch(&path, &edit).await.expect(200);
        assert_eq!(change["state"], "pending_approval", "{edit}");
        assert!(change["approvals"][0]["voided_at"].is_string(), "{edit}");
        assert_eq!(lab.operator.get(&path).await.expect(200), change);
        lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect_problem(409);
        // The approver decides again, on the new content.
        let change = lab.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200);
        assert_eq!(change["approvals"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_that_changes_nothing_or_only_who_does_the_work_keeps_the_approval() {
    let lab = Lab::start().await;
    let path = lab.approved(&lab.normal()).await;
    let before = lab.operator.get(&path).await.expect(200);
    let same = lab.operator.patch(&path, &json!({"plan_hash": HASH, "ci_ids": ["WEB-01", "web-01"]})).await;
    assert_eq!(same.expect(200), before);
    let change = lab.operator.patch(&path, &json!({"assignment_group": "night shift"})).await.expect(200);
    assert_eq!(change["state"], "approved");
    assert_eq!(change["version"], before["version"].as_i64().unwrap() + 1);
    lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_standard_change_goes_back_to_draft_and_its_template_looks_again() {
    let lab = Lab::start().await;
    let path = lab.submitted(&lab.standard()).await;
    let change = lab.operator.patch(&path, &json!({"risk": "high"})).await.expect(200);
    assert_eq!(change["state"], "draft");
    let problem = lab.operator.post(&format!("{path}/submit"), &json!({})).await.expect_problem(409);
    assert_eq!(problem["type"], "/problems/template-does-not-fit");
    lab.operator.patch(&path, &json!({"risk": "low"})).await.expect(200);
    let change = lab.operator.post(&format!("{path}/submit"), &json!({})).await.expect(200);
    assert_eq!(change["state"], "approved");
    let voided: Vec<bool> =
        change["approvals"].as_array().unwrap().iter().map(|a| a["voided_at"].is_string()).collect();
    assert_eq!(voided, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_is_refused_once_work_has_begun_or_when_stale() {
    let lab = Lab::start().await;
    let path = lab.approved(&lab.normal()).await;
    let stale = patch_with(&lab.operator, &path, ("if-match", "\"1\""), &json!({"risk": "low"})).await;
    assert_eq!(stale.expect_problem(412)["type"], "/problems/stale");
    lab.operator.post(&format!("{path}/execute"), &json!({"plan_hash": HASH})).await.expect(200);
    lab.operator.patch(&path, &json!({"risk": "low"})).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_of_many_at_once_leave_one() {
    let lab = Lab::start().await;
    let path = format!("{}/approve", lab.submitted(&lab.normal()).await);
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (http, path) = (lab.person(&format!("approver-{number}"), &[Role::Approver]).await, path.clone());
        crowd.spawn(async move { http.post(&path, &json!({})).await.status.as_u16() });
    }
    let mut statuses = crowd.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_change_of_somebody_else_takes_two_people() {
    let lab = Lab::start().await;
    let mallory = lab.person("mallory", &[Role::Operator, Role::Approver]).await;
    let notes = json!({"close_notes": "all went well"});
    let draft = lab.draft(&lab.normal()).await;
    let running = lab.in_progress(&lab.normal()).await;
    // An edit does not make the change one's own.
    mallory.patch(&draft, &json!({"backout_plan": "revert"})).await.expect(200);
    for (path, verb, body, state, said) in [
        (&draft, "cancel", json!({}), "draft", "its work cannot begin"),
        (&running, "complete", notes.clone(), "in_progress", "its record says that the work succeeded"),
        (&running, "fail", notes.clone(), "in_progress", "its record says that the work failed"),
    ] {
        let proposal = mallory.post(&format!("{path}/{verb}"), &body).await.expect(202);
        let weakens = proposal["proposed"]["weakens"][0].as_str().unwrap();
        assert!(weakens.contains("of `olivia` is closed") && weakens.ends_with(said), "{weakens}");
        let confirm = format!("/access/proposals/{}/confirm", proposal["id"].as_str().unwrap());
        mallory.post(&confirm, &json!({})).await.expect_problem(403);
        assert_eq!(lab.operator.get(path).await.expect(200)["state"], state);
    }

    let answer = mallory.post(&format!("{draft}/cancel"), &json!({})).await;
    let closed = lab.service.agreed(answer).await;
    assert_eq!(closed["state"], "cancelled");
    let id = draft.strip_prefix("/itsm/changes/").unwrap();
    let audited = lab.audited(&format!("change/{id}")).await;
    let last = audited.last().unwrap();
    assert_eq!((&last["action"], &last["subject"]), (&json!("cancel_change"), &json!("mallory")));
    assert!(last["reason"].as_str().unwrap().starts_with("confirmed by `arjun`"), "{last:#}");

    // The own change needs nobody, and neither does the service whose run it is.
    let completed = lab.operator.post(&format!("{running}/complete"), &notes).await.expect(200);
    assert_eq!(completed["state"], "completed");
    let service = test_support::Http::new(&lab.service.base, Some(lab.service.service_token().to_owned()));
    let other = lab.in_progress(&lab.normal()).await;
    service.post(&format!("{other}/fail"), &notes).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_under_a_key_answers_the_same_proposal_again() {
    let lab = Lab::start().await;
    let mallory = lab.person("mallory", &[Role::Operator]).await;
    let path = format!("{}/cancel", lab.draft(&lab.normal()).await);
    let first = post_with(&mallory, &path, ("idempotency-key", "key"), &json!({})).await.expect(202);
    assert_eq!(post_with(&mallory, &path, ("idempotency-key", "key"), &json!({})).await.expect(202), first);
    let all = lab.operator.get("/access/proposals").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}
