//! How somebody becomes an approver: with two people, except the first one.

use api_types::access::Role;
use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::Http;

use crate::lab::Lab;

/// A platform that has an administrator and nobody else.
async fn new_platform() -> (Lab, Http) {
    let lab = Lab::at(itsm::Settings::default(), Clock::fixed(chrono::Utc::now())).await;
    sqlx::query("DELETE FROM platform.tokens WHERE 'approver' = ANY(roles)")
        .execute(&lab.service.pool)
        .await
        .unwrap();
    let ada = lab.service.admin().await;
    (lab, ada)
}

fn token(subject: &str, role: &str) -> Value {
    json!({ "subject": subject, "roles": [role], "expires_in_days": 30 })
}

fn with_token(lab: &Lab, issued: &Value) -> Http {
    Http::new(&lab.service.base, Some(issued["token"].as_str().unwrap().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_administrator_creates_the_first_approver_and_no_other() {
    let (lab, ada) = new_platform().await;
    let issued = ada.post("/access/tokens", &token("arjun", "approver")).await.expect(201);
    // Everybody sees it.
    let approvers = lab.service.viewer().await.get("/access/approvers").await.expect(200);
    assert_eq!(
        (&approvers[0]["subject"], &approvers[0]["created_by"], &approvers[0]["confirmed_by"]),
        (&json!("arjun"), &json!("ada"), &Value::Null)
    );
    let audited = lab.audited(&format!("token/{}", issued["id"].as_str().unwrap())).await;
    assert_eq!(audited[0]["reason"], "the first approver, created by one administrator alone");

    // The attack: the same administrator makes another approver, and approves an own change.
    let proposal = ada.post("/access/tokens", &token("ada-too", "approver")).await.expect(202);
    assert_eq!((&proposal["state"], proposal.get("token")), (&json!("pending"), None));
    let confirm = format!("/access/proposals/{}/confirm", proposal["id"].as_str().unwrap());
    let refused = ada.post(&confirm, &json!({})).await.expect_problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("proposed this"), "{refused:#}");
    lab.operator.post(&confirm, &json!({})).await.expect_problem(403);
    let object = format!("proposal/{}", proposal["id"].as_str().unwrap());
    let actions: Vec<Value> = lab.audited(&object).await.iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["propose", "refuse_confirm_proposal"]);
    // An administrator who is made alone could confirm: that needs a second person, too.
    ada.post("/access/tokens", &token("ada-too", "admin")).await.expect(202);
    assert_eq!(ada.get("/access/approvers").await.expect(200).as_array().unwrap().len(), 1);

    // Deleting the approver does not make the next one the first.
    let revoked = ada.delete(&format!("/access/tokens/{}", issued["id"].as_str().unwrap())).await;
    assert_eq!(revoked.status, 204);
    ada.post("/access/tokens", &token("ada-too", "approver")).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_person_confirms_and_gets_the_secret_once() {
    let (lab, ada) = new_platform().await;
    let arjun = with_token(&lab, &ada.post("/access/tokens", &token("arjun", "approver")).await.expect(201));
    let proposal = ada.post("/access/tokens", &token("anna", "approver")).await.expect(202);
    let path = format!("/access/proposals/{}", proposal["id"].as_str().unwrap());
    let confirmed = arjun.post(&format!("{path}/confirm"), &json!({})).await.expect(200);
    assert_eq!(
        (&confirmed["proposal"]["state"], &confirmed["proposal"]["decided_by"]),
        (&json!("confirmed"), &json!("arjun"))
    );
    let anna = with_token(&lab, &confirmed["token"]);
    let change = lab.submitted(&lab.normal()).await;
    assert_eq!(anna.post(&format!("{change}/approve"), &json!({})).await.expect(200)["state"], "approved");
    let tokens = ada.get("/access/tokens").await.expect(200);
    assert_eq!(
        (&tokens["items"][0]["created_by"], &tokens["items"][0]["confirmed_by"]),
        (&json!("ada"), &json!("arjun"))
    );
    let again = anna.post(&format!("{path}/confirm"), &json!({})).await.expect_problem(409);
    assert_eq!(again["type"], "/problems/proposal-closed");
    let listed = lab.operator.get("/access/proposals?state=confirmed").await;
    assert_eq!(listed.expect(200)["items"].as_array().unwrap().len(), 1);
    assert!(!listed_text(&lab).await.contains(confirmed["token"]["token"].as_str().unwrap()));

    let other = ada.post("/access/tokens", &token("amir", "approver")).await.expect(202);
    let other = format!("/access/proposals/{}", other["id"].as_str().unwrap());
    assert_eq!(ada.post(&format!("{other}/reject"), &json!({})).await.expect(200)["state"], "rejected");
    anna.post(&format!("{other}/confirm"), &json!({})).await.expect_problem(409);
    // Nobody gets a role by an own confirmation.
    let bella = lab.person("bella", &[Role::Admin]).await;
    let own = ada.post("/access/tokens", &token("bella", "approver")).await.expect(202);
    let own = format!("/access/proposals/{}/confirm", own["id"].as_str().unwrap());
    bella.post(&own, &json!({})).await.expect_problem(403);
    lab.service.clock.advance(TimeDelta::days(8));
    arjun.post(&own, &json!({})).await.expect_problem(409);
}

async fn listed_text(lab: &Lab) -> String {
    lab.service.admin().await.get("/access/audit").await.text
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_written_by_administrators_and_addresses_of_approvers_by_two() {
    let (lab, ada) = new_platform().await;
    let person = |emails: Value, roles: Value| json!({ "emails": emails, "roles": roles });
    let approver = person(json!(["Arjun@Example.org"]), json!(["approver"]));
    lab.operator.put("/access/people/arjun", &approver).await.expect_problem(403);
    // The record of the first approver, and then the token.
    let made = ada.put("/access/people/arjun", &approver).await.expect(200);
    assert_eq!(made["emails"], json!(["arjun@example.org"]));
    let arjun = with_token(&lab, &ada.post("/access/tokens", &token("arjun", "approver")).await.expect(201));
    ada.post("/access/tokens", &token("arjun", "approver")).await.expect(202);

    // The attack: an administrator redirects the links of an approver to an own address.
    let mine = person(json!(["ada@example.org", "arjun@example.org"]), json!(["approver"]));
    let proposal = ada.put("/access/people/arjun", &mine).await.expect(202);
    let read = lab.operator.get("/access/people").await.expect(200);
    assert_eq!(read["items"][0]["emails"], json!(["arjun@example.org"]));
    ada.put("/access/people/ada", &person(json!([]), json!(["approver"]))).await.expect(202);
    // What takes nothing from anybody needs one administrator.
    ada.put("/access/people/arjun", &approver).await.expect(200);
    ada.put("/access/people/olivia", &person(json!(["olivia@example.org"]), json!(["operator"])))
        .await
        .expect(200);
    let taken =
        ada.put("/access/people/vera", &person(json!(["arjun@example.org"]), json!(["viewer"]))).await;
    assert_eq!(taken.expect_problem(422)["errors"][0]["pointer"], "/emails/0");
    let path = format!("/access/proposals/{}/confirm", proposal["id"].as_str().unwrap());
    let confirmed = arjun.post(&path, &json!({})).await.expect(200);
    assert_eq!(confirmed["person"]["emails"], json!(["ada@example.org", "arjun@example.org"]));
    ada.delete("/access/people/arjun").await.expect(204);
    ada.delete("/access/people/arjun").await.expect_problem(404);
    ada.put("/access/people/arjun", &approver).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_of_the_platform_and_second_spellings_are_refused() {
    let (_lab, ada) = new_platform().await;
    for subject in [
        "service:platform",
        "schedule:p",
        "email:arjun@example.org",
        "Olivia",
        "oli via",
        "olivi\u{430}",
        "",
        "-o",
    ] {
        let problem = ada.post("/access/tokens", &token(subject, "operator")).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/subject", "{subject}: {problem:#}");
    }
    let problem = ada.post("/access/tokens", &token("olivia", "service")).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/roles/0", "{problem:#}");
    ada.post("/access/tokens", &token("olivia@example.org", "operator")).await.expect(201);
}
