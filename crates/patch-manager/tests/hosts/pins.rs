//! Pinned content: production gets exactly the versions that its pilot has tested, although newer ones were uploaded since.

use std::collections::BTreeMap;

use ansible::{HostOutcome, HostOutcomeKind, NewerVersion, Playbook};
use domain::{package::OmitCause, plan::Target, workflow::WorkflowStep};
use serde_json::{Value, json};

use crate::{
    lab::{DEBIAN, LEAP, Lab, ROCKY, Recording},
    made::{Made, install, plain, publish, remove},
    transactions::{Output, ask, changes, foresee},
};

const NAMES: [&str; 3] = ["demo-pin", "demo-pin-lib", "demo-pin-new"];

/// An update that brings another update and a new package along.
const fn app(version: &'static str, deb: &'static [&'static str], rpm: &'static [&'static str]) -> Made {
    Made { name: "demo-pin", version, deb, rpm }
}

const OLD: [Made; 2] = [
    app("1.0-1", &["Depends: demo-pin-lib (>= 1.0)"], &["Requires: demo-pin-lib >= 1.0"]),
    plain("demo-pin-lib", "1.0-1"),
];
const TESTED: [Made; 3] = [
    app(
        "2.0-1",
        &["Depends: demo-pin-lib (>= 2.0), demo-pin-new"],
        &["Requires: demo-pin-lib >= 2.0", "Requires: demo-pin-new"],
    ),
    plain("demo-pin-lib", "2.0-1"),
    plain("demo-pin-new", "2.0-1"),
];
const NEWER: [Made; 3] = [
    app(
        "3.0-1",
        &["Depends: demo-pin-lib (>= 3.0), demo-pin-new"],
        &["Requires: demo-pin-lib >= 3.0", "Requires: demo-pin-new"],
    ),
    plain("demo-pin-lib", "3.0-1"),
    plain("demo-pin-new", "3.0-1"),
];

fn updates() -> Value {
    json!({ "demo-pin": "2.0-1" })
}

/// What the plan pins on a host with this transaction.
fn pins(output: &Output) -> BTreeMap<String, String> {
    let update = json!({ "package": "demo-pin", "from": "1.0-1", "to": "2.0-1", "advisories": [] });
    let mut target: Target = serde_json::from_value(json!({
        "os": "debian12", "packaging": "dpkg", "tags": {}, "services": [], "connection": { "driver": "model" },
        "updates": [update], "rollback_mode": "none",
    }))
    .unwrap();
    target.transaction = domain::transaction::Foreseen::Resolved(output.transaction().clone());
    target.owned_pins()
}

async fn patch(lab: &Lab, host: &str, pins: &BTreeMap<String, String>) -> (HostOutcome, Recording) {
    let run = lab.run(Playbook::PatchMixed, &[host], &lab.run_id(), |_, variables| {
        variables.set("pm_updates", updates()).set("pm_pinned", json!(pins)).set("pm_reboot", "never");
    });
    let recording = lab.play(run).await;
    (recording.outcome(host), recording)
}

pub async fn production_gets_exactly_what_the_pilot_tested(lab: &Lab) {
    tokio::join!(
        pilot_then_production(lab, DEBIAN[0], DEBIAN[1]),
        pilot_then_production(lab, ROCKY[0], ROCKY[1]),
    );
}

/// Once more with zypper, on one host: the pilot's turn is undone before that of production.
pub async fn zypper_keeps_to_pinned_versions(lab: &Lab) {
    publish(lab, LEAP, &OLD).await;
    install(lab, LEAP, &["demo-pin"]).await;
    publish(lab, LEAP, &[&OLD[..], &TESTED[..]].concat()).await;
    let pins = pins(&foresee(lab, LEAP, &updates(), false).await);
    publish(lab, LEAP, &[&OLD[..], &TESTED[..], &NEWER[..]].concat()).await;
    let (done, recording) = patch(lab, LEAP, &pins).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{:?} {}", done.reason, recording.output());
    assert_eq!(changes(&done), expected(), "{}", recording.output());
    remove(lab, LEAP, &NAMES).await;
}

fn expected() -> [(&'static str, Option<&'static str>, Option<&'static str>); 3] {
    [
        ("demo-pin", Some("1.0-1"), Some("2.0-1")),
        ("demo-pin-lib", Some("1.0-1"), Some("2.0-1")),
        ("demo-pin-new", None, Some("2.0-1")),
    ]
}

async fn pilot_then_production(lab: &Lab, pilot: &str, production: &str) {
    for host in [pilot, production] {
        publish(lab, host, &OLD).await;
        install(lab, host, &["demo-pin"]).await;
        publish(lab, host, &[&OLD[..], &TESTED[..]].concat()).await;
    }
    let planned = ask(lab, production, &updates(), |variables| {
        variables.set("pm_revisions", true);
    })
    .await;
    assert!(!planned.transaction().revisions.is_empty(), "{:?}", planned.transaction());
    let pins = pins(&planned);
    assert_eq!(pins.keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
    let (tested, recording) = patch(lab, pilot, &pins).await;
    assert_eq!(tested.outcome, HostOutcomeKind::Succeeded, "{:?} {}", tested.reason, recording.output());
    assert_eq!(changes(&tested), expected());
    assert_eq!(tested.newer, [], "nothing was uploaded yet");

    // Between the pilot's wave and the next, everything is uploaded once more.
    let all = [&OLD[..], &TESTED[..], &NEWER[..]].concat();
    publish(lab, production, &all).await;
    let unpinned = foresee(lab, production, &updates(), false).await;
    let along: BTreeMap<&str, &str> =
        unpinned.transaction().versions().map(|(package, version, _)| (package, version)).collect();
    assert_eq!(along["demo-pin-new"], "3.0-1", "without a pin, the upload comes along");
    refused_if_a_pinned_version_is_gone(lab, production, &pins).await;
    left_out_if_no_pilot_has_tested_what_comes_along(lab, production).await;

    publish(lab, production, &all).await;
    let (done, recording) = patch(lab, production, &pins).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{:?} {}", done.reason, recording.output());
    assert_eq!(changes(&done), changes(&tested), "{}", recording.output());
    let newer = |package: &str| NewerVersion { package: package.to_owned(), version: "3.0-1".to_owned() };
    assert_eq!(done.newer, [newer("demo-pin"), newer("demo-pin-lib")], "they wait for a run of their own");
    if DEBIAN.contains(&production) {
        let automatic = lab.ssh(production, "apt-mark showauto demo-pin-new demo-pin").await;
        assert_eq!(automatic, "demo-pin-new", "it goes with what it was installed for");
    }
    for host in [pilot, production] {
        remove(lab, host, &NAMES).await;
    }
}

/// The archive keeps only the newest library.
async fn refused_if_a_pinned_version_is_gone(lab: &Lab, host: &str, pins: &BTreeMap<String, String>) {
    publish(lab, host, &[TESTED[0], TESTED[2], NEWER[1], NEWER[2]]).await;
    let (refused, recording) = patch(lab, host, pins).await;
    assert_eq!(refused.outcome, HostOutcomeKind::Failed, "{}", recording.output());
    assert_eq!(refused.step, Some(WorkflowStep::Download), "before its services stop");
    let reason = refused.reason.as_ref().unwrap();
    let words = if DEBIAN.contains(&host) {
        "E: Version '2.0-1' for 'demo-pin-lib' was not found"
    } else {
        "demo-pin-lib >= 2.0"
    };
    assert!(reason.contains(words), "{reason}");
    assert!(refused.changed.is_empty() && lab.version(host, "demo-pin").await == "1.0-1", "{refused:?}");
    assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
}

/// As the plan asks about what the pilots test: only `demo-pin` itself.
async fn left_out_if_no_pilot_has_tested_what_comes_along(lab: &Lab, host: &str) {
    publish(lab, host, &[&OLD[..], &TESTED[..]].concat()).await;
    let output = ask(lab, host, &updates(), |variables| {
        variables.set("pm_pinned", updates());
    })
    .await;
    assert!(output.packages.is_empty(), "{:?}", output.packages);
    let groups = [output.answers[0].packages.clone()];
    let domain::transaction::Next::Done(selection) =
        domain::transaction::next(&groups, false, &[], &output.answers)
    else {
        panic!("{:?}", output.answers)
    };
    assert_eq!(selection.left_out[0].cause, OmitCause::NotTested);
    let why = selection.left_out[0].explanation();
    assert!(why.contains("demo-pin-lib") || why.contains("demo-pin-new"), "{why}");
}
