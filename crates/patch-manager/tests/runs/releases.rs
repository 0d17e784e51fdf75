//! Releases to customers, on a clock that advances whenever all parts of the platform wait.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use sqlx::{Connection, PgConnection};
use test_support::{Answer, TestDatabase};

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
    let answer = platform.patch.post("/patch/release-config/apply", &config).await;
    let diff = agreed(platform, answer).await;
    assert_eq!(diff["created"].as_array().unwrap().len(), customers.len());
    let again = platform.patch.post("/patch/release-config/apply", &config).await.expect(200);
    assert_eq!((again["changed"].as_array().unwrap().len(), &again["created"]), (0, &json!([])));
}

/// The result of a write, confirmed by an approver if it weakens a control.
pub async fn agreed(platform: &Platform, answer: Answer) -> Value {
    platform.patch_service.as_ref().unwrap().agreed(answer).await
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
    let baseline = json!({ "baseline": { "latency_ms": 110.0 } });
    agreed(&platform, platform.patch.patch("/patch/customers/acme-corp", &baseline).await).await;
    release(&platform, "v1.0.1", "security").await;
    let began = platform.clock.now();
    let run = deploy(&platform, "v1.0.1").await;
    let second =
        platform.patch.post("/patch/releases/v1.0.1/deploy", &json!({ "customers": ["nobody"] })).await;
    second.expect_problem(422);
    until(&platform, "v1.0.1", &run, |run| {
        run["waits_for"].as_str().is_some_and(|reason| reason.contains("`enterprise`"))
    })
    .await;
    let notified = subjects(&platform).await;
    assert!(
        notified
            .contains(&("ops@acme-corp.example".into(), "Customer acme-corp was updated to v1.0.1".into()))
    );
    assert!(
        !notified.iter().any(|(recipient, _)| recipient == "ops@globex.example"),
        "the tier of globex has not begun: {notified:?}"
    );
    let ended = until_ended(&platform, "v1.0.1", &run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    let notified = subjects(&platform).await;
    for (slug, outcome) in [
        ("tiny", "rolled back to v1.0.0"),
        ("acme-corp", "updated to v1.0.1"),
        ("globex", "updated to v1.0.1"),
    ] {
        let of = |(recipient, subject): &&(String, String)| {
            *recipient == format!("ops@{slug}.example") && subject.ends_with(outcome)
        };
        assert_eq!(notified.iter().filter(of).count(), 1, "{slug}: {notified:?}");
    }
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
    assert_figures_follow_from_the_records(&platform).await;
    assert_operator_rolls_back_only_within_the_window(&platform).await;
}

/// Recipients and subjects of all notifications.
async fn subjects(platform: &Platform) -> Vec<(String, String)> {
    let all = platform.itsm.get("/itsm/notifications?limit=200").await.expect(200);
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(one, "recipient"), text(one, "subject")))
        .collect()
}

/// What customers say of a release, and what the health watch measured.
async fn assert_figures_follow_from_the_records(platform: &Platform) {
    let known = |value: f64, records: u64| json!({ "state": "known", "value": value, "records": records });
    let patch = &platform.patch;
    patch.patch("/patch/releases/v1.0.1", &json!({ "resolves": ["BUG-1", "CVE-2026-1"] })).await.expect(200);
    let report = json!({ "severity": "minor", "summary": "a button is grey" });
    let report = patch.post("/patch/customers/globex/reports", &report).await.expect(201);
    assert_eq!(report["customer_version"], "v1.0.1");
    // It runs the version before, so the release is not the reason.
    let report = json!({ "severity": "minor", "summary": "invoices are late" });
    patch.post("/patch/customers/tiny/reports", &report).await.expect(201);
    for (slug, score) in [("globex", 2), ("globex", 4), ("acme-corp", 5)] {
        let rating = json!({ "score": score });
        patch.put(&format!("/patch/customers/{slug}/ratings/v1.0.1"), &rating).await.expect(200);
    }
    let metrics = patch.get("/patch/releases/v1.0.1/metrics").await.expect(200);
    let all = &metrics["all"];
    assert_eq!(all["issues_resolved"], known(2.0, 1), "{metrics:#}");
    assert_eq!(all["new_issues"], known(1.0, 4));
    assert_eq!(all["satisfaction"], known(4.5, 2));
    assert_eq!(metrics["by_tier"]["enterprise"]["new_issues"], known(1.0, 1));
    assert_eq!(metrics["by_tier"]["startup"]["satisfaction"]["state"], "unknown");
    // 120 ms against the baseline of 110 ms.
    let impact = &metrics["by_tier"]["standard"]["performance_impact_percent"];
    assert_eq!((&impact["state"], &impact["records"]), (&json!("known"), &json!(1)), "{metrics:#}");
    assert_eq!(impact["value"].as_f64().unwrap().round(), 9.0, "{metrics:#}");
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
    let warned = async || {
        let all = subjects(&platform).await;
        let begins =
            all.into_iter().filter(|(_, subject)| subject.ends_with("is being updated to v1.0.1 now"));
        begins.map(|(recipient, _)| recipient).collect::<std::collections::BTreeSet<_>>()
    };
    let all: std::collections::BTreeSet<String> =
        FOUR.iter().map(|(slug, _)| format!("ops@{slug}.example")).collect();
    // Right at the start of the demo, before any other customer is touched.
    until(&platform, "v1.0.1", &run, |run| run["waves"].to_string().contains("\"succeeded\":1")).await;
    assert_eq!(warned().await, all);
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
