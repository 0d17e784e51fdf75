//! Sign-ins that nobody must succeed with.

use chrono::{TimeDelta, Utc};
use reqwest::Url;
use serde_json::json;
use service_kit::{Clock, Limits};
use test_support::Browser;

use super::{CALLBACK, desk};

/// The value of a parameter.
fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_else(|| panic!("{url} has no {name}"))
}

/// The address with another value of a parameter.
fn with(url: &str, name: &str, value: &str) -> String {
    let mut changed = Url::parse(url).unwrap();
    let pairs: Vec<(String, String)> = changed.query_pairs().into_owned().collect();
    let pairs =
        pairs.into_iter().map(|(key, old)| if key == name { (key, value.to_owned()) } else { (key, old) });
    changed.query_pairs_mut().clear().extend_pairs(pairs.collect::<Vec<_>>());
    changed.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_is_finished_once_and_only_in_its_browser() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    let mut browser = Browser::default();
    let callback = desk.callback(&mut browser, "u-1").await;

    // Somebody who learns the address of the callback has not the cookie.
    let mut other = Browser::default();
    assert_eq!(other.get(&callback).await.status, 401);
    other.set_cookie(&desk.patch.base, "pm_sign_in", "guessed");
    let refused = other.get(&callback).await;
    assert_eq!(refused.status, 401);
    assert!(
        refused.text.contains("begin again") && refused.text.contains("login?return_to=%2F"),
        "{}",
        refused.text
    );
    // That attempt has used it up, for the person as well.
    assert_eq!(browser.get(&callback).await.status, 401);

    let callback = desk.callback(&mut browser, "u-1").await;
    assert_eq!(browser.get(&with(&callback, "state", "guessed")).await.status, 401);
    let sign_in = browser.cookie(&desk.patch.base, "pm_sign_in").unwrap().to_owned();
    assert_eq!(browser.get(&callback).await.status, 303);
    browser.set_cookie(&desk.patch.base, "pm_sign_in", &sign_in);
    assert_eq!(browser.get(&callback).await.status, 401, "the same callback again");

    crate::platform::eventually("the attempts are recorded", async || {
        let records = desk.records("GET%20/access/oidc/callback").await;
        let is_refusal = |record: &&serde_json::Value| {
            record["action"] == "refuse_sign_in" && record["after"]["address"] == "127.0.0.1"
        };
        records.iter().filter(is_refusal).count() >= 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_that_takes_too_long_has_ended() {
    let mut desk = desk!(Clock::fixed(Utc::now()), Limits::default());
    desk.provider.person("u-1", "nora", &["readers"]).await;
    let mut browser = Browser::default();
    let callback = desk.callback(&mut browser, "u-1").await;
    desk.patch.clock.advance(TimeDelta::minutes(10));
    assert_eq!(browser.get(&callback).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_belongs_to_one_sign_in() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    desk.provider.person("u-2", "mallory", &["readers"]).await;
    let mut mallory = Browser::default();
    let stolen = desk.callback(&mut mallory, "u-2").await;
    let mut nora = Browser::default();
    let own = desk.callback(&mut nora, "u-1").await;
    // The code of another sign-in in one's own: its verifier does not fit.
    let refused = nora.get(&with(&own, "code", &parameter(&stolen, "code"))).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("invalid_grant"), "{}", refused.text);
    // A whole sign-in of somebody else, so that one works in another person's session.
    assert_eq!(nora.get(&stolen).await.status, 401);
    assert_eq!(nora.cookie(&desk.patch.base, "pm_session"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_for_another_nonce_is_refused() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    let mut browser = Browser::default();
    let page = browser.get(&desk.at("/access/oidc/login")).await.next().unwrap();
    for (name, value) in
        [("response_type", "code"), ("code_challenge_method", "S256"), ("client_id", "console")]
    {
        assert_eq!(parameter(&page, name), value);
    }
    let stop = desk.at(CALLBACK);
    let callback =
        browser.sign_in(&with(&page, "nonce", "another"), "u-1", Some(&stop)).await.next().unwrap();
    let refused = browser.get(&callback).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("it belongs to another sign-in"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_of_another_provider_and_a_refusal_are_not_sign_ins() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    let mut browser = Browser::default();
    let callback = desk.callback(&mut browser, "u-1").await;
    let other = browser.get(&with(&callback, "iss", "https://other.example.org")).await;
    assert!(other.status == 401 && other.text.contains("another provider"), "{}", other.text);
    let callback = desk.callback(&mut browser, "u-1").await;
    let denied = format!("{callback}&error=access_denied%3Cscript%3E&error_description=%3Cb%3E");
    let denied = browser.get(&denied).await;
    assert!(denied.status == 401 && denied.text.contains("`access_deniedscript`"), "{}", denied.text);
    assert!(!denied.text.contains("<script>") && !denied.text.contains("<b>"), "{}", denied.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_is_sent_to_no_other_site() {
    let mut desk = desk!();
    desk.provider.person("u-1", "nora", &["readers"]).await;
    for to in [
        "https://evil.example/",
        "//evil.example",
        "/%5Cevil.example",
        "%5C%5Cevil.example",
        "javascript:alert(1)",
        "evil",
    ] {
        let shown = desk.patch.nobody().get(&format!("/access/oidc/login?return_to={to}")).await;
        assert_eq!(shown.status, 422, "{to}: {}", shown.text);
        assert!(
            !shown.headers.contains_key("location") && !shown.text.contains("evil"),
            "{to}: {}",
            shown.text
        );
    }
    let mut browser = Browser::default();
    let login = desk.at("/access/oidc/login?return_to=/approve/CHG0000001?a=b");
    let callback = browser.sign_in(&login, "u-1", Some(&desk.at(CALLBACK))).await.next().unwrap();
    let back = browser.get(&format!("{callback}&return_to=https://evil.example/")).await.next();
    assert_eq!(back, Some(desk.at("/approve/CHG0000001?a=b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_id_token_is_refused_and_a_good_one_is_used_once() {
    let mut desk = desk!();
    let good = json!({ "sub": "u-9", "preferred_username": "nora", "groups": ["readers"] });
    let changed = |change: serde_json::Value| {
        let mut claims = good.clone();
        change.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        claims
    };
    let now = Utc::now().timestamp();
    for (header, claims, key, reason) in [
        (json!({ "alg": "none" }), good.clone(), "none", "it is not signed with"),
        (json!({ "alg": "HS256" }), good.clone(), "own", "it is not signed with"),
        (json!({ "alg": "ES256" }), good.clone(), "own", "a key that the provider does not publish"),
        (json!({}), good.clone(), "other", "its signature does not fit"),
        (json!({}), good.clone(), "none", "its signature does not fit"),
        (json!({ "kid": "unknown" }), good.clone(), "own", "a key that the provider does not publish"),
        (json!({}), changed(json!({ "aud": "console" })), "own", "for another application"),
        (json!({}), changed(json!({ "aud": ["command-line", "other"] })), "own", "for another application"),
        (json!({}), changed(json!({ "azp": "other" })), "own", "for another application"),
        (json!({}), changed(json!({ "iss": "https://evil.example" })), "own", "another provider"),
        (json!({}), changed(json!({ "exp": now - 31 })), "own", "it has expired"),
        (json!({}), changed(json!({ "nbf": now + 300 })), "own", "valid only later"),
        (json!({}), changed(json!({ "iat": now - 3600 })), "own", "more than ten minutes ago"),
    ] {
        let token = desk.provider.sign(header.clone(), claims.clone(), key).await;
        let refused = desk.exchange(&token).await.expect_problem(401);
        assert!(refused["detail"].as_str().unwrap().contains(reason), "{header} {claims} {key}: {refused:#}");
        assert!(!refused.to_string().contains(&token), "{refused:#}");
    }
    desk.exchange("not.a.token").await.expect_problem(401);

    let token = desk.provider.sign(json!({}), good.clone(), "own").await;
    let issued = desk.exchange(&token).await.expect(201);
    assert_eq!((&issued["subject"], &issued["roles"]), (&json!("nora"), &json!(["viewer"])));
    let again = desk.exchange(&token).await.expect_problem(401);
    assert!(again["detail"].as_str().unwrap().contains("already used"), "{again:#}");
    crate::platform::eventually("the attempts are recorded", async || {
        let records = desk.records("POST%20/access/oidc/token").await;
        records.iter().any(|record| record["action"] == "refuse_sign_in")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_key_of_the_provider_is_read_when_a_token_names_it() {
    let mut desk = desk!();
    let claims = json!({ "sub": "u-9", "preferred_username": "nora", "groups": ["readers"] });
    let old = desk.provider.sign(json!({}), claims.clone(), "own").await;
    desk.exchange(&old).await.expect(201);
    let old = desk.provider.sign(json!({}), claims.clone(), "own").await;
    desk.provider.rotate().await;
    let new = desk.provider.sign(json!({}), claims, "own").await;
    // Keys are read at most every ten seconds, because anybody can name an unknown one.
    crate::platform::eventually("the new key is known", async || desk.exchange(&new).await.status == 201)
        .await;
    desk.exchange(&old).await.expect_problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_sign_ins_of_an_address_are_limited() {
    let limits = Limits { max_failed_sign_ins_per_second: 1, ..Limits::default() };
    let desk = desk!(Clock::system(), limits);
    let nobody = desk.patch.nobody();
    let mut last = nobody.get("/access/oidc/callback?state=a&code=b").await;
    for _ in 0..30 {
        if last.status == 429 {
            break;
        }
        assert_eq!(last.status, 401);
        last = nobody.get("/access/oidc/callback?state=a&code=b").await;
    }
    assert_eq!(last.status, 429);
    assert!(last.headers.contains_key("retry-after"));
    assert_eq!(nobody.get("/access/oidc/login").await.status, 429);
    assert_eq!(desk.exchange("a.b.c").await.status, 429);
}
