//! Releases to customers, on a clock that advances whenever all parts of the platform wait.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use sqlx::{Connection, PgConnection};
use test_support::TestDatabase;

use crate::platform::Platform;

const PATIENCE: Duration = Duration::from_secs(240);

/// A platform whose clock is fixed at a Monday morning.
pub async fn platform() -> Option<Platform> {
    let database = TestDatabase::create().await;
    let monday: DateTime<Utc> = "2026-11-23T09:00:00Z".parse().unwrap();
    let mut platform = Platform::start_at(database.url().to_owned(), Clock::fixed(monday)).await?;
    platform.database = Some(database);
    Some(platform)
}

/// Applies customers of the sim-engine, `(slug, tier)` each, with the additional fields `more`.
pub async fn customers(platform: &Platform, customers: &[(&str, &str)], more: Value) {
    let mut all = Vec::new();
    for (slug, tier) in customers {
        let sim = json!({ "version": "v1.0.0", "deploy_seconds": 0 });
        platform.sim.put(&format!("/sim/customers/{slug}"), &sim).await.expect(200);
        let mut customer = json!({ "slug": slug, "name": format!("Customer {slug}"), "tier": tier,
            "current_version": "v1.0.0", "health": { "kind": "sim" }, "deployer": { "kind": "sim" },
            "contacts": [format!("ops@{slug}.example")] });
        customer.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        all.push(customer);
    }
    let smoke = json!([{ "name": "demo-is-healthy", "kind": "smoke_test", "run": { "by": "health" } }]);
    let config = json!({ "customers": all, "policies": { "smoke_tests": smoke } });
    let diff = platform.patch.post("/patch/release-config/apply", &config).await.expect(200);
    assert_eq!(diff["created"].as_array().unwrap().len(), customers.len());
    let again = platform.patch.post("/patch/release-config/apply", &config).await.expect(200);
    assert_eq!((again["changed"].as_array().unwrap().len(), &again["created"]), (0, &json!([])));
}

/// Registers a release with its checklist ticked.
pub async fn release(platform: &Platform, version: &str, kind: &str) {
    let made = platform
        .patch
        .post("/patch/releases", &json!({ "version": version, "type": kind }))
        .await
        .expect(201);
    for item in made["checklist"].as_object().unwrap().keys() {
        let path = format!("/patch/releases/{version}/checklist/{item}");
        platform.patch.put(&path, &json!({ "state": "done" })).await.expect(200);
    }
}

pub async fn deploy(platform: &Platform, version: &str) -> String {
    let run = platform.patch.post(&format!("/patch/releases/{version}/deploy"), &json!({})).await.expect(202);
    run["id"].as_str().unwrap().to_owned()
}

