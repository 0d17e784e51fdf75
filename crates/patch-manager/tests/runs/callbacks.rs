//! Deployers that get signed requests and report back: who may, with which message, and until when.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::webhooks::{Secret, sign, verify};

use crate::{
    platform::Platform,
    releases::{customers, deploy, platform, release, until},
};

/// The requests that a deployer received.
type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn take(State(requests): State<Requests>, headers: HeaderMap, body: Bytes) -> StatusCode {
    requests.lock().unwrap().push((headers, body));
    StatusCode::ACCEPTED
}

fn json_of(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// A deployer of two customers, each with a secret of its own, and a rollout that has reached it.
struct Scene {
    platform: Platform,
    requests: Requests,
    url: String,
    tiny: String,
    silent: String,
    run: String,
}

async fn scene() -> Option<Scene> {
    let platform = platform().await?;
    let requests = Requests::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", routing::post(take)).with_state(requests.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let service = platform.patch_service.as_ref().unwrap();
    let tiny = service.register_webhook(&url, Some("tiny")).await;
    let silent = service.register_webhook(&url, Some("silent")).await;
    let webhook = json!({ "deployer": { "kind": "webhook", "url": url } });
    customers(&platform, &[("demo-1", "demo")], json!({})).await;
    customers(&platform, &[("tiny", "startup"), ("silent", "startup")], webhook).await;
    release(&platform, "v1.0.1", "security").await;
    let run = deploy(&platform, "v1.0.1").await;
    let both = requests.clone();
    until(&platform, "v1.0.1", &run, |_| both.lock().unwrap().len() >= 2).await;
    Some(Scene { platform, requests, url, tiny, silent, run })
}

impl Scene {
    fn request_of(&self, customer: &str) -> (HeaderMap, Bytes) {
        let requests = self.requests.lock().unwrap();
        requests.iter().find(|(_, body)| json_of(body)["customer"] == customer).cloned().unwrap()
    }

    /// Posts a callback and returns the status and the type of the problem.
    async fn call_back(&self, (id, at): (&str, DateTime<Utc>), body: &Value, secret: &str) -> (u16, String) {
        let text = body.to_string();
        let secret = Secret::parse(secret).unwrap();
        let url = format!("http://{}/patch/callbacks/deployments", self.platform.addresses.patch);
        let request = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.timestamp())
            .header("webhook-signature", sign(&[secret], id, at, text.as_bytes()));
        let answer = request.body(text).send().await.unwrap();
        let (status, problem) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
        (status, problem["type"].as_str().unwrap_or_default().to_owned())
    }
}

