//! The token of an agent lies on a host: it pushes that host's inventory and nothing else, expires, and is replaced by its agent.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::Http;

use crate::platform::Platform;

async fn issue(platform: &Platform, ci: &str) -> Value {
    let request =
        json!({ "subject": format!("agent-{ci}"), "roles": ["agent"], "ci": ci, "expires_in_days": 30 });
    platform.patch.admin().await.post("/access/tokens", &request).await.expect(201)
}

fn client(platform: &Platform, issued: &Value) -> Http {
    Http::new(&platform.patch.base, Some(issued["token"].as_str().unwrap().to_owned()))
}

fn inventory(ci: &str) -> Value {
    let packages = json!([{ "name": "openssl", "version": "1:3.0.7-24.el9", "arch": "x86_64" }]);
    json!({ "ci_id": ci, "os": "rocky:9", "packages": packages })
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_pushes_the_inventory_of_its_own_host_and_nothing_else() {
    let platform = Platform::start().await;
    for host in ["web-1", "web-2"] {
        let ci = json!({ "id": host, "type": "host", "tags": { "env": "prod", "os": "rocky9" } });
        platform.librarian.post("/cmdb/cis", &ci).await.expect(201);
    }
    let agent = client(&platform, &issue(&platform, "web-1").await);
    let report = agent.post("/patch/inventory", &inventory("web-1")).await.expect(200);
    assert_eq!(report["read"], 1, "{report:#}");

    // Neither another host, existing or not, nor another format, nor many at once.
    for ci in ["web-2", "web-9"] {
        let refused = agent.post("/patch/inventory", &inventory(ci)).await.expect_problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("agent of `web-1`"), "{refused:#}");
        let path = format!("/patch/inventory?ci_id={ci}&os=rocky:9");
        let headers = [("content-type", "text/tab-separated-values")];
        let rows = b"openssl\t1:3.0.7-24.el9\tx86_64\topenssl-3.0.7-24.el9.src.rpm\t(none)\n".to_vec();
        agent.send(Method::POST, &path, &headers, Some(rows)).await.expect_problem(403);
    }
    let lines = format!("{}\n{}\n", inventory("web-1"), inventory("web-2")).into_bytes();
    let headers = [("content-type", "application/x-ndjson")];
    agent.send(Method::POST, "/patch/inventory", &headers, Some(lines)).await.expect_problem(403);
    let web_2 = platform.operator.get("/patch/compliance/web-2").await;
    assert!(web_2.json["last_scanned"].is_null(), "{}", web_2.text);
    agent.get("/patch/compliance/web-1").await.expect_problem(403);
    agent.get("/access/people").await.expect_problem(403);
    let of_cmdb = Http::new(&platform.cmdb.base, agent.token().map(str::to_owned));
    of_cmdb.get("/cmdb/cis/web-1").await.expect_problem(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_replaces_its_token_before_it_expires() {
    let platform = Platform::start().await;
    let issued = issue(&platform, "web-1").await;
    let first = client(&platform, &issued);
    platform.clock.advance(TimeDelta::days(20));
    let rotated = first.post("/access/tokens/rotate", &json!({})).await.expect(201);
    assert_eq!(
        (&rotated["ci"], &rotated["roles"], &rotated["subject"]),
        (&json!("web-1"), &json!(["agent"]), &json!("agent-web-1"))
    );
    let second = client(&platform, &rotated);
    // The answer may have been lost: the old token stays valid for an hour, and issues the same time again.
    platform.clock.advance(TimeDelta::minutes(59));
    let again = first.post("/access/tokens/rotate", &json!({})).await.expect(201);
    let lifetime = |token: &Value| {
        let expires: chrono::DateTime<chrono::Utc> = token["expires_at"].as_str().unwrap().parse().unwrap();
        expires - platform.clock.now()
    };
    assert_eq!(lifetime(&again), TimeDelta::days(30));
    platform.clock.advance(TimeDelta::minutes(2));
    // Tokens are looked up again after some seconds.
    crate::platform::eventually("the old token has expired", async || {
        first.post("/patch/inventory", &json!({})).await.status == 401
    })
    .await;
    second.post("/patch/inventory", &json!({})).await.expect_problem(422);

    // Only an agent does this, and a revoked token of it takes its successors with it.
    platform.operator.post("/access/tokens/rotate", &json!({})).await.expect_problem(403);
    let id = rotated["id"].as_str().unwrap();
    platform.patch.admin().await.delete(&format!("/access/tokens/{id}")).await.expect(204);
    for http in [&second, &client(&platform, &again)] {
        crate::platform::eventually("the tokens of the agent are revoked", async || {
            http.post("/access/tokens/rotate", &json!({})).await.status == 401
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_has_one_host_and_no_other_role() {
    let platform = Platform::start().await;
    let admin = platform.patch.admin().await;
    for (request, pointer) in [
        (json!({ "subject": "a", "roles": ["agent"] }), "/ci"),
        (json!({ "subject": "a", "roles": ["viewer"], "ci": "web-1" }), "/ci"),
        (json!({ "subject": "a", "roles": ["agent", "operator"], "ci": "web-1" }), "/roles"),
        (json!({ "subject": "a", "roles": ["agent"], "ci": "web 1" }), "/ci"),
    ] {
        let problem = admin.post("/access/tokens", &request).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
    }
    let person = json!({ "emails": [], "roles": ["agent"] });
    admin.put("/access/people/web-1", &person).await.expect_problem(422);
    let issued = issue(&platform, "web-1").await;
    let auditor = platform.patch.as_role("aud", &[api_types::access::Role::Auditor]).await;
    let listed = auditor.get("/access/tokens").await.expect(200);
    let listed = listed["items"].as_array().unwrap();
    let found = listed.iter().find(|token| token["id"] == issued["id"]).unwrap();
    assert_eq!((&found["ci"], found.get("token")), (&json!("web-1"), None));
}
