//! Overlapping releases, and the weekly summary.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::json;

use crate::releases::{customers, deploy, deployments_of, platform, release, until, until_ended, version_of};

const FOUR: [(&str, &str); 4] =
    [("demo-1", "demo"), ("tiny", "startup"), ("acme-corp", "standard"), ("globex", "enterprise")];

#[tokio::test(flavor = "multi_thread")]
async fn urgent_release_overtakes_one_that_waits_and_is_not_undone_by_it() {
    let Some(platform) = platform().await else { return };
    customers(&platform, &FOUR, json!({})).await;
    release(&platform, "v1.0.1", "performance").await;
    let slow = deploy(&platform, "v1.0.1").await;
    until(&platform, "v1.0.1", &slow, |run| {
        let waits = run["waits_for"].as_str().unwrap_or_default().contains("`startup`");
        waits && run["waves"].to_string().contains("\"succeeded\":1")
    })
    .await;
    release(&platform, "v1.0.2", "security").await;
    let urgent = deploy(&platform, "v1.0.2").await;
    let ended = until_ended(&platform, "v1.0.2", &urgent).await;
    assert_eq!(
        (&ended["state"], &ended["hosts"]["succeeded"]),
        (&json!("succeeded"), &json!(4)),
        "{ended:#}"
    );
    // Three days after its notices it may continue, but no customer is left.
    platform.clock.advance(TimeDelta::days(3));
    let ended = until_ended(&platform, "v1.0.1", &slow).await;
    assert_eq!(
        (&ended["state"], &ended["hosts"]["failed"]),
        (&json!("completed_with_errors"), &json!(0)),
        "{ended:#}"
    );
    for (slug, _) in FOUR {
        assert_eq!(version_of(&platform, slug).await, "v1.0.2", "{slug}");
        assert_eq!(deployments_of(&platform, slug, "v1.0.2").await, 1, "{slug}");
    }
    assert_eq!(deployments_of(&platform, "globex", "v1.0.1").await, 0);
    let log = platform.patch.get(&format!("/patch/runs/{slow}/logs")).await;
    assert!(log.text.contains("runs v1.0.2"), "{}", log.text);
    let timeline = platform.patch.get("/patch/releases/v1.0.1/timeline").await.expect(200);
    assert!(timeline.to_string().contains("left_out"), "{timeline:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documentation_release_is_reported_once_in_the_weekly_summary() {
    let Some(platform) = platform().await else { return };
    customers(&platform, &FOUR, json!({})).await;
    release(&platform, "v1.0.1", "documentation").await;
    let run = deploy(&platform, "v1.0.1").await;
    let ended = until_ended(&platform, "v1.0.1", &run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let reported = async || {
        let all = platform.itsm.get("/itsm/notifications").await.expect(200);
        let all = all["items"].as_array().unwrap().clone();
        let of_week =
            all.iter().filter(|one| one["subject"].as_str().unwrap_or_default().starts_with("What is new"));
        of_week.map(|one| one["recipient"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(reported().await, Vec::<String>::new(), "the week is not over");
    for _ in 0..2 {
        platform.clock.advance(TimeDelta::days(7));
        let until = Instant::now() + Duration::from_secs(60);
        while reported().await.len() < 3 {
            assert!(Instant::now() < until, "{:?}", reported().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let mut recipients = reported().await;
    recipients.sort();
    assert_eq!(recipients, ["ops@acme-corp.example", "ops@globex.example", "ops@tiny.example"]);
}
