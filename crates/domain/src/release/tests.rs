//! Whole rollouts in virtual time, against the timelines of the workflow.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::*;
use crate::{ids::CiId, plan::Plan, run::RunState, selector::Tags};

fn id(text: &str) -> CiId {
    CiId::new(text).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn customer(slug: &str, tier: &str) -> Customer {
    serde_json::from_value(json!({
        "slug": slug, "name": slug, "tier": tier, "time_zone": "Europe/Berlin", "current_version": "v1.0.0",
        "windows": [{ "opens": "0 2 * * 0", "duration_minutes": 240 }],
        "health": { "kind": "sim" }, "deployer": { "kind": "sim" },
    }))
    .unwrap()
}

fn customers() -> Vec<Customer> {
    [("demo-eu", "demo"), ("tiny", "startup"), ("acme-corp", "standard"), ("globex", "enterprise")]
        .map(|(slug, tier)| customer(slug, tier))
        .to_vec()
}

fn policies() -> ReleasePolicies {
    let check =
        json!({ "name": "tests", "kind": "test_suite", "run": { "by": "command", "program": "tests" } });
    let health = json!({ "name": "smoke", "kind": "smoke_test", "run": { "by": "health" } });
    serde_json::from_value(json!({ "validation": [check], "smoke_tests": [health] })).unwrap()
}

struct Given {
    kind: ReleaseKind,
    urgency: Option<Urgency>,
    emergency: bool,
    policies: ReleasePolicies,
    customers: Vec<Customer>,
}

fn given(kind: ReleaseKind) -> Given {
    Given { kind, urgency: None, emergency: false, policies: policies(), customers: customers() }
}

fn planned(given: &Given) -> Planned {
    let own = given.policies.of(given.kind).urgency;
    plan_release(&PlanRelease {
        version: Version::new(1, 0, 1),
        kind: given.kind,
        urgency: given.urgency.unwrap_or(own),
        artefact: None,
        rollback_artefact: None,
        direction: Direction::Forward,
        emergency: given.emergency,
        at_once: false,
        policies: &given.policies,
        customers: &given.customers,
        previous: BTreeMap::new(),
    })
    .unwrap()
}

/// Five minutes for each customer, fifteen for the validation, five for the smoke tests of the demo.
fn imagined() -> Imagined {
    Imagined { check_seconds: 600, smoke_test_seconds: 300, ..Imagined::default() }
}

fn no_freezes(_: DateTime<Utc>, _: &Tags) -> Vec<String> {
    Vec::new()
}

const MONDAY: &str = "2026-03-02T09:00:00Z";

/// Minutes between the end of the demo and the start of each customer.
fn begun(plan: &Plan, began_at: DateTime<Utc>) -> BTreeMap<String, i64> {
    let timeline = simulate(plan, &imagined(), began_at, &no_freezes);
    assert_eq!(timeline.outcome, RunState::Succeeded, "{timeline:#?}");
    let demo_done = timeline.rows.iter().rev().find(|row| row.wave == "demo").unwrap().at;
    let rows = timeline.rows.iter().filter(|row| row.what == Happening::Started && row.wave != "demo");
    rows.map(|row| (row.customer.clone().unwrap().to_string(), (row.at - demo_done).num_minutes())).collect()
}

fn minutes(startup: i64, standard: i64, enterprise: i64) -> BTreeMap<String, i64> {
    [("tiny", startup), ("acme-corp", standard), ("globex", enterprise)]
        .map(|(id, at)| (id.to_owned(), at))
        .into()
}

#[test]
fn tiers_start_at_the_delays_of_their_type() {
    let security = planned(&given(ReleaseKind::Security));
    assert_eq!(begun(&security.plan, at(MONDAY)), minutes(15, 30, 60));
    let bug_fix = planned(&given(ReleaseKind::BugFix));
    assert_eq!(begun(&bug_fix.plan, at(MONDAY)), minutes(120, 360, 720));
}

#[test]
fn raised_urgency_quickens_and_emergency_takes_all_tiers_at_once() {
    let raised = Given { urgency: Some(Urgency::High), ..given(ReleaseKind::Performance) };
    let mut raised = raised;
    // The notice depends on the type, not on the urgency.
    raised.policies.types.get_mut(&ReleaseKind::Performance).unwrap().notice.when = NoticeTime::After;
    assert_eq!(begun(&planned(&raised).plan, at(MONDAY)), minutes(60, 180, 360));
    let emergency = planned(&Given { emergency: true, ..given(ReleaseKind::BugFix) });
    assert_eq!(begun(&emergency.plan, at(MONDAY)), minutes(0, 0, 0));
}

#[test]
fn performance_patch_waits_for_notice_and_window_in_the_customers_time_zone() {
    // Notified on Monday, so at the earliest on Thursday; the windows open on Sunday at two.
    let performance = planned(&given(ReleaseKind::Performance));
    let timeline = simulate(&performance.plan, &imagined(), at(MONDAY), &no_freezes);
    let first =
        timeline.rows.iter().find(|row| row.wave == "startup" && row.what == Happening::Started).unwrap();
    assert_eq!(first.at, at("2026-03-08T01:00:00Z"));
    assert!(timeline.rows.iter().any(|row| row.text.contains("Sun 2026-03-08 02:00 CET")), "{timeline:#?}");
    // In the night in which the clock jumps over two, the window opens at three.
    let timeline = simulate(&performance.plan, &imagined(), at("2026-03-25T09:00:00Z"), &no_freezes);
    let first =
        timeline.rows.iter().find(|row| row.wave == "startup" && row.what == Happening::Started).unwrap();
    assert_eq!(first.at, at("2026-03-29T01:00:00Z"));
}

#[test]
fn documentation_waits_only_for_the_next_window() {
    let documentation = planned(&given(ReleaseKind::Documentation));
    let timeline = simulate(&documentation.plan, &imagined(), at("2026-03-07T09:00:00Z"), &no_freezes);
    let begun = timeline.rows.iter().filter(|row| row.what == Happening::Started && row.wave != "demo");
    assert_eq!(begun.map(|row| row.at).min().unwrap(), at("2026-03-08T01:00:00Z"));
    assert_eq!(timeline.outcome, RunState::Succeeded);
}

#[test]
fn freeze_holds_a_tier_and_an_emergency_goes_through_it() {
    let until = at("2026-03-03T00:00:00Z");
    let freezes = |now: DateTime<Utc>, _: &Tags| {
        if now >= at("2026-03-02T10:00:00Z") && now < until {
            vec!["month end".to_owned()]
        } else {
            Vec::new()
        }
    };
    let first_of_startup = |emergency: bool| {
        let plan = planned(&Given { emergency, ..given(ReleaseKind::BugFix) }).plan;
        let timeline = simulate(&plan, &imagined(), at(MONDAY), &freezes);
        assert_eq!(timeline.outcome, RunState::Succeeded);
        let begun = timeline
            .rows
            .iter()
            .find(|row| row.customer == Some(id("tiny")) && row.what == Happening::Started);
        let waited = timeline.rows.iter().any(|row| row.text.contains("is frozen: month end"));
        (begun.unwrap().at, waited)
    };
    assert_eq!(first_of_startup(false), (until, true));
    let (at_once, waited) = first_of_startup(true);
    assert!(at_once < until && !waited);
}

#[test]
fn unhealthy_customer_is_rolled_back_and_too_many_halt_the_rollout() {
    let bug_fix = planned(&given(ReleaseKind::BugFix));
    let one = Imagined { unhealthy: BTreeMap::from([(id("tiny"), 600)]), ..imagined() };
    let timeline = simulate(&bug_fix.plan, &one, at(MONDAY), &no_freezes);
    assert_eq!(timeline.outcome, RunState::CompletedWithErrors);
    let back: Vec<_> = timeline.rows.iter().filter(|row| row.what == Happening::RolledBack).collect();
    assert_eq!(back.len(), 1);
    assert_eq!(back[0].customer, Some(id("tiny")));
    assert!(back[0].at < at("2026-03-02T13:00:00Z"), "hours before the next tier");
    assert!(
        timeline.rows.iter().any(|row| row.customer == Some(id("globex")) && row.what == Happening::Deployed)
    );

    let two = Imagined { failing: [id("acme-corp")].into(), ..one };
    let timeline = simulate(&bug_fix.plan, &two, at(MONDAY), &no_freezes);
    assert_eq!(timeline.outcome, RunState::Halted);
    assert!(
        !timeline.rows.iter().any(|row| row.customer == Some(id("globex")) && row.what == Happening::Started)
    );
    assert_eq!(timeline.rows.iter().filter(|row| row.what == Happening::RolledBack).count(), 2);
}

#[test]
fn failure_at_the_demo_stops_everything() {
    let bug_fix = planned(&given(ReleaseKind::BugFix));
    for imagined in [
        Imagined { failing: [id("demo-eu")].into(), ..imagined() },
        Imagined { unhealthy: BTreeMap::from([(id("demo-eu"), 3600)]), ..imagined() },
    ] {
        let timeline = simulate(&bug_fix.plan, &imagined, at(MONDAY), &no_freezes);
        assert_eq!(timeline.outcome, RunState::Halted);
        assert!(timeline.reason.unwrap().contains("demo-eu"));
        assert!(!timeline.rows.iter().any(|row| row.wave == "startup" && row.what == Happening::Started));
    }
}

#[test]
fn customers_that_cannot_be_deployed_to_are_left_out_with_a_reason() {
    let mut given = given(ReleaseKind::Security);
    given.customers[1].pinned_to = Some(Version::new(1, 0, 0));
    given.customers[2].paused = Some("in the middle of a migration".to_owned());
    given.customers[3].current_version = Version::new(1, 1, 0);
    let planned = planned(&given);
    let reasons: Vec<_> = planned.left_out.iter().map(|left| left.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "it is pinned to v1.0.0",
            "it is paused: in the middle of a migration",
            "it runs v1.1.0, which is of another line"
        ]
    );
    assert_eq!(planned.plan.subjects(), [&id("demo-eu")]);
}

