//! Webhooks do not become a way inside.

use itsm::Settings;
use serde_json::{Value, json};

use crate::{
    lab::{Lab, eventually, with},
    mailbox::Mailbox,
    outbox::{queue, settings, webhook},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_receivers_are_refused_or_fail_without_a_connection() {
    let Some(file) = test_support::shared_data("vectors/security/ssrf-webhooks.json") else { return };
    let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let settings = Settings { first_retry_ms: 1, ..Settings::default() };
    let lab = Lab::with(settings).await;
    let mut late = Vec::new();
    for vector in &vectors {
        let url = vector["url"].as_str().unwrap();
        let body = json!({"channel": "webhook", "recipient": url, "subject": "x", "body": "x"});
        let answer = lab.operator.post("/itsm/notifications", &body).await;
        if url.contains(".test/") {
            late.push(format!("/itsm/notifications/{}", answer.expect(201)["id"].as_str().unwrap()));
        } else {
            let problem = answer.expect_problem(422);
            assert_eq!(problem["errors"][0]["pointer"], "/recipient", "{url}: {problem}");
        }
    }
    assert!(vectors.len() > 60 && late.len() == 4);
    for path in late {
        let failed = eventually(&lab.operator, &path, |one| one["state"] == "failed").await;
        let error = failed["last_error"].as_str().unwrap();
        assert!(error.contains("has no address") || error.contains("private network"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receiver_that_is_not_allowed_any_more_is_refused_at_delivery() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let allowing = settings(&mailbox, &receiver);
    let lab = Lab::with(Settings { allow_webhook_to: Vec::new(), ..allowing }).await;
    lab.operator.post("/itsm/notifications", &webhook(&receiver)).await.expect_problem(422);
    // Queued while it was allowed, by a process that is gone.
    let insert =
        "INSERT INTO itsm.notifications (id, channel, recipient, subject, body, next_attempt_at, created_at)
         VALUES ($1, 'webhook', $2, 'x', 'x', now(), now())";
    let id = uuid::Uuid::now_v7();
    sqlx::query(insert).bind(id).bind(receiver.url()).execute(&lab.service.pool).await.unwrap();
    let failed =
        eventually(&lab.operator, &format!("/itsm/notifications/{id}"), |one| one["state"] == "failed").await;
    assert!(failed["last_error"].as_str().unwrap().contains("--allow-webhook-to"), "{failed}");
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_name_is_reached_at_the_address_behind_it() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let mut settings = settings(&mailbox, &receiver);
    let port = receiver.address.rsplit(':').next().unwrap();
    settings.allow_webhook_to = vec![format!("localhost:{port}")];
    let lab = Lab::with(settings).await;
    let url = format!("http://localhost:{port}/hook");
    lab.service.register_webhook(&url, None).await;
    let path = queue(&lab, &with(webhook(&receiver), &[("recipient", json!(url))])).await;
    eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_no_secret_of_an_address_in_any_field() {
    let lab = Lab::start().await;
    let url = "https://hooks.example.org/patching?key=hunter2";
    let body = json!({"channel": "webhook", "recipient": url, "subject": "x", "body": "x",
        "dedupe_key": format!("run:1:{url}")});
    let made = lab.operator.post("/itsm/notifications", &body).await.expect(201);
    let one = format!("/itsm/notifications/{}", made["id"].as_str().unwrap());
    let viewer = lab.service.viewer().await;
    for path in ["/itsm/notifications", &one] {
        let seen = viewer.get(path).await.expect(200).to_string();
        assert!(
            seen.contains("run:1:https://hooks.example.org/[hidden]") && !seen.contains("hunter2"),
            "{seen}"
        );
        assert!(
            lab.operator.get(path).await.text.contains("hunter2"),
            "an operator sees what an operator wrote"
        );
    }
}
