//! Which person an account is, and with which roles.

use api_types::access::Role;
use serde_json::json;

use super::desk;
use crate::platform::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_those_of_the_groups_at_each_sign_in() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["operations", "change-board"]).await;
    let mut first = desk.signed_in("u-1").await;
    assert_eq!(desk.who(&mut first).await["roles"], json!(["operator", "approver"]));

    desk.provider.person("u-1", "nora", &["operations"]).await;
    let mut second = desk.signed_in("u-1").await;
    assert_eq!(desk.who(&mut second).await["roles"], json!(["operator"]));
    eventually("the session with the lost role has ended", async || desk.me(&mut first).await.status == 401)
        .await;
    let people = desk.patch.admin().await.get("/access/people").await.expect(200);
    let nora = people["items"].as_array().unwrap().iter().find(|it| it["subject"] == "nora").unwrap().clone();
    assert_eq!((&nora["roles"], &nora["updated_by"]), (&json!(["operator"]), &json!("oidc:127.0.0.1")));
    assert_eq!(nora["emails"], json!(["nora@example.org"]));

    desk.provider.person("u-1", "nora", &["unknown"]).await;
    let reason = desk.refused("u-1", 403).await;
    assert!(reason.contains("`nora` is in no group that has a role here"), "{reason}");
    eventually("every session has ended", async || desk.me(&mut second).await.status == 401).await;
    let approvers = desk.patch.viewer().await.get("/access/approvers").await.expect(200);
    assert!(!approvers.to_string().contains("nora"), "{approvers:#}");
    let records = desk.records("person/nora").await;
    assert_eq!(records[0]["after"]["roles"], json!([]), "{records:#?}");

    desk.provider.person("u-2", "oskar", &[]).await;
    desk.refused("u-2", 403).await;
    let people = desk.patch.admin().await.get("/access/people").await.expect(200);
    assert!(!people.to_string().contains("oskar"), "nothing is kept of who has no role");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_does_not_become_somebody_who_is_known_already() {
    let mut desk = desk!();
    // `arjun` has a token, `olivia` a record with an address.
    desk.patch.approver().await;
    desk.patch.add_person("olivia", "olivia@example.org", &[Role::Operator]).await;
    let unverified = |name: &str, email: &str| json!({ "preferred_username": name, "email": email, "email_verified": false, "groups": ["operations"] });
    for (sub, name, email) in [
        ("m-1", "arjun", "arjun@example.org"),
        ("m-2", "Arjun", "mallory@example.org"),
        ("m-3", "olivia", "olivia@example.org"),
        ("m-4", "olivia@example.org", "olivia@example.org"),
    ] {
        desk.provider.set(sub, unverified(name, email)).await;
        let reason = desk.refused(sub, 403).await;
        assert!(reason.contains("is somebody else here"), "{name}: {reason}");
    }
    for (sub, name) in [("m-5", "service:platform"), ("m-6", "\u{43e}livia"), ("m-7", "oli via"), ("m-8", "")]
    {
        desk.provider.set(sub, unverified(name, "")).await;
        let reason = desk.refused(sub, 403).await;
        assert!(reason.contains("cannot be a subject"), "{name}: {reason}");
    }

    // The verified address proves it, whatever the provider calls the account.
    let verified = json!({ "preferred_username": "o.larsen", "email": "Olivia@Example.org", "email_verified": true, "groups": ["operations"] });
    desk.provider.set("o-1", verified.clone()).await;
    let mut olivia = desk.signed_in("o-1").await;
    assert_eq!(desk.who(&mut olivia).await["subject"], "olivia");
    desk.provider.set("o-2", verified).await;
    let reason = desk.refused("o-2", 403).await;
    assert!(reason.contains("`olivia` signs in with another account"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_account_stays_who_it_is_and_its_old_name_is_not_free() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["operations"]).await;
    desk.signed_in("u-1").await;
    // Under another name, nora could approve her own work.
    desk.provider.person("u-1", "zoe", &["change-board"]).await;
    let mut renamed = desk.signed_in("u-1").await;
    assert_eq!(desk.who(&mut renamed).await["subject"], "nora");
    let taken = json!({ "preferred_username": "nora", "groups": ["change-board"] });
    desk.provider.set("u-2", taken).await;
    desk.refused("u-2", 403).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn person_whom_an_administrator_removes_is_signed_out_and_stays_out() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    let mut nora = desk.signed_in("u-1").await;
    let admin = desk.patch.admin().await;
    assert_eq!(admin.delete("/access/people/nora").await.status, 204);
    eventually("the session has ended", async || desk.me(&mut nora).await.status == 401).await;
    let reason = desk.refused("u-1", 403).await;
    assert!(reason.contains("has removed the record of `nora`"), "{reason}");
    let person = json!({ "emails": [], "roles": ["viewer"] });
    admin.put("/access/people/nora", &person).await.expect(200);
    desk.signed_in("u-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approver_of_the_provider_is_the_second_person_of_an_administrator() {
    let mut desk = desk!();
    let admin = desk.patch.admin().await;
    desk.provider.person("u-1", "nora", &["change-board"]).await;
    let mut nora = desk.signed_in("u-1").await;
    // There is an approver now: one administrator alone makes no other.
    let request = json!({ "subject": "puppet", "roles": ["approver"], "expires_in_days": 1 });
    let proposal = admin.post("/access/tokens", &request).await.expect(202);
    let confirm = format!("/access/proposals/{}/confirm", proposal["id"].as_str().unwrap());
    admin.post(&confirm, &json!(null)).await.expect_problem(403);
    let headers = [("content-type", "application/json"), ("x-patch-console", "1")];
    let confirmed = nora.send(reqwest::Method::POST, &desk.at(&confirm), &headers, "null".to_owned()).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
}