#[test]
fn evidence_replaces_the_delay() {
    let mut given = given(ReleaseKind::BugFix);
    // Three customer-hours of one demo: three hours instead of two.
    given.policies.evidence = Some(EvidenceRule { failures_per_customer_hour: 1.0, time_limit_hours: 24 });
    let began = begun(&planned(&given).plan, at(MONDAY));
    assert!((165..=181).contains(&began["tiny"]), "{began:?}");
    assert!(began["acme-corp"] - began["tiny"] < 30, "evidence was there already: {began:?}");
}

#[test]
fn stored_plan_reads_back_with_the_same_hash() {
    let plan = planned(&given(ReleaseKind::Performance)).plan;
    let stored: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(stored, plan);
    assert_eq!(stored.hash(), plan.hash());
}

/// A plan as it was stored, and approved by its hash, when `Direction::RollBack` was called `Back`.
#[test]
fn rollback_plan_stored_under_an_older_name_keeps_its_text_and_hash() {
    let stored = include_str!("stored_rollback_plan.json").trim_end();
    let plan: Plan = serde_json::from_str(stored).unwrap();
    assert_eq!(plan.deployment().unwrap().direction, Direction::RollBack);
    assert_eq!(serde_json::to_string(&plan).unwrap(), stored);
    assert_eq!(plan.hash().as_str(), "d3d4b719bf5d34dec9fb5ba1236ae24ae30567bbf5904c1d2c12cffd1cf1983f");
}

