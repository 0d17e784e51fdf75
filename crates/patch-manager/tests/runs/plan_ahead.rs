//! Runs that are planned and approved ahead of their slots, and plans that have changed until the work begins.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::{NEW, OLD, TestDatabase};

use crate::platform::Platform;

/// Sunday, two o'clock.
pub fn slot() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 8, 2, 0, 0).unwrap()
}

/// A fleet of four on the afternoon before the slot, by a clock that only the test moves.
pub async fn afternoon(more: Value) -> Option<(Platform, Clock)> {
    let database = TestDatabase::create().await;
    let clock = Clock::fixed(slot() - TimeDelta::hours(11));
    let mut platform = Platform::start_at(database.url().to_owned(), clock.clone()).await?;
    platform.database = Some(database);
    platform.fleet(4, 0).await;
    let mut policy = json!({ "schedule": "0 2 * * 0", "plan_ahead_hours": 12 });
    policy.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    platform.policy(policy).await;
    Some((platform, clock))
}

/// The run that the scheduler starts.
pub async fn scheduled_run(platform: &Platform) -> String {
    for _ in 0..300 {
        let runs = platform.patch.get("/patch/runs").await.expect(200);
        if let Some(id) = runs["items"][0]["id"].as_str() {
            assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "one slot starts one run");
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no run was planned ahead");
}

/// Approves the run in the afternoon; it then waits for its slot. Returns the id of its change.
pub async fn approve_ahead(platform: &Platform, clock: &Clock, run: &str) -> String {
    let change = platform.approve(run).await;
    // The next look at the change.
    clock.advance(TimeDelta::milliseconds(2500));
    let waiting = platform.until_state(run, "awaiting_window").await;
    assert_eq!(
        (&waiting["wait"]["cause"], &waiting["wait"]["until"]),
        (&json!("change_start"), &json!(slot()))
    );
    change
}

async fn untouched(platform: &Platform, host: &str) {
    let path = format!("/sim/vms/{host}/guest/transactions");
    let mut history = platform.sim.get(&path).await;
    // A machine that is starting does not answer yet.
    for _ in 0..100 {
        if history.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        history = platform.sim.get(&path).await;
    }
    let history = history.expect(200);
    assert_eq!(history["items"], json!([]), "{host} was touched");
}

pub async fn diff(platform: &Platform, run: &str) -> Value {
    platform.patch.get(&format!("/patch/runs/{run}/diff")).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_approved_in_daylight_starts_at_its_slot_without_the_host_that_is_gone() {
    let Some((platform, clock)) = afternoon(json!({})).await else { return };
    let run = scheduled_run(&platform).await;
    let change = approve_ahead(&platform, &clock, &run).await;
    let planned = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(planned["start_at"], json!(slot()), "{planned:#}");
    let before = diff(&platform, &run).await;
    assert!(
        before["verdict"].is_null() && before["reason"].as_str().unwrap().contains("2026-03-08"),
        "{before:#}"
    );
    for host in ["h-1", "h-2", "h-3", "h-4"] {
        untouched(&platform, host).await;
    }

    platform.sim.post("/sim/vms/h-4/power", &json!({ "action": "off" })).await.expect(200);
    clock.advance(slot() - clock.now());
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    assert_eq!(
        (&ended["hosts"]["succeeded"], &ended["hosts"]["skipped"]),
        (&json!(3), &json!(1)),
        "{ended:#}"
    );
    assert!(ended["started_at"].as_str().unwrap() >= "2026-03-08T02:00:00Z");
    let drift = diff(&platform, &run).await;
    assert_eq!(drift["verdict"], "tolerated", "{drift:#}");
    assert_eq!(drift["drift"]["diff"]["hosts_gone"]["h-4"]["cause"], "not_scanned", "{drift:#}");
    assert!(
        ended["log_tail"].to_string().contains("the approved plan holds; differences: 1 hosts gone"),
        "{ended:#}"
    );
    platform.sim.post("/sim/vms/h-4/power", &json!({ "action": "on" })).await.expect(200);
    untouched(&platform, "h-4").await;
    platform.assert_settled(&run).await;
}

/// In the evening another fix is published. Returns its version.
pub async fn publish_another_fix(platform: &Platform) -> &'static str {
    let newer = "3.0.19-1~deb12u1";
    let repository = json!({ "packages": { "openssl": [OLD, NEW, newer] } });
    platform.sim.put("/sim/repositories/debian12", &repository).await.expect(200);
    let advisory = json!({ "schema_version": "1.7.0", "id": "TEST-2026-0002", "modified": "2026-03-07T20:00:00Z",
        "published": "2026-03-07T20:00:00Z", "upstream": ["CVE-2026-91001"], "summary": "openssl: another hole",
        "affected": [{ "package": { "ecosystem": "Debian:12", "name": "openssl" },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": newer }] }] }],
        "database_specific": { "kind": "security", "severity": "CRITICAL" } });
    platform.patch.post("/patch/advisories/import", &advisory).await.expect(200);
    newer
}

#[tokio::test(flavor = "multi_thread")]
async fn other_versions_at_the_slot_void_the_approval() {
    let Some((platform, clock)) = afternoon(json!({ "notify": ["ops@example.test"] })).await else { return };
    let run = scheduled_run(&platform).await;
    let change = approve_ahead(&platform, &clock, &run).await;
    let newer = publish_another_fix(&platform).await;

    clock.advance(slot() - clock.now());
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "voided", "{ended:#}");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("4 hosts with changed versions (0 tolerated)"), "{reason}");
    let drift = diff(&platform, &run).await;
    assert_eq!(drift["verdict"], "voided", "{drift:#}");
    let package = &drift["drift"]["diff"]["packages"]["h-1"][0];
    assert_eq!(*package, json!({ "package": "openssl", "approved": NEW, "now": newer }), "{drift:#}");
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change["state"], "cancelled", "{change:#}");
    assert!(change["close_notes"].as_str().unwrap().contains("4 hosts with changed versions"), "{change:#}");
    for host in ["h-1", "h-4"] {
        untouched(&platform, host).await;
    }
    assert_eq!(
        platform.itsm.get("/itsm/incidents").await.expect(200)["items"],
        json!([]),
        "nothing was harmed"
    );
    // What was voided is planned again without an order, and approved again.
    let again = follower(&platform, &run).await;
    let change = platform.approve(&again).await;
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    let description = change["description"].as_str().unwrap();
    assert!(description.contains(&format!("Replaces run {run}")), "{description}");
    assert!(description.contains("4 hosts with changed versions (0 tolerated)"), "{description}");
    assert!(description.contains(newer), "{description}");
    assert!(!description.contains("CONFLICTS"), "the change of the voided run is closed: {description}");
    clock.advance(TimeDelta::milliseconds(2500));
    assert_eq!(platform.until_ended(&again).await["state"], "succeeded");
    let mails = platform.itsm.get("/itsm/notifications").await.expect(200);
    assert!(mails.to_string().contains(&format!("Run {again} plans it again")), "{mails:#}");
    assert_eq!(runs_of(&platform).await.len(), 2);
}