fn refused(status: u16, name: &str) -> (u16, String) {
    (status, format!("/problems/{name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn deployer_reports_with_its_own_secret_in_time_and_each_message_once() {
    let Some(scene) = scene().await else { return };
    let (platform, now) = (&scene.platform, scene.platform.clock.now());
    let (headers, body) = scene.request_of("tiny");
    let request = json_of(&body);
    let secret = Secret::parse(&scene.tiny).unwrap();
    assert_eq!(verify(&[secret], &headers, &body, now), Ok(request["deployment_id"].as_str().unwrap()));
    let other = Secret::parse(&scene.silent).unwrap();
    assert!(verify(&[other], &headers, &body, now).is_err(), "signed with the secret of another customer");
    let deadline: DateTime<Utc> = request["callback_deadline"].as_str().unwrap().parse().unwrap();
    assert!(deadline > now);

    let id = &request["deployment_id"];
    let done = json!({ "deployment_id": id, "state": "succeeded", "previous_version": "v1.0.0" });
    let bad = refused(401, "bad-signature");
    let forged = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(scene.call_back(("a", now), &done, forged).await, bad, "wrong signature");
    assert_eq!(scene.call_back(("a", now), &done, &scene.silent).await, bad, "secret of another receiver");
    for minutes in [-6, 6] {
        let at = now + TimeDelta::minutes(minutes);
        assert_eq!(scene.call_back(("a", at), &done, &scene.tiny).await, bad, "{minutes} minutes off");
    }
    let nobody = json!({ "deployment_id": "018f4e3a-0000-7000-8000-000000000002", "state": "succeeded" });
    assert_eq!(scene.call_back(("a", now), &nobody, &scene.tiny).await, bad, "no such deployment");
    // What was refused was not accepted: the id is still free.
    let wrong = json!({ "deployment_id": id, "state": "requested" });
    assert_eq!(scene.call_back(("a", now), &wrong, &scene.tiny).await.0, 422);
    assert_eq!(scene.call_back(("a", now), &done, &scene.tiny).await, (200, String::new()));
    assert_eq!(scene.call_back(("a", now), &done, &scene.tiny).await, refused(409, "replayed-message"));
    assert_eq!(scene.call_back(("b", now), &done, &scene.tiny).await.0, 200, "a repeated report");
    let failed = json!({ "deployment_id": id, "state": "failed" });
    assert_eq!(
        scene.call_back(("c", now), &failed, &scene.tiny).await,
        refused(409, "deployment-ended"),
        "another result after the end"
    );

    // A rotated secret is accepted next to the new one until its overlap ends.
    let silent_id = json_of(&scene.request_of("silent").1)["deployment_id"].clone();
    let admin = platform.patch_service.as_ref().unwrap().admin().await;
    let page = admin.get("/access/webhooks").await.expect(200);
    let registered = page["items"].as_array().unwrap();
    let receiver = registered.iter().find(|one| one["customer"] == "silent").unwrap();
    assert_eq!(receiver["url"], scene.url);
    let rotate = format!("/access/webhooks/{}/rotate", receiver["id"].as_str().unwrap());
    let new = admin.post(&rotate, &json!({ "overlap_hours": 1 })).await.expect(200);
    let running = json!({ "deployment_id": silent_id, "state": "running", "progress_percent": 10 });
    for (message, secret) in [("d", &scene.silent), ("e", &new["secret"].as_str().unwrap().to_owned())] {
        assert_eq!(scene.call_back((message, now), &running, secret).await.0, 200);
    }
    let last = admin.post(&rotate, &json!({ "overlap_hours": 0 })).await.expect(200);
    assert_eq!(scene.call_back(("f", now), &running, &scene.silent).await, bad, "an old secret");

    // Silence until the deadline; what comes then is refused.
    platform.clock.advance(deadline - now + TimeDelta::seconds(1));
    let late = json!({ "deployment_id": silent_id, "state": "succeeded" });
    let secret = last["secret"].as_str().unwrap();
    let answer = scene.call_back(("g", platform.clock.now()), &late, secret).await;
    assert_eq!(answer, refused(409, "callback-late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deployment_is_requested_once_and_silence_becomes_unknown() {
    let Some(scene) = scene().await else { return };
    let (platform, run) = (&scene.platform, &scene.run);
    let id = json_of(&scene.request_of("tiny").1)["deployment_id"].clone();
    let done = json!({ "deployment_id": id, "state": "succeeded", "previous_version": "v1.0.0" });
    assert_eq!(scene.call_back(("done", platform.clock.now()), &done, &scene.tiny).await.0, 200);
    // The sim-engine does not know what the webhook deployed.
    let now = json!({ "version": "v1.0.1", "deploy_seconds": 0 });
    platform.sim.put("/sim/customers/tiny", &now).await.expect(200);
    until(platform, "v1.0.1", run, |run| run["waves"].to_string().contains("\"succeeded\":1")).await;
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
    let requests: Vec<Value> = scene.requests.lock().unwrap().iter().map(|(_, body)| json_of(body)).collect();
    assert_eq!(requests.iter().filter(|one| one["customer"] == "tiny").count(), 1);
    assert_eq!(
        requests.iter().filter(|one| one["customer"] == "silent" && one["direction"] == "forward").count(),
        1
    );
}