#[test]
fn a_whole_day_is_played_in_milliseconds() {
    let mut given = given(ReleaseKind::BugFix);
    given.customers = (0..1000)
        .map(|number| {
            customer(&format!("c-{number}"), ["demo", "startup", "standard", "enterprise"][number % 4])
        })
        .collect();
    given.policies.max_parallel = 100;
    let timeline = simulate(&planned(&given).plan, &imagined(), at(MONDAY), &no_freezes);
    assert_eq!(timeline.outcome, RunState::Succeeded);
    assert!(timeline.ended_at - timeline.began_at > TimeDelta::hours(12));
}

#[test]
fn policies_not_named_in_a_file_keep_their_defaults() {
    let yaml = json!({ "types": { "bug_fix": {
        "urgency": "medium", "startup": "1h", "standard": "2h", "enterprise": "next_window", "in_windows": true,
        "approval": "manual", "notice": { "when": "before", "hours": 2, "tiers": ["enterprise"] },
        "rollback": { "window_hours": 12, "trigger": "automatic", "process": "immediate" },
        "monitoring_hours": 12, "checklist": ["one"] } } });
    let policies: ReleasePolicies = serde_json::from_value(yaml.clone()).unwrap();
    assert_eq!(policies.faults(), []);
    assert_eq!(policies.of(ReleaseKind::BugFix).timing.enterprise, Delay::NextWindow);
    assert_eq!(policies.of(ReleaseKind::Security), TypePolicy::default_for(ReleaseKind::Security));
    let mut unknown = yaml;
    unknown["types"]["bug_fix"]["delayy"] = json!("1h");
    assert!(serde_json::from_value::<ReleasePolicies>(unknown).is_err());
}
