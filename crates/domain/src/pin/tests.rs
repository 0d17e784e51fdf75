use super::*;
use crate::{
    ids::CiId,
    package::{OmitCause, PackageUpdate},
    plan::WaveKind,
    plan_diff::{DriftTolerance, DriftVerdict, PlanDrift, tests as plans},
    transaction::{Foreseen, NewPackage, Transaction},
};

fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

fn plan() -> Plan {
    Plan { pin: Pin::Pilot, ..plans::plan() }
}

fn add(plan: &mut Plan, host: &str, package: &str, to: &str) {
    let target = plan.targets.get_mut(&id(host)).unwrap();
    let update =
        PackageUpdate { package: package.to_owned(), to: to.to_owned(), ..target.updates[0].clone() };
    target.updates.push(update);
}

fn installs(plan: &mut Plan, host: &str, package: &str, version: &str) {
    let new = NewPackage { package: package.to_owned(), version: version.to_owned(), origins: Vec::new() };
    let transaction = Transaction { installs: vec![new], ..Transaction::default() };
    plan.targets.get_mut(&id(host)).unwrap().transaction = Foreseen::Resolved(transaction);
}

#[test]
fn production_is_limited_to_the_versions_of_the_pilots() {
    let mut plan = plan();
    assert!(untested(&plan, Tested::default()).is_empty(), "every host gets what the pilot gets");
    add(&mut plan, "h-5", "redis", "7");
    add(&mut plan, "h-6", "curl", "8.1");
    add(&mut plan, "h-1", "curl", "8.0");
    installs(&mut plan, "h-7", "libnew", "1");
    let found = untested(&plan, Tested::default());
    let set = |name: &str| BTreeSet::from([name.to_owned()]);
    let planned = |name: &str| Untested { planned: set(name), along: BTreeSet::new() };
    let along = Untested { planned: BTreeSet::new(), along: set("libnew") };
    assert_eq!(
        found,
        BTreeMap::from([(id("h-5"), planned("redis")), (id("h-6"), planned("curl")), (id("h-7"), along)])
    );

    installs(&mut plan, "h-1", "libnew", "1");
    let mut installed = Tested::default();
    installed.add("debian12", "curl", "8.1");
    installed.add("rocky9", "redis", "7");
    let left: Vec<CiId> = untested(&plan, installed).into_keys().collect();
    assert_eq!(left, [id("h-5")], "another system tests nothing for it");
}

#[test]
fn host_is_tested_only_by_waves_before_it_and_by_staging_if_there_is_any() {
    let mut plan = plan();
    plan.waves.swap(0, 1);
    assert_eq!(untested(&plan, Tested::default()).len(), 9, "the first wave has no pilot before it");
    plan.waves.swap(0, 1);
    plan.waves[1].kind = WaveKind::Staging;
    plan.waves.swap(0, 1);
    add(&mut plan, "h-1", "curl", "8.0");
    add(&mut plan, "h-20", "curl", "8.0");
    let found = untested(&plan, Tested::default());
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [id("h-1"), id("h-20")], "a pilot is production, too");
}

#[test]
fn epoch_of_zero_is_no_difference() {
    let mut plan = plan();
    add(&mut plan, "h-1", "curl", "0:8.0");
    add(&mut plan, "h-2", "curl", "8.0");
    assert!(untested(&plan, Tested::default()).is_empty());
}

#[test]
fn what_a_failed_pilot_was_to_test_is_left_out_later() {
    let mut plan = plan();
    let failed = |plan: &Plan, host: &str, passes: bool| test_has_failed(plan, &id(host), |_| passes);
    assert!(failed(&plan, "h-9", true).is_empty());
    assert_eq!(failed(&plan, "h-9", false), BTreeSet::from(["openssl".to_owned()]));
    assert!(failed(&plan, "h-1", false).is_empty(), "the pilot itself");
    add(&mut plan, "h-9", "curl", "8.0");
    assert!(!failed(&plan, "h-9", false).contains("curl"), "it was installed on the pilot before");
    plan.pin = Pin::None;
    assert!(failed(&plan, "h-9", false).is_empty());
}

#[test]
fn newer_version_waits_for_a_run_of_its_own_whatever_the_tolerance_says() {
    let approved = plan();
    let mut now = approved.clone();
    let target = now.targets.get_mut(&id("h-4")).unwrap();
    target.updates[0].to = "3.0.19".to_owned();
    let tolerance = DriftTolerance { newer_versions: true, ..DriftTolerance::default() };
    let drift = PlanDrift::new(&approved, &now, tolerance, plans::by_text);
    assert!(!drift.tolerance.newer_versions && drift.accepted_versions(&id("h-4")).is_empty());

    let target = now.targets.get_mut(&id("h-4")).unwrap();
    target.keep_pinned(&approved.targets[&id("h-4")]);
    assert_eq!(target.versions(), approved.targets[&id("h-4")].versions());
    let left_out = &target.omitted[0];
    assert_eq!((left_out.cause, left_out.stays_missing()), (OmitCause::NewerThanTested, false));
    assert!(left_out.explanation().ends_with("3.0.19"), "{}", left_out.explanation());
    let drift = PlanDrift::new(&approved, &now, tolerance, plans::by_text);
    assert_eq!(drift.verdict(), DriftVerdict::Unchanged);
}

#[test]
fn pin_is_part_of_what_is_approved() {
    assert_ne!(plan().hash(), plans::plan().hash());
    let stored = serde_json::to_string(&plans::plan()).unwrap();
    assert!(!stored.contains("\"pin\""), "plans that were stored before read back unchanged");
}
