//! Approval by the one-time link of an e-mail.

use api_types::access::Role;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use itsm::Settings;
use serde_json::{Value, json};
use service_kit::Clock;
use sha2::Sha256;

use crate::{
    lab::{HASH, Lab, OTHER_HASH, with},
    smtp_server::SmtpServer,
};

const ARJUN: &str = "arjun@example.org";
const KEY: &str = "0123456789abcdef0123456789abcdef";

struct Desk {
    lab: Lab,
    server: SmtpServer,
    _key: tempfile::TempDir,
}

async fn desk_at(clock: Clock) -> Option<Desk> {
    let server = SmtpServer::start().await?;
    let key = tempfile::tempdir().unwrap();
    let file = key.path().join("key");
    std::fs::write(&file, KEY).unwrap();
    let smtp_url = Some(server.url.clone().into());
    let settings = Settings { smtp_url, approval_key_file: Some(file), ..Settings::default() };
    let lab = Lab::at(settings, clock).await;
    lab.service.add_person("arjun", ARJUN, &[Role::Approver]).await;
    Some(Desk { lab, server, _key: key })
}

macro_rules! desk {
    ($clock:expr) => {
        match desk_at($clock).await {
            Some(desk) => desk,
            None => return,
        }
    };
}

impl Desk {
    async fn submit(&self, more: &[(&str, Value)]) -> String {
        let addressed = with(self.lab.normal(), &[("approver_emails", json!([ARJUN]))]);
        self.lab.submitted(&with(addressed, more)).await
    }

    /// The newest link that came by e-mail: the page's path and the secret.
    async fn link(&self, to: &str, count: usize) -> (String, String) {
        let messages = self.server.messages(to, count).await;
        let links: Vec<String> =
            messages.iter().filter_map(|message| link_in(message["body"].as_str()?)).collect();
        assert_eq!(links.len(), count, "{messages:#?}");
        let newest = links.last().unwrap();
        let (page, token) = newest.split_once("#link=").unwrap();
        (page.replace("http://127.0.0.1:8082", ""), token.to_owned())
    }

    async fn decide(&self, page: &str, token: &str, decision: &str) -> test_support::Answer {
        let body = json!({ "token": token, "decision": decision, "comment": "read on the train" });
        self.lab.service.nobody().post(&format!("{page}/decide"), &body).await
    }
}