async fn runs_of(platform: &Platform) -> Vec<Value> {
    platform.patch.get("/patch/runs").await.expect(200)["items"].as_array().unwrap().clone()
}

/// The run that follows a voided one.
async fn follower(platform: &Platform, voided: &str) -> String {
    for _ in 0..300 {
        let runs = runs_of(platform).await;
        if let Some(run) = runs.iter().find(|run| run["of_run"] == voided) {
            assert_eq!(run["trigger"], "replan", "{run:#}");
            return run["id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing follows run {voided}");
}

/// A template approves what is done every month, not a difference from what was planned.
#[tokio::test(flavor = "multi_thread")]
async fn template_does_not_approve_the_plan_that_follows_a_voided_one() {
    let more = json!({ "change": { "standard_template": "monthly-baseline" } });
    let Some((platform, clock)) = afternoon(json!({ "schedule": null, "plan_ahead_hours": null })).await
    else {
        return;
    };
    platform.policy(more).await;
    // Somebody else agrees to this version before the schedule runs it.
    let scheduled = json!({ "schedule": "0 2 * * 0", "plan_ahead_hours": 10 });
    let policy = platform.patch.patch("/patch/policies/p", &scheduled).await.expect(200);
    let arjun = platform.patch_service.as_ref().unwrap().approver().await;
    arjun.post("/patch/policies/p/approve", &json!({ "version": policy["version"] })).await.expect(200);
    clock.advance(TimeDelta::hours(1));
    let run = scheduled_run(&platform).await;
    let approved = |run: &Value| run["change_id"].is_string();
    platform.until(&run, "under its change", approved).await;
    clock.advance(TimeDelta::milliseconds(2500));
    platform.until_state(&run, "awaiting_window").await;
    for host in ["h-1", "h-2", "h-3"] {
        let transaction = json!({ "transaction_id": "by-hand", "packages": { "openssl": NEW } });
        let path = format!("/sim/vms/{host}/guest/transactions?wait=10");
        platform.sim.post(&path, &transaction).await.expect(200);
    }
    clock.advance(slot() - clock.now());
    assert_eq!(platform.until_ended(&run).await["state"], "voided");
    let again = follower(&platform, &run).await;
    let waiting = platform.until(&again, "under its change", approved).await;
    let change = waiting["change_id"].as_str().unwrap();
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(
        (&change["kind"], &change["state"]),
        (&json!("normal"), &json!("pending_approval")),
        "{change:#}"
    );
    platform.approve(&again).await;
    clock.advance(TimeDelta::milliseconds(2500));
    let ended = platform.until_ended(&again).await;
    assert_eq!((&ended["state"], &ended["hosts"]["total"]), (&json!("succeeded"), &json!(1)), "{ended:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_that_became_too_old_is_made_again_and_a_wider_tolerance_keeps_the_approval() {
    let more =
        json!({ "schedule": null, "plan_ahead_hours": null, "drift_tolerance": { "hosts_gone": "50%" } });
    let Some((platform, clock)) = afternoon(more).await else { return };
    let run = platform.run().await;
    platform.until(&run, "waiting", |run| run["change_id"].is_string()).await;
    // Two days later, two hosts were patched by hand.
    clock.advance(TimeDelta::hours(49));
    for host in ["h-1", "h-2"] {
        let transaction = json!({ "transaction_id": "by-hand", "packages": { "openssl": NEW } });
        let path = format!("/sim/vms/{host}/guest/transactions?wait=10");
        platform.sim.post(&path, &transaction).await.expect(200);
    }
    platform.approve(&run).await;
    clock.advance(TimeDelta::milliseconds(2500));
    let ended = platform.until_ended(&run).await;
    assert_eq!(
        (&ended["hosts"]["succeeded"], &ended["hosts"]["skipped"]),
        (&json!(2), &json!(2)),
        "{ended:#}"
    );
    let drift = diff(&platform, &run).await;
    assert_eq!(drift["verdict"], "tolerated", "{drift:#}");
    assert_eq!(drift["drift"]["diff"]["hosts_gone"]["h-1"]["cause"], "not_due", "{drift:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_slot_is_withdrawn_is_cancelled() {
    let Some((platform, clock)) = afternoon(json!({})).await else { return };
    let run = scheduled_run(&platform).await;
    let change = approve_ahead(&platform, &clock, &run).await;
    platform.patch.patch("/patch/policies/p", &json!({ "schedule": "0 3 * * 0" })).await.expect(200);
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert!(
        ended["reason"].as_str().unwrap().contains("no longer has the slot of 2026-03-08 02:00"),
        "{ended:#}"
    );
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change["state"], "cancelled");
    // The new slot is planned ahead in its place.
    let runs = platform.patch.get("/patch/runs?open=true").await.expect(200);
    assert_eq!(runs["items"][0]["scheduled_for"], "2026-03-08T03:00:00Z", "{runs:#}");
}
