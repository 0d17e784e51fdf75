use std::collections::BTreeMap;

use domain::{
    package::{OmitCause, PackageUpdate, Packaging},
    workflow::RollbackMode,
};
use serde_json::{Value, json};

use super::*;

fn update(package: &str) -> PackageUpdate {
    PackageUpdate {
        package: package.to_owned(),
        from: "1".to_owned(),
        to: "2".to_owned(),
        advisories: vec![format!("A-{package}")],
        cves: Vec::new(),
    }
}

fn target(packages: &[&str]) -> Target {
    Target {
        os: "debian12".to_owned(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::new(),
        services: Vec::new(),
        connection: Connection::Model,
        updates: packages.iter().map(|package| update(package)).collect(),
        rollback_mode: RollbackMode::None,
        omitted: vec![OmittedUpdate::new("held", OmitCause::Held)],
        expected_seconds: 0,
        reboot_pending: false,
        unverified: None,
        transaction: Foreseen::NotAsked,
        owner_email: None,
        bootstrap_python: false,
    }
}

fn all(target: &Target) -> BTreeSet<String> {
    target.versions().into_keys().map(str::to_owned).collect()
}

/// A host on which `a` removes `needed`, as its playbook reports it.
fn report() -> Value {
    let removal = json!([{ "package": "needed", "version": "1" }]);
    json!({
        "answers": [
            { "packages": ["a", "b"], "state": "resolved", "removals": removal },
            { "packages": ["a"], "state": "resolved", "removals": removal },
            { "packages": ["b"], "state": "resolved", "removals": [] },
        ],
        "packages": ["b"],
        "transaction": {
            "state": "resolved", "updates": [{ "package": "b", "from": "1", "to": "2", "origins": ["Debian:12/stable"] }],
            "installs": [{ "package": "c", "version": "1", "origins": [] }], "removals": [], "download_bytes": 10, "disk_bytes": 20,
        },
    })
}

fn read_as(report: Value, target: &Target, allow_removals: bool) -> Result<Found, String> {
    let limits = Limits { allow_removals, ..Limits::default() };
    found(serde_json::from_value(report).unwrap(), target, &limits)
}

#[test]
fn update_that_would_remove_a_package_is_left_out_of_the_plan_and_the_rest_stays() {
    let mut target = target(&["a", "b"]);
    let found = read_as(report(), &target, false).unwrap();
    let about = all(&target);
    apply(&mut target, &about, found, false).unwrap();
    assert_eq!(target.versions(), BTreeMap::from([("b", "2")]));
    let causes: Vec<_> = target.omitted.iter().map(|one| (one.package.as_str(), one.cause)).collect();
    assert_eq!(causes, [("a", OmitCause::WouldRemove), ("held", OmitCause::Held)]);
    let transaction = target.transaction.resolved().unwrap();
    assert_eq!((transaction.installs[0].package.as_str(), transaction.download_bytes), ("c", Some(10)));
}

#[test]
fn answers_of_a_host_are_judged_again_by_the_policy() {
    let target = target(&["a", "b"]);
    // With consent, the first answer would do, so this report answers another question.
    assert!(read_as(report(), &target, true).is_err());
    let mut all_kept = report();
    all_kept["packages"] = json!(["a", "b"]);
    assert!(read_as(all_kept, &target, false).is_err(), "a playbook does not decide");
    let mut cut = report();
    cut["answers"].as_array_mut().unwrap().pop();
    assert!(read_as(cut, &target, false).is_err());
    let mut without = report();
    without["transaction"] = Value::Null;
    assert!(read_as(without, &target, false).is_err());
}

#[test]
fn host_on_which_nothing_can_be_installed_says_why() {
    let refused = json!({
        "answers": [{ "packages": ["a"], "state": "refused", "reason": "E: held broken packages" }],
        "packages": [], "transaction": null,
    });
    let mut target = target(&["a"]);
    let about = all(&target);
    let found = read_as(refused.clone(), &target, false).unwrap();
    let reason = apply(&mut target.clone(), &about, found, false).unwrap_err();
    assert!(reason.contains("`a` refused") && reason.contains("E: held broken packages"), "{reason}");
    let found = read_as(refused, &target, false).unwrap();
    apply(&mut target, &about, found, true).unwrap();
    assert!(target.updates.is_empty(), "it still reboots");
}

#[test]
fn package_that_was_not_asked_about_stays() {
    let mut target = target(&["a", "b", "later"]);
    let about = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
    let mut asked = target.clone();
    asked.updates.retain(|update| about.contains(&update.package));
    let found = read_as(report(), &asked, false).unwrap();
    apply(&mut target, &about, found, false).unwrap();
    assert_eq!(target.versions().into_keys().collect::<Vec<_>>(), ["b", "later"]);
}

#[test]
fn package_manager_that_cannot_be_asked_leaves_the_transaction_unknown() {
    let unknown = json!({
        "answers": [{ "packages": ["a"], "state": "unknown", "reason": "no dnf 4" }],
        "packages": ["a"], "transaction": { "state": "unknown", "reason": "no dnf 4" },
    });
    let mut target = target(&["a"]);
    let about = all(&target);
    let found = read_as(unknown, &target, false).unwrap();
    apply(&mut target, &about, found, false).unwrap();
    assert_eq!(target.transaction.why_unknown().as_deref(), Some("no dnf 4"));
    assert_eq!(target.updates.len(), 1);
}
