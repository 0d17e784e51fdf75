//! What a plan promises, broken from outside while the run works: its window, its services, its change, its scans.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use test_support::{OLD, TestDatabase};

use crate::platform::{Platform, platform};

fn host<'a>(run: &'a Value, id: &str) -> &'a Value {
    run["host_states"].as_array().unwrap().iter().find(|host| host["ci_id"] == id).unwrap()
}

/// Two batches of two, with a pause between them that only the clock ends.
async fn paused_after_the_first_wave(platform: &Platform, run: &str) -> Value {
    let between = |run: &Value| run["hosts"]["succeeded"] == 2 && run["hosts"]["pending"] == 2;
    platform.until(run, "between two waves", between).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_host_starts_after_the_window_has_closed_and_the_run_goes_on_in_the_next() {
    let database = TestDatabase::create().await;
    // A Saturday, when the window opens.
    let opening = Utc.with_ymd_and_hms(2026, 3, 7, 22, 0, 0).unwrap();
    let clock = Clock::fixed(opening);
    let Some(platform) = Platform::start_at(database.url().to_owned(), clock.clone()).await else { return };
    platform.fleet(4, 0).await;
    let window =
        json!({ "opens": { "days": ["Sat"], "at": "22:00" }, "duration_minutes": 10, "time_zone": "UTC" });
    platform.policy(json!({ "window": window, "soak_seconds": 300 })).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    // The next look at the change.
    clock.advance(TimeDelta::milliseconds(2500));
    paused_after_the_first_wave(&platform, &run).await;

    // The pause, whenever it begins, ends after the window has closed.
    clock.advance(TimeDelta::minutes(12));
    let waiting = platform
        .until(&run, "awaiting_window", |run| {
            clock.advance(TimeDelta::seconds(10));
            run["state"] == "awaiting_window"
        })
        .await;
    assert_eq!(waiting["stage"], "executing");
    assert_eq!(waiting["wait"]["cause"], "window", "{waiting:#}");
    assert_eq!(waiting["wait"]["until"], "2026-03-14T22:00:00Z");
    assert!(waiting["reason"].as_str().unwrap().contains("2026-03-14 22:00"), "{}", waiting["reason"]);
    for id in ["h-3", "h-4"] {
        let history = platform.sim.get(&format!("/sim/vms/{id}/guest/transactions")).await.expect(200);
        assert_eq!(history["items"], json!([]), "{id} was touched outside its window");
    }

    let snapshots = async || platform.sim.get("/sim/vms/h-3/snapshots").await.expect(200)["items"].clone();
    let taken_before = snapshots().await[0]["id"].clone();
    clock.advance(opening + TimeDelta::days(7) - clock.now());
    let ended = platform.until_ended(&run).await;
    let taken = snapshots().await;
    assert_eq!(taken.as_array().map(Vec::len), Some(1), "{taken:#}");
    assert_ne!(taken[0]["id"], taken_before, "a rollback would have lost a week");
    assert_eq!(
        (&ended["state"], &ended["hosts"]["succeeded"]),
        (&json!("succeeded"), &json!(4)),
        "{ended:#}"
    );
    platform.assert_settled(&run).await;

    // The report says until when the driver keeps the snapshots, and a rollback works until then.
    let report = platform.patch.get(&format!("/patch/runs/{run}/report")).await.expect(200);
    let reported = report["snapshots"].as_array().unwrap();
    let of_host = |id: &str| reported.iter().find(|snapshot| snapshot["ci_id"] == id).unwrap();
    let renewed = of_host("h-3");
    assert_eq!(
        (&renewed["snapshot_id"], &renewed["expires_at"]),
        (&taken[0]["id"], &taken[0]["expires_at"]),
        "{report:#}"
    );
    let rollback = format!("/patch/runs/{run}/rollback");
    let first = expiry(of_host("h-1")).max(expiry(of_host("h-2")));
    let last = expiry(renewed).min(expiry(of_host("h-4")));
    assert!(first < last, "{report:#}");
    clock.advance(last - TimeDelta::milliseconds(1) - clock.now());
    let back = platform.patch.post(&rollback, &json!({})).await.expect(202);
    let planned =
        platform.until(back["id"].as_str().unwrap(), "planned", |run| run["change_id"].is_string()).await;
    assert_eq!(planned["hosts"]["total"], 2, "the snapshots of the first opening have expired: {planned:#}");
    clock.advance(TimeDelta::minutes(1));
    let refused = platform.patch.post(&rollback, &json!({})).await.expect_problem(409);
    assert_eq!(refused["type"], "/problems/rollback-unavailable");
}

fn expiry(snapshot: &Value) -> DateTime<Utc> {
    snapshot["expires_at"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_cannot_be_done_before_the_closing_is_not_started() {
    let database = TestDatabase::create().await;
    let opening = Utc.with_ymd_and_hms(2026, 3, 7, 22, 0, 0).unwrap();
    // Three seconds before the closing: new work may start, but no host is expected to be done in time.
    let clock = Clock::fixed(opening + TimeDelta::seconds(597));
    let Some(platform) = Platform::start_at(database.url().to_owned(), clock.clone()).await else { return };
    platform.fleet(2, 0).await;
    let window =
        json!({ "opens": { "days": ["Sat"], "at": "22:00" }, "duration_minutes": 10, "time_zone": "UTC" });
    platform.policy(json!({ "window": window })).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    // The next look at the change, still before the closing.
    clock.advance(TimeDelta::milliseconds(2500));
    let waiting = platform.until_state(&run, "awaiting_window").await;
    assert_eq!(waiting["hosts"]["pending"], 2, "{waiting:#}");
    assert_eq!(waiting["wait"]["until"], "2026-03-14T22:00:00Z");
    // An order still works while it waits.
    platform.patch.post(&format!("/patch/runs/{run}/cancel"), &json!({})).await.expect(202);
    assert_eq!(platform.until_ended(&run).await["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn change_that_ends_during_the_run_stops_it() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    platform.policy(json!({ "soak_seconds": 15 })).await;
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    paused_after_the_first_wave(&platform, &run).await;
    let verdict = json!({ "close_code": "unsuccessful", "close_notes": "the shop is slow" });
    platform.itsm.post(&format!("/itsm/changes/{change}/fail"), &verdict).await.expect(200);
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "halted", "{ended:#}");
    assert!(ended["reason"].as_str().unwrap().contains(&format!("change {change} is no longer approved")));
    assert_eq!((&ended["hosts"]["succeeded"], &ended["hosts"]["skipped"]), (&json!(2), &json!(2)));
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn member_that_goes_down_during_the_run_is_missing_from_its_service() {
    let platform = platform!();
    // Six members, of which four must be up: two at once.
    platform.fleet(6, 4).await;
    platform.policy(json!({ "soak_seconds": 15 })).await;
    let targets = json!({ "policy_id": "p", "selector": { "ids": ["h-1", "h-2", "h-3", "h-4"] } });
    let run = platform.patch.post("/patch/runs", &targets).await.expect(202);
    let run = run["id"].as_str().unwrap().to_owned();
    platform.approve(&run).await;
    let between = paused_after_the_first_wave(&platform, &run).await;
    assert_eq!(between["waves"][1]["hosts"]["total"], 2);
    platform.sim.post("/sim/vms/h-6/power", &json!({ "action": "off" })).await.expect(200);
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert!(ended["log_tail"].to_string().contains("`h-6` (powered_off)"), "{ended:#}");
    // One after the other: with `h-6` off, the service can spare one.
    let time = |id: &str, field: &str| host(&ended, id)[field].as_str().unwrap().to_owned();
    let (first, second) = (("h-3", "h-4"), ("h-4", "h-3"));
    let is_before = |(a, b): (&str, &str)| time(a, "ended_at") <= time(b, "started_at");
    assert!(is_before(first) || is_before(second), "both were down at once: {ended:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_counts_members_that_are_down_already() {
    let platform = platform!();
    platform.fleet(3, 2).await;
    platform.sim.post("/sim/vms/h-3/power", &json!({ "action": "off" })).await.expect(200);
    let targets = json!({ "policy_id": "p", "selector": { "ids": ["h-1", "h-2"] } });
    let run = platform.patch.post("/patch/runs", &targets).await.expect(202);
    let ended = platform.until_ended(run["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "failed", "no member can be spared: {ended:#}");
    assert!(ended["reason"].as_str().unwrap().contains("service-cannot-keep-min-up"), "{}", ended["reason"]);
    // Maintenance by somebody else has the same effect.
    platform.sim.post("/sim/vms/h-3/power", &json!({ "action": "on" })).await.expect(200);
    let expires_at = Utc::now() + TimeDelta::hours(1);
    let maintenance =
        json!({ "state": "on", "owner": "storage-team", "reason": "disk", "expires_at": expires_at });
    platform.cmdb.put("/cmdb/cis/h-3/maintenance", &maintenance).await.expect(200);
    let run = platform.patch.post("/patch/runs", &targets).await.expect(202);
    let ended = platform.until_ended(run["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_could_not_be_scanned_is_skipped_with_its_reason() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    platform.sim.post("/sim/vms/h-2/power", &json!({ "action": "off" })).await.expect(200);
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "completed_with_errors", "{ended:#}");
    assert_eq!(host(&ended, "h-2")["state"], "skipped");
    let reason = host(&ended, "h-2")["error"].as_str().unwrap();
    assert!(reason.starts_with("could not be scanned: "), "{reason}");
    assert!(ended["log_tail"].to_string().contains("skipped: could not be scanned"), "{ended:#}");
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert!(change["description"].as_str().unwrap().contains("h-2: "), "{change:#}");
    let report = platform.patch.get(&format!("/patch/runs/{run}/report?format=markdown")).await;
    assert!(report.text.contains("could not be scanned"), "{}", report.text);
    let incidents = platform.itsm.get("/itsm/incidents").await.expect(200);
    assert_eq!(incidents["items"][0]["ci_ids"], json!(["h-2"]), "{incidents:#}");
    assert_eq!(incidents["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_fails_if_no_host_could_be_scanned() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    for id in ["h-1", "h-2"] {
        platform.sim.post(&format!("/sim/vms/{id}/power"), &json!({ "action": "off" })).await.expect(200);
    }
    let run = platform.run().await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    assert!(ended["reason"].as_str().unwrap().contains("none of 2 hosts could be scanned"), "{ended:#}");
    assert_eq!(ended["hosts"]["skipped"], 2);
    assert!(ended["change_id"].is_null(), "there is nothing to approve");
    let incidents = platform.itsm.get("/itsm/incidents").await.expect(200);
    assert_eq!(incidents["items"][0]["ci_ids"], json!(["h-1", "h-2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_dry_run_opens_no_incident() {
    let platform = platform!();
    platform.fleet(2, 2).await;
    let dry = json!({ "policy_id": "p", "dry_run": true });
    let run = platform.patch.post("/patch/runs", &dry).await.expect(202);
    let ended = platform.until_ended(run["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    assert_eq!(platform.itsm.get("/itsm/incidents").await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_is_no_failure_and_waits_for_neither_window_nor_freeze_nor_policy() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    // Since then: a freeze, a window that is closed, and the policy is gone.
    let now = Utc::now();
    let freeze = json!({ "name": "quarter end", "starts": now - TimeDelta::hours(1), "ends": now + TimeDelta::hours(9) });
    platform.patch.post("/patch/calendars", &freeze).await.expect(201);
    platform.patch.delete("/patch/policies/p").await.expect(204);
    let back = platform.patch.post(&format!("/patch/runs/{run}/rollback"), &json!({})).await.expect(202);
    let back = back["id"].as_str().unwrap().to_owned();
    let change = platform.approve(&back).await;
    let ended = platform.until_ended(&back).await;
    assert_eq!(ended["state"], "rolled_back", "{ended:#}");
    assert_eq!(
        (&ended["hosts"]["failed"], &ended["hosts"]["succeeded"]),
        (&json!(0), &json!(2)),
        "{ended:#}"
    );
    let guest = platform.sim.get("/sim/vms/h-1/guest").await.expect(200);
    assert_eq!(guest["packages"][0]["version"], OLD, "{guest:#}");
    assert_eq!(platform.itsm.get("/itsm/incidents").await.expect(200)["items"], json!([]));
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change["close_code"], "successful", "{change:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_cannot_resolve_is_skipped_with_its_reason() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let failed = json!({ "state": "failed", "reason": "apt-get -s dist-upgrade: E: Unmet dependencies" });
    let inventory = json!({ "ci_id": "h-1", "os": "debian:12", "repositories": failed,
        "packages": [{ "name": "openssl", "version": OLD }] });
    let pushed = platform.patch.post("/patch/inventory", &inventory).await;
    assert!(pushed.status.is_success(), "{}", pushed.text);
    let dry = json!({ "policy_id": "p", "dry_run": true });
    let run = platform.patch.post("/patch/runs", &dry).await.expect(202);
    let ended = platform.until_ended(run["id"].as_str().unwrap()).await;
    let plan = &ended["plan"];
    assert_eq!(plan["targets"].as_object().unwrap().keys().collect::<Vec<_>>(), ["h-2"], "{plan:#}");
    assert!(
        plan["unscanned"]["h-1"]
            .as_str()
            .unwrap()
            .contains("cannot resolve: apt-get -s dist-upgrade: E: Unmet")
    );
    let shown = platform.patch.get("/patch/compliance/h-1").await.expect(200);
    assert_eq!(shown["repositories"]["state"], "failed");
    assert!(shown["reason"].as_str().unwrap().contains("E: Unmet dependencies"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn change_names_what_else_touches_its_hosts_in_its_time() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    let now = Utc::now();
    let others = json!({
        "kind": "normal", "short_description": "new disks", "ci_ids": ["h-2", "h-3", "shelf-1"],
        "start_at": now + TimeDelta::hours(1), "end_at": now + TimeDelta::hours(3),
    });
    let other = platform.itsm.post("/itsm/changes", &others).await.expect(201);
    let later = json!({
        "kind": "normal", "short_description": "next year", "ci_ids": ["h-1"],
        "start_at": now + TimeDelta::days(300), "end_at": now + TimeDelta::days(301),
    });
    let later = platform.itsm.post("/itsm/changes", &later).await.expect(201);
    let freeze = json!({ "name": "quarter end", "starts": now + TimeDelta::days(2), "ends": now + TimeDelta::days(3) });
    platform.patch.post("/patch/calendars", &freeze).await.expect(201);
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    let description = change["description"].as_str().unwrap();
    let lines: Vec<&str> = description.lines().collect();
    assert_eq!(lines[0], "!! CONFLICTS in the time of this change: 2", "{description}");
    let expected = format!("!!   change {} (draft), ", other["id"].as_str().unwrap());
    assert!(lines[1].starts_with(&expected) && lines[1].ends_with("2 hosts: h-2, h-3"), "{description}");
    assert!(
        lines[2].starts_with("!!   freeze quarter end, ") && lines[2].contains("3 hosts"),
        "{description}"
    );
    assert!(!description.contains(later["id"].as_str().unwrap()), "{description}");
    assert!(description.contains("installs    openssl"), "{description}");
}
