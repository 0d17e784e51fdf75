//! Webhooks as the Standard Webhooks specification defines them, and their receivers.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::{
    Clock,
    webhooks::{Secret, SignatureFault, verify},
};
use test_support::Http;

use crate::{
    lab::{Lab, eventually, with},
    mailbox::Mailbox,
    outbox::{queue, settings, webhook},
    receiver::{Received, Receiver, Reply},
};

/// A service with a clock of its own, and a receiver that it may reach.
async fn lab() -> (Lab, Receiver) {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let lab = Lab::at(settings(&mailbox, &receiver), Clock::fixed(Utc::now())).await;
    (lab, receiver)
}

fn check(received: &Received, secret: &str, lab: &Lab) -> Result<String, SignatureFault> {
    let secret = Secret::parse(secret).expect("a secret of the specification");
    verify(&[secret], &received.headers, &received.body, lab.now()).map(str::to_owned)
}

/// Sends a message and returns what the receiver got.
async fn deliver(lab: &Lab, receiver: &Receiver, customer: Option<&str>) -> Received {
    let before = receiver.received().len();
    let path = queue(lab, &with(webhook(receiver), &[("customer", json!(customer))])).await;
    eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
    receiver.wait_for(before + 1).await[before].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_is_a_signed_event_with_the_same_id_at_every_attempt() {
    let (lab, receiver) = lab().await;
    let secret = lab.service.register_webhook(&receiver.url(), None).await;
    receiver.answer_next(&[Reply::AtOnce(503), Reply::AtOnce(500)]);
    let path = queue(&lab, &webhook(&receiver)).await;
    let delivered = eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
    let received = receiver.wait_for(3).await;
    for one in &received {
        assert_eq!(check(one, &secret, &lab).as_deref(), Ok(delivered["id"].as_str().unwrap()));
        assert_eq!(one.headers["webhook-timestamp"], lab.now().timestamp().to_string().as_str());
    }
    assert_eq!(received[0].headers["content-type"], "application/cloudevents+json");
    let event = received[0].event();
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &delivered["id"]));
    assert_eq!(event["source"], "https://patch.example.org/itsm");
    assert_eq!(event["data"], json!({"subject": "run ended", "body": "24 hosts patched"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_customer_has_a_secret_of_its_own_at_the_same_receiver() {
    let (lab, receiver) = lab().await;
    let acme = lab.service.register_webhook(&receiver.url(), Some("acme-corp")).await;
    let globex = lab.service.register_webhook(&receiver.url(), Some("globex")).await;
    let received = deliver(&lab, &receiver, Some("acme-corp")).await;
    assert!(check(&received, &acme, &lab).is_ok());
    assert_eq!(check(&received, &globex, &lab), Err(SignatureFault::NoMatch));
    // Nobody else's secret signs for those that have none.
    for customer in [json!("initech"), Value::Null] {
        let path = queue(&lab, &with(webhook(&receiver), &[("customer", customer.clone())])).await;
        let failed = eventually(&lab.operator, &path, |one| one["state"] == "failed").await;
        assert!(failed["last_error"].as_str().unwrap().contains("patchctl webhook create"), "{failed}");
    }
    assert_eq!(receiver.received().len(), 1);
}

async fn id_of_only_receiver(http: &Http) -> String {
    let page = http.get("/access/webhooks").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    page["items"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_secret_sign_next_to_each_other_for_the_stated_time() {
    let (lab, receiver) = lab().await;
    let first = lab.service.register_webhook(&receiver.url(), None).await;
    let admin = lab.service.admin().await;
    let rotate = format!("/access/webhooks/{}/rotate", id_of_only_receiver(&admin).await);
    admin.post(&rotate, &json!({ "overlap_hours": 721 })).await.expect_problem(422);
    let rotated = admin.post(&rotate, &json!({ "overlap_hours": 2 })).await.expect(200);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert_eq!(rotated["receiver"]["secrets"].as_array().unwrap().len(), 2);
    let received = deliver(&lab, &receiver, None).await;
    for secret in [&first, &second] {
        assert!(check(&received, secret, &lab).is_ok());
    }
    lab.service.clock.advance(TimeDelta::hours(2));
    let received = deliver(&lab, &receiver, None).await;
    assert_eq!(check(&received, &first, &lab), Err(SignatureFault::NoMatch));
    assert!(check(&received, &second, &lab).is_ok());
    // Without an overlap, the old one ends at once.
    let third = admin.post(&rotate, &json!({ "overlap_hours": 0 })).await.expect(200);
    let received = deliver(&lab, &receiver, None).await;
    assert_eq!(check(&received, &second, &lab), Err(SignatureFault::NoMatch));
    assert!(check(&received, third["secret"].as_str().unwrap(), &lab).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_manage_receivers_and_nobody_sees_a_secret_twice() {
    let (lab, receiver) = lab().await;
    let admin = lab.service.admin().await;
    let url = format!("{}?key=hunter2", receiver.url());
    let request = json!({ "url": url, "customer": "acme-corp" });
    for other in [&lab.operator, &lab.approver] {
        other.post("/access/webhooks", &request).await.expect_problem(403);
    }
    let issued = admin.post("/access/webhooks", &request).await.expect(201);
    let (secret, id) = (issued["secret"].as_str().unwrap(), issued["receiver"]["id"].as_str().unwrap());
    admin.post("/access/webhooks", &request).await.expect_problem(409);
    for (field, value) in [
        ("url", json!("ftp://hooks.example.org/")),
        ("url", json!("https://name:password@hooks.example.org/")),
        ("customer", json!("No Slug")),
    ] {
        let wrong = with(request.clone(), &[(field, value)]);
        let problem = admin.post("/access/webhooks", &wrong).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{problem}");
    }
    let shown = lab.operator.get("/access/webhooks").await.expect(200);
    assert_eq!(
        (&shown["items"][0]["url"], &shown["items"][0]["customer"]),
        (&json!(url), &json!("acme-corp"))
    );
    let seen = lab.service.viewer().await.get("/access/webhooks").await.expect(200);
    assert!(!seen.to_string().contains("hunter2"), "{seen}");
    admin.post(&format!("/access/webhooks/{id}/rotate"), &json!({})).await.expect(200);
    let audited = lab.audited(&format!("webhook/{id}")).await;
    let text = format!("{shown} {audited:?}");
    let bytes = secret.strip_prefix("whsec_").unwrap();
    assert!(!text.contains(bytes), "the secret is shown again");
    assert!(!format!("{audited:?}").contains("hunter2"), "{audited:?}");

    lab.operator.delete(&format!("/access/webhooks/{id}")).await.expect_problem(403);
    admin.delete(&format!("/access/webhooks/{id}")).await.expect(204);
    admin.delete(&format!("/access/webhooks/{id}")).await.expect_problem(404);
    admin.post(&format!("/access/webhooks/{id}/rotate"), &json!({})).await.expect_problem(404);
    let actions: Vec<Value> =
        lab.audited(&format!("webhook/{id}")).await.iter().map(|one| one["action"].clone()).collect();
    assert_eq!(actions, ["create_webhook", "rotate_webhook", "delete_webhook"]);
    let changed = [("recipient", json!(url)), ("customer", json!("acme-corp"))];
    let path = queue(&lab, &with(webhook(&receiver), &changed)).await;
    eventually(&lab.operator, &path, |one| one["state"] == "failed").await;
    // The database has nothing from which the secret could be read.
    let stored: Vec<String> = sqlx::query_scalar("SELECT secret::text FROM platform.webhook_secrets secret")
        .fetch_all(&lab.service.pool)
        .await
        .unwrap();
    assert!(stored.is_empty(), "a removed receiver leaves secrets: {stored:?}");
}
