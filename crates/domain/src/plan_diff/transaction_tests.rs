//! The transactions of both plans are part of the one comparison.

use super::{tests::*, *};
use crate::transaction::{Foreseen, NewPackage, Removal, Transaction, VersionChange};

fn origins(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// What installs `openssl` in a version, with its library.
fn transaction(openssl: &str, origin: &str) -> Transaction {
    let change = |package: &str| VersionChange {
        package: package.to_owned(),
        from: "3.0.17".to_owned(),
        to: openssl.to_owned(),
        origins: origins(origin),
    };
    Transaction { updates: vec![change("libssl3"), change("openssl")], ..Transaction::default() }
}

fn set_transaction(plan: &mut Plan, host: &str, openssl: &str, foreseen: Transaction) {
    let target = plan.targets.get_mut(&id(host)).unwrap();
    target.updates[0].to = openssl.to_owned();
    target.transaction = Foreseen::Resolved(foreseen);
}

fn compare_with(tolerance: DriftTolerance, now: impl FnOnce(&mut Plan)) -> PlanDrift {
    let mut approved = plan();
    set_transaction(
        &mut approved,
        "h-7",
        "3.0.18",
        transaction("3.0.18", "Debian-Security:12/stable-security"),
    );
    let mut later = approved.clone();
    now(&mut later);
    PlanDrift::new(&approved, &later, tolerance, by_text)
}

fn newer() -> DriftTolerance {
    DriftTolerance { newer_versions: true, ..DriftTolerance::default() }
}

#[test]
fn newer_version_of_the_same_origin_is_accepted_only_if_the_policy_says_so() {
    let upload = |plan: &mut Plan| {
        set_transaction(plan, "h-7", "3.0.19", transaction("3.0.19", "Debian-Security:12/stable-security"));
    };
    assert_eq!(kinds(&compare_with(DriftTolerance::default(), upload)), [DriftKind::ChangedVersions]);
    let accepted = compare_with(newer(), upload);
    assert_eq!(accepted.verdict(), DriftVerdict::Tolerated);
    assert_eq!(accepted.accepted_versions(&id("h-7")), BTreeMap::from([("openssl", "3.0.19")]));
    assert_eq!(accepted.diff.along[&id("h-7")][0].package, "libssl3");

    let elsewhere = compare_with(newer(), |plan| {
        set_transaction(plan, "h-7", "3.0.19", transaction("3.0.19", "Example:1/main"))
    });
    assert_eq!(kinds(&elsewhere), [DriftKind::ChangedVersions], "another origin");
    assert!(elsewhere.accepted_versions(&id("h-7")).is_empty());
    let older = compare_with(newer(), |plan| {
        set_transaction(plan, "h-7", "3.0.16", transaction("3.0.16", "Debian-Security:12/stable-security"));
    });
    assert_eq!(kinds(&older), [DriftKind::ChangedVersions], "an older version");
}

#[test]
fn new_package_that_nobody_approved_voids() {
    let more = compare_with(newer(), |plan| {
        let mut foreseen = transaction("3.0.18", "Debian-Security:12/stable-security");
        let new =
            NewPackage { package: "libnew".to_owned(), version: "1".to_owned(), origins: origins("Debian") };
        foreseen.installs.push(new);
        set_transaction(plan, "h-7", "3.0.18", foreseen);
    });
    assert_eq!(kinds(&more), [DriftKind::ChangedVersions]);
    assert!(more.diff.lines().iter().any(|line| line.what == "package libnew, changed along"));
}

#[test]
fn library_that_was_updated_in_the_meantime_is_only_recorded() {
    let less = compare_with(DriftTolerance::default(), |plan| {
        let mut foreseen = transaction("3.0.18", "Debian-Security:12/stable-security");
        foreseen.updates.retain(|change| change.package == "openssl");
        set_transaction(plan, "h-7", "3.0.18", foreseen);
    });
    assert_eq!(less.verdict(), DriftVerdict::Tolerated);
    assert_eq!(less.diff.along[&id("h-7")][0].now, None);
}

#[test]
fn removal_that_nobody_approved_is_never_tolerated() {
    let tolerance = DriftTolerance {
        changed_versions: HostCount::Percent(100),
        newer_versions: true,
        ..DriftTolerance::default()
    };
    let removes = |plan: &mut Plan| {
        let mut foreseen = transaction("3.0.18", "Debian-Security:12/stable-security");
        foreseen.removals.push(Removal {
            package: "needed".to_owned(),
            version: "1".to_owned(),
            replaced_by: None,
        });
        set_transaction(plan, "h-7", "3.0.18", foreseen);
    };
    let more = compare_with(tolerance, removes);
    assert_eq!(kinds(&more), [DriftKind::MoreRemovals]);
    assert_eq!(more.diff.more_removals[&id("h-7")], BTreeSet::from(["needed".to_owned()]));
    // The other way round, the host loses less than approved.
    let mut approved = plan();
    removes(&mut approved);
    let mut now = approved.clone();
    set_transaction(&mut now, "h-7", "3.0.18", transaction("3.0.18", "Debian-Security:12/stable-security"));
    assert_eq!(PlanDrift::new(&approved, &now, tolerance, by_text).verdict(), DriftVerdict::Unchanged);
}

#[test]
fn transaction_that_is_not_known_any_more_voids() {
    let unknown = compare_with(newer(), |plan| {
        plan.targets.get_mut(&id("h-7")).unwrap().transaction =
            Foreseen::Unknown { reason: "no dnf 4".to_owned() };
    });
    assert_eq!(kinds(&unknown), [DriftKind::UnknownTransactions]);
}

#[test]
fn plan_from_before_transactions_is_compared_by_its_versions() {
    let (approved, mut now) = (plan(), plan());
    set_transaction(&mut now, "h-7", "3.0.18", transaction("3.0.18", "Debian-Security:12/stable-security"));
    let same = PlanDrift::new(&approved, &now, DriftTolerance::default(), by_text);
    assert_eq!(same.verdict(), DriftVerdict::Unchanged);
    let stored = serde_json::to_value(DriftTolerance::default()).unwrap();
    assert!(stored.get("newer_versions").is_none(), "{stored}");
}