fn link_in(body: &str) -> Option<String> {
    body.lines().map(str::trim).find(|line| line.contains("#link=")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn link_of_the_mail_decides_once_and_only_by_a_post() {
    let desk = desk!(Clock::system());
    let evidence = json!({ "strategy": "canary", "prediction": { "duration_p50_seconds": 600, "duration_p95_seconds": 900,
        "expected_failed_hosts": 0.2, "halt_probability": 0.05, "waves": 3, "max_hosts_down": 2 } });
    let path = desk.submit(&[("evidence", evidence)]).await;
    let mail = &desk.server.messages(ARJUN, 1).await[0];
    let body = mail["body"].as_str().unwrap();
    for part in ["Approval needed", "patch web-01"] {
        assert!(mail["subject"].as_str().unwrap().contains(part), "{mail:#}");
    }
    for part in ["risk       moderate", HASH, "strategy canary", "halts in 5.0 %", "at most 2 hosts down"] {
        assert!(body.contains(part), "`{part}` is missing from the mail:\n{body}");
    }
    let (page, token) = desk.link(ARJUN, 1).await;

    let nobody = desk.lab.service.nobody();
    let shown = nobody.get(&page).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(
        desk.lab.operator.get(&path).await.expect(200)["state"],
        "pending_approval",
        "a look decides nothing"
    );
    assert_eq!(nobody.get(&format!("{page}/decide")).await.status, 405);
    let read = nobody.post(&format!("{page}/read"), &json!({ "token": token })).await.expect(200);
    assert_eq!(
        (read["approver"].as_str(), read["change"]["plan_hash"].as_str()),
        (Some("arjun"), Some(HASH))
    );

    let decided = desk.decide(&page, &token, "approved").await.expect(200);
    assert_eq!(decided["state"], "approved");
    assert_eq!(decided["approvals"][0]["approver"], "arjun");
    assert_eq!(decided["approvals"][0]["comment"], "read on the train");
    let again = desk.decide(&page, &token, "rejected").await.expect_problem(409);
    assert!(again["type"].as_str().unwrap().ends_with("link-used"), "{again:#}");

    let stored = desk.lab.operator.get("/itsm/notifications").await;
    assert!(!stored.text.contains(&token) && !stored.text.contains("#link="), "the outbox shows the link");
    let change = path.rsplit('/').next().unwrap();
    let audited = desk.lab.audited(&format!("change/{change}")).await;
    assert!(!json!(audited).to_string().contains(&token), "the audit log shows the link");
    let by_link = audited.iter().find(|record| record["subject"] == "arjun").unwrap();
    assert_eq!(by_link["reason"], format!("by the link to {ARJUN}: read on the train"));
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_voids_the_link_and_a_new_one_is_sent() {
    let desk = desk!(Clock::system());
    let path = desk.submit(&[]).await;
    let (page, old) = desk.link(ARJUN, 1).await;
    desk.lab.operator.patch(&path, &json!({ "plan_hash": OTHER_HASH })).await.expect(200);
    let refused = desk.decide(&page, &old, "approved").await.expect_problem(409);
    assert!(refused["type"].as_str().unwrap().ends_with("link-void"), "{refused:#}");
    let messages = desk.server.messages(ARJUN, 2).await;
    let new =
        messages.iter().filter_map(|it| link_in(it["body"].as_str()?)).find(|link| !link.contains(&old));
    let new = new.unwrap();
    let (_, token) = new.split_once("#link=").unwrap();
    assert_eq!(desk.decide(&page, token, "rejected").await.expect(200)["state"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn link_is_worth_nothing_for_others_and_not_for_ever() {
    let clock = Clock::fixed(chrono::Utc::now());
    let desk = desk!(clock.clone());
    let far = json!(desk.lab.now() + TimeDelta::days(30));
    desk.submit(&[("end_at", far)]).await;
    let (page, token) = desk.link(ARJUN, 1).await;
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for (page, token) in
        [(page.as_str(), forged.as_str()), (page.as_str(), ""), ("/approve/CHG0000002", token.as_str())]
    {
        desk.decide(page, token, "approved").await.expect_problem(403);
    }
    clock.advance(TimeDelta::hours(73));
    let late = desk.decide(&page, &token, "approved").await.expect_problem(409);
    assert!(late["type"].as_str().unwrap().ends_with("link-expired"), "{late:#}");
}

/// One operator writes an own address, or one of nobody who may approve, and would decide by the link.
#[tokio::test(flavor = "multi_thread")]
async fn requester_cannot_send_the_link_to_anybody_but_an_approver() {
    let desk = desk!(Clock::system());
    desk.lab.service.add_person("olivia", "olivia@example.org", &[Role::Operator]).await;
    desk.lab.service.add_person("both", "both@example.org", &[Role::Operator, Role::Approver]).await;
    let both = desk.lab.person("both", &[Role::Operator]).await;
    for (http, addresses, reason) in [
        (&desk.lab.operator, json!([ARJUN, "mallory@example.org"]), "belongs to nobody who may approve"),
        (&desk.lab.operator, json!([ARJUN, "olivia@example.org"]), "does not have the role `approver`"),
        (&both, json!([ARJUN, "Both@example.org"]), "who requested this"),
    ] {
        let body = with(desk.lab.normal(), &[("approver_emails", addresses)]);
        let problem = http.post("/itsm/changes", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/approver_emails/1", "{problem:#}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(reason), "{problem:#}");
    }
    assert_eq!(desk.lab.operator.get("/itsm/changes").await.expect(200)["items"], json!([]));
    assert_eq!(desk.lab.operator.get("/itsm/notifications").await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn approver_who_edits_gets_no_link_and_the_earlier_one_does_not_decide() {
    let desk = desk!(Clock::system());
    let path = desk.submit(&[]).await;
    let (page, token) = desk.link(ARJUN, 1).await;
    let arjun = desk.lab.person("arjun", &[Role::Operator, Role::Approver]).await;
    arjun.patch(&path, &json!({ "plan_hash": OTHER_HASH })).await.expect(200);
    let refused = desk.decide(&page, &token, "approved").await.expect_problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("`arjun` edited"), "{refused:#}");
    let change = path.rsplit('/').next().unwrap();
    let audited = desk.lab.audited(&format!("change/{change}")).await;
    let actions: Vec<&str> = audited.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["create_change", "submit_change", "skip_approval_request", "update_change", "refuse_approve_change"]
    );
    assert!(audited[2]["reason"].as_str().unwrap().contains("who edited this"), "{audited:#?}");
    assert_eq!(desk.server.messages(ARJUN, 1).await.len(), 1);
    assert_eq!(desk.lab.operator.get(&path).await.expect(200)["state"], "pending_approval");
}

#[tokio::test(flavor = "multi_thread")]
async fn link_follows_the_record_of_its_person() {
    let desk = desk!(Clock::system());
    let path = desk.submit(&[]).await;
    let (page, token) = desk.link(ARJUN, 1).await;
    // Not an approver any more.
    desk.lab.service.add_person("arjun", ARJUN, &[Role::Viewer]).await;
    desk.decide(&page, &token, "approved").await.expect_problem(403);
    // The address has gone to another approver, to whom the link was not sent.
    desk.lab.service.add_person("arjun", "arjun@example.net", &[Role::Approver]).await;
    desk.lab.service.add_person("anna", ARJUN, &[Role::Approver]).await;
    let refused = desk.decide(&page, &token, "approved").await.expect_problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("does not belong"), "{refused:#}");
    assert_eq!(desk.lab.operator.get(&path).await.expect(200)["state"], "pending_approval");
}

/// A link that was sent before links had a subject: it decides as the person who has its address.
#[tokio::test(flavor = "multi_thread")]
async fn link_of_an_earlier_version_decides_as_who_has_its_address() {
    let desk = desk!(Clock::system());
    desk.submit(&[]).await;
    let (page, token) = desk.link(ARJUN, 1).await;
    let pool = &desk.lab.service.pool;
    let (id, expires): (uuid::Uuid, i64) = sqlx::query_as(
        "UPDATE itsm.approval_links SET subject = NULL RETURNING id, (extract(epoch FROM expires_at) * 1000000)::bigint",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    desk.decide(&page, &token, "approved").await.expect_problem(403);
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(format!("approval/v1\n{id}\nCHG0000001\n{ARJUN}\n{HASH}\n{expires}").as_bytes());
    let old = URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), &mac.finalize().into_bytes()].concat());
    let decided = desk.decide(&page, &old, "approved").await.expect(200);
    assert_eq!(decided["approvals"][0]["approver"], "arjun");
}
