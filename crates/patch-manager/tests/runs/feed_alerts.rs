//! A feed that cannot be fetched opens one incident when it is late.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, TimeZone, Utc};
use serde_json::json;
use service_kit::Clock;
use test_support::TestDatabase;

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn late_feed_opens_one_incident() {
    let clock = Clock::fixed(Utc.with_ymd_and_hms(2026, 3, 7, 22, 0, 0).unwrap());
    let database = TestDatabase::create().await;
    let Some(platform) = Platform::start_at(database.url().to_owned(), clock.clone()).await else { return };
    let admin = platform.patch_service.as_ref().unwrap().admin().await;
    // Nobody listens at this port.
    let wanted = json!({ "url": "http://127.0.0.1:9/feed", "late_after_hours": 24 });
    admin.put("/patch/feeds/site", &wanted).await.expect(200);
    let feed = async || admin.get("/patch/feeds/site").await.expect(200);
    eventually("the feed fails", async || feed().await["failures"] != 0).await;
    assert_eq!((&feed().await["state"], &feed().await["incident_id"]), (&json!("failing"), &json!(null)));

    clock.advance(TimeDelta::hours(25));
    eventually("an incident is opened", async || feed().await["incident_id"].is_string()).await;
    let late = feed().await;
    assert_eq!(late["state"], "late");
    let desk = platform.itsm_service.as_ref().unwrap().operator().await;
    let incident =
        desk.get(&format!("/itsm/incidents/{}", late["incident_id"].as_str().unwrap())).await.expect(200);
    let text = incident["short_description"].as_str().unwrap();
    assert_eq!(text, "The feed site was not fetched for more than 24 h");

    clock.advance(TimeDelta::hours(25));
    eventually("it fails again", async || feed().await["failures"] != late["failures"]).await;
    let incidents = desk.get("/itsm/incidents").await.expect(200);
    assert_eq!(incidents["items"].as_array().unwrap().len(), 1, "{incidents}");
}

/// Repeats `ask` until it returns true.
async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ask().await {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
