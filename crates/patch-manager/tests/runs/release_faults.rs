//! Faults during rollouts: restarts, misbehaving endpoints and deployers, clocks that jump.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing};
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    platform::{Platform, WEBHOOK_SECRET},
    releases::{
        agreed, customers, deploy, deployments_of, platform, release, until, until_ended, version_of,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn each_customer_is_deployed_to_once_despite_restarts_and_a_jumping_clock() {
    let Some(mut platform) = platform().await else { return };
    let four = [("demo-1", "demo"), ("tiny", "startup"), ("acme-corp", "standard"), ("globex", "enterprise")];
    customers(&platform, &four, json!({})).await;
    release(&platform, "v1.0.1", "security").await;
    let run = deploy(&platform, "v1.0.1").await;
    for wave in ["demo", "startup", "standard", "enterprise"] {
        restart(&mut platform).await;
        until(&platform, "v1.0.1", &run, |run| {
            let waves = run["waves"].as_array().unwrap();
            waves.iter().any(|one| one["name"] == wave && one["succeeded"].as_u64() > Some(0))
        })
        .await;
        // During the delay, the clock jumps back by an hour and forward again.
        platform.clock.advance(TimeDelta::hours(-1));
        tokio::time::sleep(Duration::from_millis(300)).await;
        platform.clock.advance(TimeDelta::hours(1));
        restart(&mut platform).await;
    }
    let ended = until_ended(&platform, "v1.0.1", &run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    for (slug, _) in four {
        assert_eq!(deployments_of(&platform, slug, "v1.0.1").await, 1, "{slug}");
        assert_eq!(version_of(&platform, slug).await, "v1.0.1");
    }
}

/// Stops the service in the middle of its work, and starts it again.
async fn restart(platform: &mut Platform) {
    platform.patch_service.take().unwrap().stop().await;
    platform.start_patch().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_lie_or_answer_garbage_are_unhealthy() {
    let Some(platform) = platform().await else { return };
    let kinds =
        [("a-lie", "lie"), ("b-garbage", "garbage"), ("c-hang", "hang"), ("d-down", "health_failure")];
    for (slug, kind) in kinds {
        customers(&platform, &[(slug, "startup")], json!({})).await;
        let fault = json!({ "faults": [{ "kind": kind }] });
        platform.sim.put(&format!("/sim/customers/{slug}/faults"), &fault).await.expect(200);
        let health = platform.patch.get(&format!("/patch/customers/{slug}/health")).await.expect(200);
        match kind {
            // Nothing was deployed yet, so its wrong version is accepted.
            "lie" => assert_eq!(health["now"]["version"], "v1.0.1"),
            _ => assert!(health["now"]["failure"].is_string(), "{kind}: {health:#}"),
        }
    }
    let private = json!({ "health": { "kind": "http", "url": "http://169.254.169.254/latest/meta-data" } });
    platform.patch.patch("/patch/customers/a-lie", &private).await.expect_problem(422);
    // An allowed endpoint redirects to another.
    let inner =
        serve(Router::new().route("/", routing::get(|| async { Json(json!({ "status": "ok" })) }))).await;
    let target = inner.clone();
    let moved = move || async move { axum::response::Redirect::temporary(&target).into_response() };
    let outer = serve(Router::new().route("/", routing::get(moved))).await;
    for (url, expected) in [(&outer, "redirects are not followed"), (&inner, "")] {
        let health = json!({ "health": { "kind": "http", "url": url } });
        agreed(&platform, platform.patch.patch("/patch/customers/a-lie", &health).await).await;
        let seen = platform.patch.get("/patch/customers/a-lie/health").await.expect(200);
        let failure = seen["now"]["failure"].as_str().unwrap_or_default();
        assert!(failure.contains(expected) && failure.is_empty() == expected.is_empty(), "{seen:#}");
    }
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The requests that a deployer received.
type Requests = Arc<Mutex<Vec<Value>>>;

async fn take(State(requests): State<Requests>, Json(body): Json<Value>) -> StatusCode {
    requests.lock().unwrap().push(body);
    StatusCode::ACCEPTED
}

async fn call_back(platform: &Platform, body: &Value, secret: &str) -> u16 {
    let text = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let signature = format!("a=sha256&s={}", hex::encode(mac.finalize().into_bytes()));
    let url = format!("http://{}/patch/callbacks/deployments", platform.addresses.patch);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request =
        client.post(url).header("Content-Type", "application/json").header("X-Signature", signature);
    request.body(text).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn deployer_may_report_twice_and_silence_becomes_unknown() {
    let Some(platform) = platform().await else { return };
    let requests = Requests::default();
    let url = serve(Router::new().route("/", routing::post(take)).with_state(requests.clone())).await;
    let webhook = json!({ "deployer": { "kind": "webhook", "url": url } });
    customers(&platform, &[("demo-1", "demo")], json!({})).await;
    customers(&platform, &[("tiny", "startup"), ("silent", "startup")], webhook).await;
    release(&platform, "v1.0.1", "security").await;
    let run = deploy(&platform, "v1.0.1").await;
    let both = requests.clone();
    until(&platform, "v1.0.1", &run, |_| both.lock().unwrap().len() >= 2).await;
    let first = requests.lock().unwrap().iter().find(|one| one["customer"] == "tiny").cloned().unwrap();
    let done = json!({ "deployment_id": first["deployment_id"], "state": "succeeded", "previous_version": "v1.0.0" });
    assert_eq!(call_back(&platform, &done, "another secret, of another service").await, 401);
    assert_eq!(call_back(&platform, &done, WEBHOOK_SECRET).await, 200);
    assert_eq!(call_back(&platform, &done, WEBHOOK_SECRET).await, 200, "repeated report");
    let other = json!({ "deployment_id": first["deployment_id"], "state": "failed" });
    assert_eq!(call_back(&platform, &other, WEBHOOK_SECRET).await, 409, "after the end");
    // The sim-engine does not know what the webhook deployed.
    let now = json!({ "version": "v1.0.1", "deploy_seconds": 0 });
    platform.sim.put("/sim/customers/tiny", &now).await.expect(200);
    until(&platform, "v1.0.1", &run, |run| run["waves"].to_string().contains("\"succeeded\":1")).await;
    // The deployer stays silent beyond the timeout twice: for the deployment and for the rollback.
    let ended = loop {
        platform.clock.advance(TimeDelta::minutes(2));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let status = platform.patch.get("/patch/releases/v1.0.1/status").await.expect(200);
        let found = status["runs"].as_array().unwrap().iter().find(|one| one["id"] == *run).unwrap().clone();
        if ["halted", "completed_with_errors", "failed"].contains(&found["state"].as_str().unwrap()) {
            break found;
        }
        assert_ne!(found["state"], "succeeded", "{found:#}");
    };
    assert_eq!(ended["hosts"]["failed"], 1, "{ended:#}");
    let detail = platform.patch.get("/patch/deployments?customer=silent").await.expect(200);
    let states: Vec<&str> =
        detail["items"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["unknown", "unknown"], "{detail:#}");
    let incidents = platform.itsm.get("/itsm/incidents").await.expect(200);
    assert!(incidents.to_string().contains("silent"), "{incidents:#}");
    // Each was requested once per direction.
    let requests = requests.lock().unwrap();
    assert_eq!(requests.iter().filter(|one| one["customer"] == "tiny").count(), 1);
    assert_eq!(
        requests.iter().filter(|one| one["customer"] == "silent" && one["direction"] == "forward").count(),
        1
    );
}
