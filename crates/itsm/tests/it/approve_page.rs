//! The page that links in e-mails lead to.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::lab::{Lab, with};

/// The text between two markers.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).unwrap() + start.len();
    &text[from..from + text[from..].find(end).unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn page_is_public_self_contained_and_tells_nothing_without_a_token() {
    let lab = Lab::start().await;
    let secret = serde_json::json!("<script>alert(1)</script> confidential");
    lab.submitted(&with(lab.normal(), &[("short_description", secret)])).await;
    let answer = lab.service.nobody().get("/approve/CHG0000001").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let page = &answer.text;
    assert!(page.contains("patchctl change approve CHG0000001"));
    assert!(!page.contains("confidential") && !page.contains("olivia"));
    assert!(!page.contains("{{"), "a place was left empty");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains(" src="));
    assert!(!page.contains("innerHTML"));

    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    for (start, end) in [("<script>", "</script>"), ("<style>", "</style>")] {
        let hash = STANDARD.encode(Sha256::digest(between(page, start, end)));
        assert!(
            policy.contains(&format!("'sha256-{hash}'")),
            "the policy does not let {start} run: {policy}"
        );
    }
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_is_the_same_whether_there_is_such_a_change_or_not() {
    let lab = Lab::start().await;
    lab.submitted(&lab.normal()).await;
    let nobody = lab.service.nobody();
    let (there, not_there) =
        (nobody.get("/approve/CHG0000001").await, nobody.get("/approve/CHG7654321").await);
    assert_eq!(there.text.replace("CHG0000001", ""), not_there.text.replace("CHG7654321", ""));
    for id in ["CHG1", "%3Cscript%3E", "CHG0000001%22%3E", "..%2fitsm%2fchanges"] {
        nobody.get(&format!("/approve/{id}")).await.expect_problem(404);
    }
}
