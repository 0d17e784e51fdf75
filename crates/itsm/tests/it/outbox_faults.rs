//! Deliveries that fail, wait, are given up, or change hands.

use std::{sync::Arc, time::Duration};

use itsm::{Itsm, Settings};
use serde_json::{Value, json};
use test_support::{TestDatabase, TestService};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    lab::{Lab, eventually},
    mailbox::Mailbox,
    outbox::{email, queue, settings, webhook},
    receiver::{Receiver, Reply},
};

#[tokio::test(flavor = "multi_thread")]
async fn failed_deliveries_are_tried_again_until_they_succeed() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let lab = Lab::with(settings).await;
    lab.service.register_webhook(&receiver.url(), None).await;
    mailbox.refuse_next(&["451 try later", "421 busy"]);
    receiver.answer_next(&[500, 302, 404].map(Reply::AtOnce));
    let (mail, hook) = (queue(&lab, &email("x")).await, queue(&lab, &webhook(&receiver)).await);
    let delivered = eventually(&lab.operator, &mail, |one| one["state"] == "delivered").await;
    assert_eq!(delivered["attempts"], 3);
    let delivered = eventually(&lab.operator, &hook, |one| one["state"] == "delivered").await;
    assert_eq!(delivered["attempts"], 4);
    assert!(delivered["last_error"].is_null());
    // A redirect was not followed: each attempt made one request.
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_is_given_up_after_eight_attempts_and_can_be_sent_again() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let lab = Lab::with(settings).await;
    lab.service.register_webhook(&receiver.url(), None).await;
    receiver.answer_next(&[503; 8].map(Reply::AtOnce));
    let path = queue(&lab, &webhook(&receiver)).await;
    let failed = eventually(&lab.operator, &path, |one| one["state"] == "failed").await;
    assert_eq!(failed["attempts"], 8);
    assert!(failed["next_attempt_at"].is_null());
    let error = failed["last_error"].as_str().unwrap();
    assert!(error.contains("503") && !error.contains("/hook"), "{error}");

    let pending = lab.operator.post(&format!("{path}/resend"), &json!({})).await.expect(200);
    assert_eq!((&pending["state"], &pending["attempts"]), (&json!("pending"), &json!(0)));
    eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
    let id = path.rsplit('/').next().unwrap();
    let outcomes: Vec<Value> = lab.audited(&format!("notification/{id}")).await;
    let actions: Vec<&str> = outcomes.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["create_notification", "deliver_notification", "resend_notification", "deliver_notification"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_retry_can_mend_fails_at_once() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let with_both = settings(&mailbox, &receiver);
    let lab = Lab::with(with_both).await;
    lab.service.register_webhook(&receiver.url(), None).await;
    mailbox.refuse_next(&["550 no such person"]);
    receiver.answer_next(&[Reply::AtOnce(410)]);
    for body in [email("x"), webhook(&receiver)] {
        let path = queue(&lab, &body).await;
        let failed = eventually(&lab.operator, &path, |one| one["state"] == "failed").await;
        assert_eq!(failed["attempts"], 1);
    }

    let neither = Settings { allow_webhook_to: vec![receiver.address.clone()], ..Settings::default() };
    let lab = Lab::with(neither).await;
    for (body, wanted) in
        [(email("x"), "no mail server is configured"), (webhook(&receiver), "no receiver is registered")]
    {
        let path = queue(&lab, &body).await;
        let failed = eventually(&lab.operator, &path, |one| one["state"] == "failed").await;
        assert!(failed["last_error"].as_str().unwrap().contains(wanted), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_receiver_leaves_no_address_in_the_error() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let mut settings = settings(&mailbox, &receiver);
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    settings.allow_webhook_to.push(closed.to_string());
    settings.first_retry_ms = 600_000;
    let lab = Lab::with(settings).await;
    let url = format!("http://{closed}/path-secret?token=query-secret");
    lab.service.register_webhook(&url, None).await;
    let path = queue(&lab, &crate::lab::with(webhook(&receiver), &[("recipient", json!(url))])).await;
    let waiting = eventually(&lab.operator, &path, |one| one["last_error"].is_string()).await;
    assert_eq!(waiting["state"], "pending");
    let error = waiting["last_error"].as_str().unwrap();
    assert!(error.contains("could not be reached") && !error.contains("secret"), "{error}");
}

/// Gives the row to a worker that does not exist in this process.
async fn hand_over(lab: &Lab, id: Uuid, worker: Uuid) {
    let hand_over =
        "UPDATE itsm.notifications SET lease_owner = $2, lease_epoch = lease_epoch + 1 WHERE id = $1";
    sqlx::query(hand_over).bind(id).bind(worker).execute(&lab.service.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_whose_lease_was_lost_is_made_again_under_the_same_id() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let lab = Lab::with(settings).await;
    lab.service.register_webhook(&receiver.url(), None).await;
    let other = Uuid::now_v7();
    let register =
        "INSERT INTO leases.workers (id, name, lease_until) VALUES ($1, 'other', now() + interval '1 hour')";
    sqlx::query(register).bind(other).execute(&lab.service.pool).await.unwrap();

    // The first attempt is answered only after another worker has taken the row: its success cannot be recorded.
    let call = Arc::new(Notify::new());
    receiver.answer_next(&[Reply::OnCall(204, call.clone())]);
    let path = queue(&lab, &webhook(&receiver)).await;
    let id: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
    receiver.wait_for(1).await;
    hand_over(&lab, id, other).await;
    call.notify_one();
    // Long enough for the outcome to be recorded, if it could be.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let still = lab.operator.get(&path).await.expect(200);
    assert_eq!(still["state"], "pending", "a worker without the lease recorded an outcome");
    assert_eq!(receiver.received().len(), 1, "a live owner's row was taken");

    // The other worker dies; the row is taken up again.
    sqlx::query("DELETE FROM leases.workers WHERE id = $1")
        .bind(other)
        .execute(&lab.service.pool)
        .await
        .unwrap();
    let delivered = eventually(&lab.operator, &path, |one| one["state"] == "delivered").await;
    assert_eq!(delivered["attempts"], 2);
    let received = receiver.wait_for(2).await;
    assert_eq!(received[0].event()["id"], received[1].event()["id"]);
    assert_eq!(received[0].headers["webhook-id"], received[1].headers["webhook-id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempt_that_killed_its_process_counts_and_is_taken_up_by_the_next() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let database = TestDatabase::create().await;
    // A row as a killed process leaves it: counted, owned by nobody alive.
    TestService::start::<Itsm>(database.url(), Settings::default()).await.stop().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let insert = "INSERT INTO itsm.notifications (id, channel, recipient, subject, body, attempts, next_attempt_at, created_at, lease_owner, lease_epoch)
         VALUES ($1, 'email', 'owner@example.org', 'left over', 'text', $2, now(), now(), $3, 1)";
    let (interrupted, deadly) = (Uuid::now_v7(), Uuid::now_v7());
    for (id, attempts) in [(interrupted, 1), (deadly, 8)] {
        sqlx::query(insert).bind(id).bind(attempts).bind(Uuid::now_v7()).execute(&pool).await.unwrap();
    }

    let service = TestService::start::<Itsm>(database.url(), settings).await;
    let operator = service.operator().await;
    let path = |id: Uuid| format!("/itsm/notifications/{id}");
    let given_up = eventually(&operator, &path(deadly), |one| one["state"] == "failed").await;
    assert_eq!(given_up["attempts"], 9);
    let taken_up = eventually(&operator, &path(interrupted), |one| one["state"] == "delivered").await;
    assert_eq!(taken_up["attempts"], 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_outbox_and_deliver_each_notification_once() {
    let (mailbox, receiver) = (Mailbox::open().await, Receiver::open().await);
    let settings = settings(&mailbox, &receiver);
    let database = TestDatabase::create().await;
    let one = TestService::start::<Itsm>(database.url(), settings.clone()).await;
    let two = TestService::start::<Itsm>(database.url(), settings).await;
    let operator = one.operator().await;
    for number in 0..60 {
        operator.post("/itsm/notifications", &email(&format!("number {number}"))).await.expect(201);
    }
    eventually(&operator, "/itsm/notifications?state=delivered", |page| {
        page["items"].as_array().unwrap().len() == 60
    })
    .await;
    assert_eq!(mailbox.messages().len(), 60);
    one.stop().await;
    two.stop().await;
}
