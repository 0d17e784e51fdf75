//! The end of the audit chain goes to a file, a receiver of webhooks and a syslog server, signed.

use std::{path::Path, time::Duration};

use itsm::{Itsm, Settings};
use serde_json::{Value, json};
use service_kit::{
    audit_export::{AuditExportConfig, AuditExports, PublicKey, SignedHead, SyslogAddress},
    webhooks::{Secret, verify},
};
use test_support::{Http, TestDatabase, TestService};
use tokio::net::UdpSocket;

use crate::{
    lab::eventually,
    outbox::email,
    receiver::{Receiver, Reply},
};

fn exports(folder: &Path, receiver: &Receiver, syslog: &UdpSocket) -> AuditExports {
    let key = folder.join("audit-key");
    std::fs::write(&key, "a key of audit chains for tests only").unwrap();
    AuditExports::new(&AuditExportConfig {
        audit_key_file: Some(key),
        audit_export_file: Some(folder.join("audit-heads")),
        audit_export_url: Some(receiver.url()),
        audit_export_syslog: Some(SyslogAddress::Udp(syslog.local_addr().unwrap().to_string())),
        audit_export_seconds: 1,
    })
    .unwrap()
}

/// Waits until an export to this destination is as wanted.
async fn until(auditor: &Http, destination: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let exports: Value = auditor.get("/access/audit/exports").await.expect(200);
        let found = exports.as_array().unwrap().iter().find(|one| one["destination"] == destination);
        if let Some(found) = found.filter(|found| wanted(found)) {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the export to {destination} never was as wanted");
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_the_chain_is_exported_signed_to_every_destination_until_it_arrives() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::open().await);
    let syslog = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let database = TestDatabase::create().await;
    let exports = exports(folder.path(), &receiver, &syslog);
    let public: PublicKey = exports.public_key().unwrap();
    let service = TestService::start_exporting::<Itsm>(database.url(), Settings::default(), exports).await;
    let auditor = service.as_role("audra", &[api_types::access::Role::Auditor]).await;
    service.operator().await.get("/access/audit/exports").await.expect_problem(403);
    let operator = service.operator().await;
    operator.post("/itsm/notifications", &email("a record")).await.expect(201);
    eventually(&auditor, "/access/audit/check", |check| check["position"].as_i64() > Some(0)).await;

    let of_file = until(&auditor, "file", |one| one["position"].is_i64()).await;
    assert_eq!((&of_file["public_key"], &of_file["attempts"]), (&json!(public.to_string()), &json!(0)));
    let text = std::fs::read_to_string(folder.path().join("audit-heads")).unwrap();
    let head = SignedHead::find(text.lines().next().unwrap()).unwrap();
    assert!(head.is_signed_by(&public));
    let hashes =
        auditor.get(&format!("/access/audit/hashes?positions={},999999", head.position)).await.expect(200);
    assert_eq!(hashes, json!([{ "position": head.position, "hash": head.hash }]));
    for wrong in ["", "0", "x", "1,,2"] {
        auditor.get(&format!("/access/audit/hashes?positions={wrong}")).await.expect_problem(422);
    }

    let mut datagram = [0; 4000];
    let length = syslog.recv(&mut datagram).await.unwrap();
    let line = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(line.starts_with("<110>1 ") && line.contains(" itsm "), "{line}");
    assert!(SignedHead::find(&line).unwrap().is_signed_by(&public));

    // Nobody has registered the receiver: the end waits, and says why.
    let waiting = until(&auditor, "webhook", |one| one["last_error"].is_string()).await;
    assert!(waiting["last_error"].as_str().unwrap().contains("patchctl webhook create"), "{waiting}");
    assert!(waiting["exported_at"].is_null() && receiver.received().is_empty(), "{waiting}");
    receiver.answer_next(&[Reply::AtOnce(503)]);
    let secret = Secret::parse(&service.register_webhook(&receiver.url(), None).await).unwrap();
    until(&auditor, "webhook", |one| one["exported_at"].is_string()).await;
    let received = receiver.wait_for(2).await;
    for one in &received[..2] {
        let now = service.clock.now();
        assert!(verify(std::slice::from_ref(&secret), &one.headers, &one.body, now).is_ok());
        let event = one.event();
        assert_eq!(event["type"], "patch-manager.audit.head");
        assert!(SignedHead::find(&event["data"].to_string()).unwrap().is_signed_by(&public));
    }
    assert_eq!(received[0].headers["webhook-id"], received[1].headers["webhook-id"], "another message");
    assert_eq!(received[0].body, received[1].body);
    service.stop().await;
}
