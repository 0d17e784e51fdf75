//! SCHEDULE: one slot starts one run.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone, Utc};
use serde_json::json;
use service_kit::Clock;
use test_support::TestDatabase;
use tokio::net::TcpListener;

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn slot_starts_one_run_with_several_replicas() {
    let database = TestDatabase::create().await;
    // A Sunday, one minute before the slot, Berlin time.
    let clock = Clock::fixed(Utc.with_ymd_and_hms(2026, 3, 1, 0, 59, 0).unwrap());
    let Some(mut platform) = Platform::start_at(database.url().to_owned(), clock.clone()).await else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replica = platform.another_patch(listener).await;
    let policy = json!({ "id": "p", "name": "p", "target_ci_tags": { "env": "prod" }, "schedule": "0 2 * * 0", "time_zone": "Europe/Berlin" });
    platform.patch.post("/patch/policies", &policy).await.expect(201);
    // Both replicas consider the schedule, every five seconds, before its slot comes.
    tokio::time::sleep(Duration::from_secs(6)).await;
    clock.advance(TimeDelta::minutes(2));
    for _ in 0..300 {
        if platform.patch.get("/patch/runs").await.json["items"] != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The other replica has its turn too.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let runs = platform.patch.get("/patch/runs").await.expect(200);
    let runs = runs["items"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_eq!(runs[0]["trigger"], "schedule");
    assert_eq!(runs[0]["scheduled_for"], "2026-03-01T01:00:00Z");
    // A restart does not start it again.
    platform.patch_service.take().unwrap().stop().await;
    platform.start_patch().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(
        platform.patch.get("/patch/runs").await.expect(200)["items"].as_array().map(Vec::len),
        Some(1)
    );
    replica.stop().await;
}
