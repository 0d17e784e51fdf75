//! The console over HTTP: its files, the sessions of browsers, and the way to the other services.

use reqwest::Method;
use serde_json::{Value, json};
use test_support::{Answer, Http};

use crate::platform::Platform;

const ID: &str = "018f4e3a-0000-7000-8000-000000000002";

/// A browser with a session: its cookie as it would send it.
struct Browser {
    client: Http,
    cookie: String,
}

impl Browser {
    async fn sign_in(platform: &Platform, person: &Http) -> Self {
        let token = format!("Bearer {}", person.token().unwrap());
        let sent = [("authorization", token.as_str()), ("origin", platform.patch.base.as_str())];
        let client = platform.patch.nobody();
        let answer = client.send(Method::POST, "/access/session", &sent, None).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let set = answer.headers["set-cookie"].to_str().unwrap();
        assert!(set.contains("; HttpOnly; SameSite=Strict; Max-Age="), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        let secret = cookie.split_once('=').unwrap().1;
        assert!(!answer.text.contains(secret), "the secret is only in the cookie");
        Self { client, cookie }
    }

    async fn send(&self, method: Method, path: &str, more: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut headers = vec![("cookie", self.cookie.as_str()), ("content-type", "application/json")];
        headers.extend(more);
        self.client.send(method, path, &headers, body.map(|body| body.to_string().into_bytes())).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    async fn write(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send(method, path, &[("x-patch-console", "1")], body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn page_is_served_without_a_token_under_a_strict_policy() {
    let platform = Platform::start().await;
    let nobody = platform.patch.nobody();
    let page = nobody.get("/").await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for path in ["/console", "/console/runs/x", "/console/hosts?env=prod", &format!("/dashboard/runs/{ID}")] {
        let same = nobody.get(path).await;
        assert_eq!((same.status.as_u16(), same.text.as_str()), (200, page.text.as_str()), "{path}");
    }
    let tag = page.headers["etag"].to_str().unwrap();
    let again = nobody.send(Method::GET, "/", &[("if-none-match", tag)], None).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_page_are_kept_forever_and_sent_compressed() {
    let platform = Platform::start().await;
    let nobody = platform.patch.nobody();
    let page = nobody.get("/").await.text;
    let script = page.split('"').find(|part| part.starts_with("/console/assets/") && part.ends_with(".js"));
    let script = script.expect("a script");
    let plain = nobody.get(script).await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
    assert!(!plain.headers.contains_key("content-encoding"));
    let sent = nobody.send(Method::GET, script, &[("accept-encoding", "gzip")], None).await;
    assert_eq!(sent.headers["content-encoding"], "gzip");
    let bytes: usize = sent.headers["content-length"].to_str().unwrap().parse().unwrap();
    assert!(bytes * 2 < plain.text.len(), "{bytes} of {}", plain.text.len());
    nobody.get("/console/assets/none.js").await.expect_problem(404);
    nobody.get("/console/assets/..%2findex.html").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_reads_and_writes_as_its_person_until_it_is_ended() {
    let platform = Platform::start().await;
    let browser = Browser::sign_in(&platform, &platform.operator).await;
    let me = browser.get("/access/me").await.expect(200);
    assert_eq!(
        (&me["subject"], &me["roles"], &me["is_session"]),
        (&json!("olivia"), &json!(["operator"]), &json!(true))
    );
    let policy = json!({ "id": "p-1", "name": "One", "target_ci_tags": { "env": "prod" } });
    let created = browser.write(Method::POST, "/patch/policies", Some(&policy)).await.expect(201);
    assert_eq!(created["updated_by"], "olivia");
    assert_eq!(browser.write(Method::DELETE, "/access/session", None).await.status, 204);
    // Other replicas may remember a session for five seconds.
    crate::platform::eventually("the session has ended", async || {
        browser.get("/access/me").await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn write_that_another_site_may_have_sent_is_refused() {
    let platform = Platform::start().await;
    let browser = Browser::sign_in(&platform, &platform.operator).await;
    let policy = json!({ "id": "p-1", "name": "One", "target_ci_tags": { "env": "prod" } });
    let own = platform.patch.base.as_str();
    let others: [&[(&str, &str)]; 3] = [
        &[],
        &[("x-patch-console", "1"), ("origin", "http://127.0.0.1:9")],
        &[("x-patch-console", "1"), ("origin", own), ("sec-fetch-site", "cross-site")],
    ];
    for headers in others {
        let answer = browser.send(Method::POST, "/patch/policies", headers, Some(&policy)).await;
        answer.expect_problem(403);
    }
    let sent = [("x-patch-console", "1"), ("origin", own), ("sec-fetch-site", "same-origin")];
    browser.send(Method::POST, "/patch/policies", &sent, Some(&policy)).await.expect(201);
    let read = browser.send(Method::GET, "/patch/policies", &[("sec-fetch-site", "same-site")], None).await;
    read.expect_problem(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_ends_with_its_token_and_starts_no_other() {
    let platform = Platform::start().await;
    let admin = platform.patch.admin().await;
    let request = json!({ "subject": "gast", "roles": ["viewer"], "expires_in_days": 1 });
    let issued = admin.post("/access/tokens", &request).await.expect(201);
    let guest = Http::new(&platform.patch.base, issued["token"].as_str().map(str::to_owned));
    let browser = Browser::sign_in(&platform, &guest).await;
    let session = browser.get("/access/me").await.expect(200);
    browser.write(Method::POST, "/access/session", None).await.expect_problem(403);
    let listed = admin.get("/access/tokens").await.expect(200);
    assert_eq!(
        listed["items"].as_array().unwrap().iter().filter(|token| token["subject"] == "gast").count(),
        1
    );
    let ends: chrono::DateTime<chrono::Utc> = session["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends, platform.clock.now() + chrono::TimeDelta::hours(8));
    let path = format!("/access/tokens/{}", issued["id"].as_str().unwrap());
    assert_eq!(admin.delete(&path).await.status, 204);
    crate::platform::eventually("the session has ended", async || {
        browser.get("/access/me").await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_expires_and_the_oldest_of_many_ends() {
    let platform = Platform::start().await;
    let viewer = platform.patch.viewer().await;
    let first = Browser::sign_in(&platform, &viewer).await;
    for _ in 0..20 {
        Browser::sign_in(&platform, &viewer).await;
    }
    first.get("/access/me").await.expect_problem(401);
    let last = Browser::sign_in(&platform, &viewer).await;
    platform.advance(8);
    last.get("/access/me").await.expect_problem(401);
    assert_eq!(viewer.get("/access/me").await.expect(200)["is_session"], false);
    viewer.delete("/access/session").await.expect_problem(404);
    let service = Http::new(&platform.patch.base, Some(platform.patch.service_token().to_owned()));
    service.send(Method::POST, "/access/session", &[], None).await.expect_problem(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_an_approver_is_not_another_approver() {
    let platform = Platform::start().await;
    let approver = platform.patch.approver().await;
    Browser::sign_in(&platform, &approver).await;
    let approvers = approver.get("/access/approvers").await.expect(200);
    assert_eq!(approvers.as_array().unwrap().len(), 1, "{approvers:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_passes_on_the_identity_of_the_caller() {
    let platform = Platform::start().await;
    let browser = Browser::sign_in(&platform, &platform.operator).await;
    let host = json!({ "id": "web-1", "type": "host", "name": "web-1", "tags": { "env": "prod" } });
    browser.write(Method::POST, "/cmdb/cis", Some(&host)).await.expect(201);
    let through = browser.get("/cmdb/cis/web-1").await;
    let direct = platform.librarian.get("/cmdb/cis/web-1").await;
    assert_eq!(through.text, direct.text);
    assert_eq!(through.headers["etag"], direct.headers["etag"]);
    let tag = through.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(
        browser.send(Method::GET, "/cmdb/cis/web-1", &[("if-none-match", &tag)], None).await.status,
        304
    );
    let history = browser.get("/cmdb/cis/web-1/history").await.expect(200);
    assert_eq!(history["items"][0]["who"], "olivia");
    // A token works as well as a session, with its own roles.
    let viewer = platform.patch.viewer().await;
    assert_eq!(viewer.get("/cmdb/cis?env=prod").await.expect(200)["items"][0]["id"], "web-1");
    viewer.post("/cmdb/cis", &host).await.expect_problem(403);
    platform.patch.nobody().get("/cmdb/cis").await.expect_problem(401);
    let answer = browser.get("/cmdb/cis?nonsense=1").await.expect_problem(400);
    assert!(answer["detail"].as_str().unwrap().contains("`nonsense`"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_reports_a_service_that_cannot_be_reached_and_keeps_the_limits_of_others() {
    let platform = Platform::start().await;
    let problem = platform.operator.get("/itsm/changes").await.expect_problem(503);
    assert!(
        problem["detail"].as_str().unwrap().contains("the service `itsm` cannot be reached"),
        "{problem}"
    );
    // The limit of the other service holds.
    let large = vec![b' '; 3 * 1024 * 1024];
    let json = [("content-type", "application/json")];
    platform.operator.send(Method::POST, "/cmdb/cis", &json, Some(large)).await.expect_problem(413);
}
