//! Owners of hosts know before a run what will happen to which of their hosts.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::{NEW, TestDatabase};

use crate::platform::Platform;

/// Waits for so many notices to a recipient, and returns them oldest first.
async fn notices(platform: &Platform, recipient: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    for _ in 0..300 {
        let all = platform.itsm.get(&format!("/itsm/notifications?recipient={recipient}")).await.expect(200);
        found = all["items"].as_array().cloned().unwrap();
        if found.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    found.sort_by_key(|notice| notice["id"].to_string());
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

fn has_subject(notices: &[Value], start: &str) -> bool {
    notices.iter().any(|notice| notice["subject"].as_str().unwrap().starts_with(start))
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_hear_before_the_run_of_another_time_and_of_its_end() {
    let database = TestDatabase::create().await;
    let slot = Utc.with_ymd_and_hms(2026, 3, 8, 2, 0, 0).unwrap();
    let clock = Clock::fixed(slot - TimeDelta::hours(11));
    let Some(platform) = Platform::start_at(database.url().to_owned(), clock.clone()).await else { return };
    platform.fleet(4, 0).await;
    for host in ["h-1", "h-2"] {
        let owner = json!({ "attributes": { "owner_email": "anna@example.test" } });
        platform.cmdb.patch(&format!("/cmdb/cis/{host}"), &owner).await.expect(200);
    }
    let tags = json!({ "tags": { "env": "prod", "os": "debian12", "cluster": "c-1", "owner": "shop" } });
    platform.cmdb.patch("/cmdb/cis/h-3", &tags).await.expect(200);
    platform
        .policy(json!({ "schedule": "0 2 * * 0", "plan_ahead_hours": 12,
            "notices": { "owner_addresses": { "shop": "shop@example.test" } } }))
        .await;

    // Eleven hours before: the notice of 24 hours, at once, and only that one.
    let first = notices(&platform, "anna@example.test", 1).await.remove(0);
    assert_eq!(first["subject"], "Patching of 2 of your hosts from 2026-03-08T02:00:00Z: p", "{first:#}");
    let body = first["body"].as_str().unwrap();
    assert!(body.contains("2 hosts: h-1, h-2") && body.contains(NEW) && !body.contains("h-3"), "{body}");
    let shop = notices(&platform, "shop@example.test", 1).await.remove(0);
    assert!(shop["body"].as_str().unwrap().contains("1 host: h-3"), "{shop:#}");
    let run =
        platform.patch.get("/patch/runs").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    platform.approve(&run).await;

    clock.advance(slot - TimeDelta::minutes(50) - clock.now());
    notices(&platform, "anna@example.test", 2).await;
    platform.until_state(&run, "awaiting_window").await;

    // A freeze moves it.
    let freeze =
        json!({ "name": "sale", "starts": slot - TimeDelta::hours(1), "ends": slot + TimeDelta::hours(5) });
    platform.patch.post("/patch/calendars", &freeze).await.expect(201);
    clock.advance(slot - clock.now());
    let moved = notices(&platform, "anna@example.test", 3).await;
    assert!(has_subject(&moved, "MOVED to 2026-03-08T07:00:00Z"), "{moved:#?}");

    platform.patch.post(&format!("/patch/runs/{run}/cancel"), &json!({ "reason": "sale" })).await.expect(202);
    let cancelled = notices(&platform, "anna@example.test", 4).await;
    assert!(has_subject(&cancelled, "CANCELLED: patching of 2 of your hosts"), "{cancelled:#?}");
    // Nothing follows, and the other owner has heard the same.
    tokio::time::sleep(Duration::from_secs(6)).await;
    notices(&platform, "anna@example.test", 4).await;
    notices(&platform, "shop@example.test", 4).await;
}