/// Advances the clock until `wanted` holds for the run.
pub async fn until(platform: &Platform, version: &str, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let answer = platform.patch.get(&format!("/patch/releases/{version}/status")).await;
        let status = answer.expect(200);
        let all = status["runs"].as_array().unwrap();
        let found = all.iter().find(|one| one["id"] == *run).unwrap().clone();
        if wanted(&found) {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{status:#}");
        let now = platform.clock.now();
        let executes = found["state"] == "executing";
        let step = match found["waits_until"].as_str().filter(|_| executes) {
            Some(until) => {
                let until: DateTime<Utc> = until.parse().unwrap();
                (until - now).clamp(TimeDelta::zero(), TimeDelta::minutes(1))
            }
            None => TimeDelta::seconds(1),
        };
        tokio::time::sleep(Duration::from_millis(30)).await;
        platform.clock.advance(step);
    }
}

pub async fn until_ended(platform: &Platform, version: &str, run: &str) -> Value {
    until(platform, version, run, |run| {
        let open = [
            "scheduled",
            "planning",
            "awaiting_approval",
            "validating",
            "snapshotting",
            "executing",
            "verifying",
            "reporting",
            "alerting",
        ];
        !open.contains(&run["state"].as_str().unwrap())
    })
    .await
}

pub async fn version_of(platform: &Platform, slug: &str) -> String {
    let customer = platform.patch.get(&format!("/patch/customers/{slug}")).await.expect(200);
    customer["current_version"].as_str().unwrap().to_owned()
}

/// How often a version was deployed to a customer, as the customer counts.
pub async fn deployments_of(platform: &Platform, slug: &str, version: &str) -> usize {
    let customer = platform.sim.get(&format!("/sim/customers/{slug}")).await.expect(200);
    let all = customer["deployments"].as_array().unwrap().clone();
    all.iter().filter(|deployment| deployment["version"] == version).count()
}

const FOUR: [(&str, &str); 4] =
    [("demo-1", "demo"), ("tiny", "startup"), ("acme-corp", "standard"), ("globex", "enterprise")];

#[tokio::test(flavor = "multi_thread")]
async fn tiers_follow_the_demo_and_an_unhealthy_customer_is_rolled_back() {
    let Some(platform) = platform().await else { return };
    customers(&platform, &FOUR, json!({})).await;
    let fault = json!({ "faults": [{ "kind": "health_failure", "version": "v1.0.1" }] });
    platform.sim.put("/sim/customers/tiny/faults", &fault).await.expect(200);
    platform
        .patch
        .post("/patch/releases", &json!({ "version": "v1.0.2", "type": "security" }))
        .await
        .expect_problem(422);
    release(&platform, "v1.0.1", "security").await;
    let began = platform.clock.now();
    let run = deploy(&platform, "v1.0.1").await;
    let second =
        platform.patch.post("/patch/releases/v1.0.1/deploy", &json!({ "customers": ["nobody"] })).await;
    second.expect_problem(422);
    let ended = until_ended(&platform, "v1.0.1", &run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    for (slug, version) in
        [("demo-1", "v1.0.1"), ("tiny", "v1.0.0"), ("acme-corp", "v1.0.1"), ("globex", "v1.0.1")]
    {
        assert_eq!(version_of(&platform, slug).await, version, "{slug}");
        assert_eq!(deployments_of(&platform, slug, "v1.0.1").await, 1, "{slug}");
    }
    let all = platform.patch.get("/patch/deployments?customer=globex").await.expect(200);
    let at: DateTime<Utc> = all["items"][0]["requested_at"].as_str().unwrap().parse().unwrap();
    assert!(at - began >= TimeDelta::minutes(60), "an hour after the demo: {at}");
    let incidents = platform.itsm.get("/itsm/incidents").await.expect(200);
    assert!(incidents.to_string().contains("tiny is unhealthy on v1.0.1"), "{incidents:#}");
    let notices = platform.itsm.get("/itsm/notifications").await.expect(200);
    assert!(notices.to_string().contains("ops@tiny.example"), "{notices:#}");
    let metrics = platform.patch.get("/patch/releases/v1.0.1/metrics").await.expect(200);
    assert_eq!(
        (metrics["all"]["deployments"].as_u64(), metrics["all"]["rolled_back"].as_u64()),
        (Some(4), Some(1))
    );
    let timeline = platform.patch.get("/patch/releases/v1.0.1/timeline").await.expect(200);
    assert!(timeline.to_string().contains("rolled back to v1.0.0"), "{timeline:#}");
    assert_timeline_ignores_the_text_of_the_log(&platform, &timeline).await;
    assert_operator_rolls_back_only_within_the_window(&platform).await;
}

/// The timeline comes from typed records. A run of an earlier version has no events of customers, but still a timeline.
async fn assert_timeline_ignores_the_text_of_the_log(platform: &Platform, before: &Value) {
    let count = |timeline: &Value, what: &str| {
        let rows = timeline["timeline"]["rows"].as_array().unwrap();
        rows.iter().filter(|row| row["what"] == what).count()
    };
    for what in ["waiting", "unhealthy", "rolled_back"] {
        assert!(count(before, what) > 0, "{what}: {before:#}");
    }
    let mut conn = PgConnection::connect(&platform.database_url).await.unwrap();
    sqlx::query("UPDATE patch.run_log SET text = 'reworded'").execute(&mut conn).await.unwrap();
    let path = "/patch/releases/v1.0.1/timeline";
    assert_eq!(platform.patch.get(path).await.expect(200), *before);
    let delete = "DELETE FROM patch.run_events WHERE type LIKE 'patch.customer.%'";
    sqlx::query(delete).execute(&mut conn).await.unwrap();
    let earlier = platform.patch.get(path).await.expect(200);
    assert_eq!((count(&earlier, "unhealthy"), count(&earlier, "waiting")), (0, count(before, "waiting")));
}

/// By an operator: within the window, by a run of its own under change control; after it, refused with the reason.
async fn assert_operator_rolls_back_only_within_the_window(platform: &Platform) {
    let request = json!({ "customers": ["Customer globex"], "reason": "invoices are empty since then", "at_once": true });
    let runs = platform.patch.post("/patch/releases/v1.0.1/rollback", &request).await.expect(202);
    let run = runs[0]["id"].as_str().unwrap().to_owned();
    let ended = until_ended(platform, "v1.0.1", &run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(version_of(platform, "globex").await, "v1.0.0");
    platform.clock.advance(TimeDelta::hours(73));
    let request = json!({ "customers": ["acme-corp"], "reason": "a whole three days too late" });
    let refused = platform.patch.post("/patch/releases/v1.0.1/rollback", &request).await.expect_problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("can be rolled back for 72 h"), "{refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn emergency_deploys_to_all_tiers_at_once_with_one_approval() {
    let Some(platform) = platform().await else { return };
    customers(&platform, &FOUR, json!({})).await;
    platform
        .patch
        .post("/patch/releases", &json!({ "version": "v1.0.1", "type": "bug_fix" }))
        .await
        .expect(201);
    let held = platform.patch.post("/patch/releases/v1.0.1/deploy", &json!({})).await.expect_problem(409);
    assert!(held["type"].as_str().unwrap().contains("checklist-open"), "{held:#}");
    let request = json!({ "reason": "customers lose money by the minute" });
    let run = platform.patch.post("/patch/releases/v1.0.1/emergency", &request).await.expect(202);
    let run = run["id"].as_str().unwrap().to_owned();
    let waiting = until(&platform, "v1.0.1", &run, |run| {
        run["state"] == "awaiting_approval" && run["change_id"].is_string()
    })
    .await;
    let change = waiting["change_id"].as_str().unwrap().to_owned();
    for _ in 0..200 {
        let approved = platform
            .approver
            .post(&format!("/itsm/changes/{change}/approve"), &json!({ "comment": "go" }))
            .await;
        if approved.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let approved_at = platform.clock.now();
    let ended = until_ended(&platform, "v1.0.1", &run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let all = platform.patch.get("/patch/deployments").await.expect(200);
    for deployment in all["items"].as_array().unwrap() {
        let at: DateTime<Utc> = deployment["requested_at"].as_str().unwrap().parse().unwrap();
        assert!(at - approved_at < TimeDelta::minutes(15), "{deployment:#}");
    }
    let problems = platform.itsm.get("/itsm/problems").await.expect(200);
    assert!(problems.to_string().contains("Review of the emergency release v1.0.1"), "{problems:#}");
    let release = platform.patch.get("/patch/releases/v1.0.1").await.expect(200);
    assert!(release["checklist"].to_string().contains("emergency: customers lose money"), "{release:#}");
}
