//! Notifications delivered by e-mail and webhook.

use api_types::access::Role;
use itsm::Settings;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    lab::{Lab, eventually, with},
    mailbox::Mailbox,
    receiver::Receiver,
};

/// Settings for a mailbox and a receiver.
pub fn settings(mailbox: &Mailbox, receiver: &Receiver) -> Settings {
    Settings {
        public_url: "https://patch.example.org/".to_owned(),
        smtp_url: Some(SecretString::from(mailbox.url.clone())),
        mail_from: "Patch Manager <patch@example.org>".to_owned(),
        allow_webhook_to: vec![receiver.address.clone()],
        first_retry_ms: 20,
        ..Settings::default()
    }
}

pub fn email(subject: &str) -> Value {
    json!({"channel": "email", "recipient": "owner@example.org", "subject": subject, "body": "line one\nline two"})
}

pub fn webhook(receiver: &Receiver) -> Value {
    json!({"channel": "webhook", "recipient": receiver.url(), "subject": "run ended", "body": "24 hosts patched"})
}

/// Queues a notification and returns its path.
pub async fn queue(lab: &Lab, body: &Value) -> String {
    let notification = lab.operator.post("/itsm/notifications", body).await.expect(201);
    format!("/itsm/notifications/{}", notification["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn email_is_delivered() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let lab = Lab::with(settings).await;
    let path = queue(&lab, &email("Grüße")).await;
    let delivered = eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
    assert_eq!(delivered["attempts"], 1);
    assert!(delivered["delivered_at"].is_string() && delivered["next_attempt_at"].is_null());
    let messages = mailbox.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].from, "patch@example.org");
    assert_eq!(messages[0].to, ["owner@example.org"]);
    let id = delivered["id"].as_str().unwrap();
    assert!(messages[0].text.contains(&format!("Message-ID: <{id}@example.org>")), "{}", messages[0].text);
    assert!(messages[0].text.contains("line one\r\nline two"), "{}", messages[0].text);
}

#[tokio::test(flavor = "multi_thread")]
async fn same_dedupe_key_is_delivered_once() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let lab = Lab::with(settings).await;
    let body = with(email("once"), &[("dedupe_key", json!("run-1/ended"))]);
    let path = queue(&lab, &body).await;
    let again = lab.operator.post("/itsm/notifications", &body).await.expect(200);
    assert!(path.ends_with(again["id"].as_str().unwrap()));
    eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
    lab.operator.post("/itsm/notifications", &body).await.expect(200);
    let found = lab.operator.get("/itsm/notifications?dedupe_key=run-1/ended").await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(mailbox.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_asked_by_mail_for_every_version_they_must_decide_on() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let lab = Lab::with(settings).await;
    let approvers = json!(["arjun@example.org", "anna@example.org"]);
    for subject in ["arjun", "anna"] {
        lab.service.add_person(subject, &format!("{subject}@example.org"), &[Role::Approver]).await;
    }
    let path = lab.submitted(&with(lab.normal(), &[("approver_emails", approvers)])).await;
    let delivered = |count: usize| {
        move |page: &Value| {
            page["items"].as_array().unwrap().iter().filter(|one| one["state"] == "delivered").count()
                == count
        }
    };
    eventually(&lab.operator, "/itsm/notifications", delivered(2)).await;
    let messages = mailbox.messages();
    let mut to: Vec<&str> = messages.iter().map(|message| message.to[0].as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["anna@example.org", "arjun@example.org"]);
    for wanted in [
        "Subject: Approval needed: CHG0000001 patch web-01",
        "https://patch.example.org/approve/CHG0000001",
        "patchctl change approve CHG0000001",
        "olivia asks you",
        "web-01",
        crate::lab::HASH,
    ] {
        assert!(messages[0].text.contains(wanted), "{wanted}: {}", messages[0].text);
    }
    lab.approver.post(&format!("{path}/approve"), &json!({})).await.expect(200);
    lab.operator.patch(&path, &json!({"ci_ids": ["web-01", "web-02"]})).await.expect(200);
    eventually(&lab.operator, "/itsm/notifications", delivered(4)).await;
    // A standard change asks nobody.
    let standard = with(lab.standard(), &[("approver_emails", json!(["arjun@example.org"]))]);
    lab.submitted(&standard).await;
    let page = lab.operator.get("/itsm/notifications").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_headers_and_addresses_are_refused() {
    let lab = Lab::start().await;
    for (field, value) in [
        ("subject", json!("a\r\nBcc: x@example.org")),
        ("subject", json!("a\nb")),
        ("subject", json!("")),
        ("subject", json!("x".repeat(201))),
        ("recipient", json!("a@example.org\r\nBcc: b@example.org")),
        ("recipient", json!("a@example.org, b@example.org")),
        ("recipient", json!("Owner <owner@example.org>")),
        ("recipient", json!("-oQ/tmp/x")),
        ("body", json!("x".repeat(100_001))),
        ("dedupe_key", json!("")),
        ("channel", json!("pager")),
    ] {
        let body = with(email("x"), &[(field, value)]);
        let problem = lab.operator.post("/itsm/notifications", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{problem}");
    }
    assert_eq!(lab.operator.get("/itsm/notifications").await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_is_filtered_and_paged() {
    let lab = Lab::start().await;
    for number in 0..5 {
        queue(&lab, &with(email("x"), &[("recipient", json!(format!("p{}@example.org", number % 2)))])).await;
    }
    let count = async |query: &str| {
        let page = lab.operator.get(&format!("/itsm/notifications?{query}")).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("channel=email").await, 5);
    assert_eq!(count("channel=webhook").await, 0);
    assert_eq!(count("recipient=p1@example.org").await, 2);
    let first = lab.operator.get("/itsm/notifications?limit=3").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    assert_eq!(count(&format!("limit=3&page_token={token}")).await, 2);
    let unknown = "/itsm/notifications/00000000-0000-7000-8000-000000000000";
    lab.operator.get(unknown).await.expect_problem(404);
    lab.operator.post(&format!("{unknown}/resend"), &json!({})).await.expect_problem(404);
}
