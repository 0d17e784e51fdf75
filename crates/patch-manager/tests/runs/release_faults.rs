//! Faults during rollouts: restarts, misbehaving endpoints and deployers, clocks that jump.

use std::time::Duration;

use axum::{Json, Router, response::IntoResponse, routing};
use chrono::TimeDelta;
use serde_json::json;

use crate::{
    platform::Platform,
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
