//! Sign-in at a real identity provider, over its pages.

mod accounts;
mod attacks;

use patch_manager::PatchManager;
use reqwest::Method;
use serde_json::Value;
use service_kit::{Clock, Limits};
use tempfile::TempDir;
use test_support::{
    Answer, Browser, CLIENT_SECRET, Http, IdentityProvider, Shown, TestDatabase, TestService,
};
use tokio::net::TcpListener;

use crate::platform::settings;

const CALLBACK: &str = "/access/oidc/callback";

struct Desk {
    patch: TestService,
    provider: IdentityProvider,
    _work: TempDir,
    _database: TestDatabase,
}

impl Desk {
    async fn start(clock: Clock, limits: Limits) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let provider = IdentityProvider::start(&[&base]).await?;
        let database = TestDatabase::create().await;
        let work = TempDir::new().unwrap();
        let nowhere = "http://127.0.0.1:9";
        let settings = settings(nowhere, nowhere, Some("/bin/false".into()), &work);
        let patch = TestService::start_with_sign_in::<PatchManager>(
            database.url(),
            settings,
            (listener, clock, limits),
            &provider.config(),
        )
        .await;
        Some(Self { patch, provider, _work: work, _database: database })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.patch.base)
    }

    /// Signs in as an account until the provider sends the browser back, and returns the address that it is sent to.
    async fn callback(&self, browser: &mut Browser, account: &str) -> String {
        let stop = self.at(CALLBACK);
        let shown = browser.sign_in(&self.at("/access/oidc/login"), account, Some(&stop)).await;
        shown
            .next()
            .filter(|next| next.starts_with(&stop))
            .unwrap_or_else(|| panic!("not sent back: {shown:?}"))
    }

    /// The answer to a whole sign-in.
    async fn sign_in(&self, account: &str) -> (Browser, Shown) {
        let mut browser = Browser::default();
        let callback = self.callback(&mut browser, account).await;
        let shown = browser.get(&callback).await;
        (browser, shown)
    }

    async fn signed_in(&self, account: &str) -> Browser {
        let (browser, shown) = self.sign_in(account).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
        browser
    }

    /// Why the account cannot sign in.
    async fn refused(&self, account: &str, status: u16) -> String {
        let (browser, shown) = self.sign_in(account).await;
        assert_eq!(shown.status, status, "{}", shown.text);
        assert_eq!(browser.cookie(&self.patch.base, "pm_session"), None);
        assert_eq!(shown.headers["content-type"], "text/html; charset=utf-8");
        assert!(!shown.text.contains(CLIENT_SECRET));
        shown.text
    }

    async fn me(&self, browser: &mut Browser) -> Shown {
        browser.get(&self.at("/access/me")).await
    }

    /// Who the session of a browser belongs to.
    async fn who(&self, browser: &mut Browser) -> Value {
        let shown = self.me(browser).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        serde_json::from_str(&shown.text).unwrap()
    }

    async fn exchange(&self, token: &str) -> Answer {
        let body = serde_json::json!({ "id_token": token });
        self.patch.nobody().post("/access/oidc/token", &body).await
    }

    async fn records(&self, object: &str) -> Vec<Value> {
        let admin = self.patch.admin().await;
        let page = admin.get(&format!("/access/audit?object={object}")).await.expect(200);
        page["items"].as_array().unwrap().clone()
    }
}

macro_rules! desk {
    () => {
        desk!(service_kit::Clock::system(), service_kit::Limits::default())
    };
    ($clock:expr, $limits:expr) => {
        match crate::oidc::Desk::start($clock, $limits).await {
            Some(desk) => desk,
            None => return,
        }
    };
}
use desk;

