//! Approval where people sign in at an identity provider: a link asks for it, and alone decides nothing.

use api_types::access::Role;
use itsm::{Itsm, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use service_kit::{Clock, Limits};
use test_support::{Browser, IdentityProvider, Shown, TestDatabase, TestService};
use tokio::net::TcpListener;

use crate::{
    lab::{HASH, with},
    smtp_server::SmtpServer,
};

const ARJUN: &str = "arjun@example.org";
const CHANGE: &str = "/itsm/changes/CHG0000001";

fn change(service: &TestService) -> Value {
    let now = service.clock.now();
    json!({
        "kind": "normal", "short_description": "patch web-01", "ci_ids": ["web-01"], "plan_hash": HASH,
        "start_at": now - chrono::TimeDelta::hours(1), "end_at": now + chrono::TimeDelta::hours(23),
    })
}

/// A change of `olivia` that waits, for `arjun` to approve.
async fn submit(service: &TestService) {
    let operator = service.operator().await;
    let body = with(change(service), &[("approver_emails", json!([ARJUN]))]);
    let change = operator.post("/itsm/changes", &body).await.expect(201);
    let path = format!("/itsm/changes/{}/submit", change["id"].as_str().unwrap());
    operator.post(&path, &json!({})).await.expect(200);
}

async fn decide(browser: &mut Browser, service: &TestService) -> Shown {
    let headers = [("content-type", "application/json"), ("x-patch-console", "1")];
    let body = json!({ "comment": "read", "plan_hash": HASH }).to_string();
    browser.send(Method::POST, &format!("{}{CHANGE}/approve", service.base), &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn link_asks_for_sign_in_and_the_person_who_signed_in_decides() {
    let Some(server) = SmtpServer::start().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let Some(mut provider) = IdentityProvider::start(&[&base]).await else { return };
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    let settings = Settings {
        smtp_url: Some(server.url.clone().into()),
        approval_key_file: Some(key),
        ..Settings::default()
    };

    // A link that was sent before there was a provider.
    let before = TestService::start::<Itsm>(database.url(), settings.clone()).await;
    before.add_person("arjun", ARJUN, &[Role::Approver]).await;
    submit(&before).await;
    let mail = server.messages(ARJUN, 1).await[0]["body"].as_str().unwrap().to_owned();
    let token =
        mail.split("#link=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    before.nobody().post("/approve/CHG0000001/read", &json!({ "token": token })).await.expect(200);
    before.stop().await;

    let start = (listener, Clock::system(), Limits::default());
    let service =
        TestService::start_with_sign_in::<Itsm>(database.url(), settings, start, &provider.config()).await;
    let nobody = service.nobody();
    nobody.post("/approve/CHG0000001/read", &json!({ "token": token })).await.expect_problem(401);
    let body = json!({ "token": token, "decision": "approved", "comment": "" });
    let refused = nobody.post("/approve/CHG0000001/decide", &body).await.expect_problem(401);
    assert!(refused["detail"].as_str().unwrap().contains("sign in"), "{refused:#}");
    let page = nobody.get("/approve/CHG0000001").await;
    assert!(page.status == 200 && page.text.contains("access/oidc/login?return_to="), "{}", page.text);

    // A new mail has no secret.
    submit(&service).await;
    let mails = server.messages(ARJUN, 2).await;
    let mut bodies = mails.iter().filter_map(|mail| mail["body"].as_str());
    let mail = bodies.find(|body| body.contains("CHG0000002")).expect("the mail of the second change");
    assert!(mail.contains("/approve/CHG0000002") && !mail.contains("#link="), "{mail}");

    let login = format!("{base}/access/oidc/login?return_to=/approve/CHG0000001");
    provider.person("v-1", "vera2", &["readers"]).await;
    provider.person("a-1", "arjun", &["change-board"]).await;
    let mut reader = Browser::default();
    let back = format!("{base}/approve/");
    let callback = reader.sign_in(&login, "v-1", Some(&back)).await;
    assert_eq!(callback.next(), Some(format!("{back}CHG0000001")), "{}", callback.text);
    assert_eq!(decide(&mut reader, &service).await.status, 403, "a reader decides nothing");

    let mut approver = Browser::default();
    let callback = approver.sign_in(&login, "a-1", Some(&back)).await;
    let shown = approver.get(&callback.next().expect("the page of the change")).await;
    assert_eq!((shown.status.as_u16(), shown.url.path()), (200, "/approve/CHG0000001"), "{}", shown.text);
    // Who requested it cannot decide, whatever the groups say.
    let also_operator = service.as_role("arjun", &[Role::Operator]).await;
    let own = also_operator.post("/itsm/changes", &change(&service)).await.expect(201);
    let own = format!("/itsm/changes/{}", own["id"].as_str().unwrap());
    also_operator.post(&format!("{own}/submit"), &json!({})).await.expect(200);
    let headers = [("content-type", "application/json"), ("x-patch-console", "1")];
    let refused =
        approver.send(Method::POST, &format!("{base}{own}/approve"), &headers, "{}".to_owned()).await;
    assert!(refused.status == 403 && refused.text.contains("`arjun` requested"), "{}", refused.text);

    let decided = decide(&mut approver, &service).await;
    assert_eq!(decided.status, 200, "{}", decided.text);
    let decided: Value = serde_json::from_str(&decided.text).unwrap();
    assert_eq!(
        (&decided["state"], &decided["approvals"][0]["approver"]),
        (&json!("approved"), &json!("arjun"))
    );
}