#[tokio::test(flavor = "multi_thread")]
async fn person_signs_in_at_the_provider_works_and_signs_out() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["operations", "change-board", "unknown"]).await;
    let ways = desk.patch.nobody().get("/access/oidc").await.expect(200);
    assert_eq!(
        (&ways["provider"]["issuer"], &ways["provider"]["name"]),
        (&desk.provider.issuer.clone().into(), &"Example <ID>".into())
    );

    let mut browser = Browser::default();
    let login = desk.at("/access/oidc/login?return_to=/console/runs");
    let callback = browser.sign_in(&login, "u-1", Some(&desk.at(CALLBACK))).await.next().unwrap();
    let shown = browser.get(&callback).await;
    assert_eq!(
        (shown.status.as_u16(), shown.next()),
        (303, Some(desk.at("/console/runs"))),
        "{}",
        shown.text
    );
    let set: Vec<&str> =
        shown.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap()).collect();
    assert!(
        set[0].starts_with("pm_session=pm_")
            && set[0].ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600"),
        "{set:?}"
    );
    assert!(
        set[1].starts_with("pm_sign_in=; ") && set[1].contains("; HttpOnly; SameSite=Lax; Max-Age=0"),
        "{set:?}"
    );
    assert_eq!(shown.headers["referrer-policy"], "no-referrer");

    let me = desk.who(&mut browser).await;
    assert_eq!(
        (&me["subject"], &me["is_session"], &me["provider"]),
        (&"nora".into(), &true.into(), &desk.provider.issuer.clone().into())
    );
    assert_eq!(me["roles"], serde_json::json!(["operator", "approver"]));
    let approvers = desk.patch.viewer().await.get("/access/approvers").await.expect(200);
    assert!(
        approvers.as_array().unwrap().iter().any(|it| it["subject"] == "nora" && it["by"] == "sign_in"),
        "{approvers:#}"
    );
    let bound = desk.records("person/nora").await;
    assert!(
        bound
            .iter()
            .any(|record| record["action"] == "bind_identity" && record["subject"] == "oidc:127.0.0.1"),
        "{bound:#?}"
    );

    // A write needs what another site cannot send, and a session starts no other one.
    let policy = r#"{ "id": "p-1", "name": "One", "target_ci_tags": { "env": "prod" } }"#;
    let json = ("content-type", "application/json");
    let own = [json, ("x-patch-console", "1")];
    let policies = desk.at("/patch/policies");
    assert_eq!(browser.send(Method::POST, &policies, &[json], policy.to_owned()).await.status, 403);
    assert_eq!(browser.send(Method::POST, &policies, &own, policy.to_owned()).await.status, 201);
    assert_eq!(
        browser.send(Method::POST, &desk.at("/access/session"), &own, String::new()).await.status,
        403
    );

    let logout = desk.at("/access/oidc/logout");
    assert_eq!(browser.send(Method::POST, &logout, &[json], String::new()).await.status, 403);
    let signed_out = browser.send(Method::POST, &logout, &own, String::new()).await;
    assert_eq!(signed_out.status, 200, "{}", signed_out.text);
    let page: Value = serde_json::from_str(&signed_out.text).unwrap();
    let page = page["provider_page"].as_str().unwrap();
    assert!(page.starts_with(&desk.provider.issuer) && page.contains("client_id=console"), "{page}");
    let at_provider = browser.get(page).await;
    assert_eq!(at_provider.status, 200, "{}", at_provider.text);
    assert_eq!(browser.cookie(&desk.patch.base, "pm_session"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_ends_at_the_service_and_not_only_in_the_browser() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    let mut browser = desk.signed_in("u-1").await;
    let secret = browser.cookie(&desk.patch.base, "pm_session").unwrap().to_owned();
    let own = [("x-patch-console", "1")];
    let signed_out = browser.send(Method::POST, &desk.at("/access/oidc/logout"), &own, String::new()).await;
    assert_eq!(signed_out.status, 200);
    let kept = Http::new(&desk.patch.base, Some(secret));
    crate::platform::eventually("the session has ended", async || kept.get("/access/me").await.status == 401)
        .await;
    // A token that nobody signed in for is not ended by this.
    desk.patch.viewer().await.post("/access/oidc/logout", &Value::Null).await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_without_a_provider_says_so() {
    let platform = crate::platform::Platform::start().await;
    let nobody = platform.patch.nobody();
    assert_eq!(nobody.get("/access/oidc").await.expect(200)["provider"], Value::Null);
    for path in ["/access/oidc/login", "/access/oidc/callback"] {
        let shown = nobody.get(path).await;
        assert!(matches!(shown.status.as_u16(), 401 | 404), "{path}: {}", shown.text);
    }
    nobody.post("/access/oidc/token", &serde_json::json!({ "id_token": "a.b.c" })).await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_works_while_its_provider_is_away() {
    let desk = desk!();
    let Desk { patch, provider, _work, _database } = desk;
    let address = provider.issuer.trim_start_matches("http://").to_owned();
    drop(provider);
    crate::platform::eventually("the provider is gone", async || {
        tokio::net::TcpStream::connect(&address).await.is_err()
    })
    .await;
    let shown = patch.nobody().get("/access/oidc/login").await;
    assert_eq!(shown.status, 503);
    assert!(shown.text.contains("the identity provider cannot be used at present"), "{}", shown.text);
    patch.viewer().await.get("/access/me").await.expect(200);
    patch.nobody().get("/access/oidc").await.expect(200);
}
