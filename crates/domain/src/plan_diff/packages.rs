//! What differs in the packages of a host: those that are planned, and those that its package manager changes along with them.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{PackageDiff, PlanDiff, VersionOrder};
use crate::{
    ids::CiId,
    package::Packaging,
    plan::Target,
    transaction::{Transaction, is_same_origin},
};

/// A version, and where it comes from as far as that is known.
#[derive(Clone, Copy)]
struct Due<'a> {
    version: &'a str,
    origins: &'a [String],
}

impl PlanDiff {
    pub(super) fn compare_packages(
        &mut self,
        id: &CiId,
        before: &Target,
        after: &Target,
        order: VersionOrder,
    ) {
        let is_newer = |approved: Due<'_>, now: Due<'_>| {
            is_same_origin(approved.origins, now.origins)
                && is_greater(order, before.packaging, now.version, approved.version)
        };
        let packages = differences(planned(before), planned(after), is_newer);
        if !packages.is_empty() {
            self.packages.insert(id.clone(), packages);
        }
        let Some(approved) = before.transaction.resolved() else { return };
        let Some(now) = after.transaction.resolved() else {
            if !after.updates.is_empty() {
                self.unknown_transactions.insert(id.clone());
            }
            return;
        };
        let planned: BTreeSet<&str> =
            before.updates.iter().chain(&after.updates).map(|update| update.package.as_str()).collect();
        let along = |transaction| -> BTreeMap<&str, Due<'_>> {
            let versions = versions(transaction).into_iter();
            versions.filter(|(package, _)| !planned.contains(package)).collect()
        };
        let along = differences(along(approved), along(now), is_newer);
        if !along.is_empty() {
            self.along.insert(id.clone(), along);
        }
        let kept = before.transaction.removed_names();
        let removed = after.transaction.removed_names();
        let more: BTreeSet<String> = removed.difference(&kept).map(|name| (*name).to_owned()).collect();
        if !more.is_empty() {
            self.more_removals.insert(id.clone(), more);
        }
    }

    /// Hosts on which something else would be installed than approved. An approved change that is not due any more counts only
    /// if it was planned for itself.
    pub(super) fn hosts_with_changed_versions(&self, newer_are_accepted: bool) -> BTreeSet<&CiId> {
        let is_accepted = |one: &PackageDiff| newer_are_accepted && one.newer_of_same_origin;
        let planned = |one: &PackageDiff| one.approved.is_some() && !is_accepted(one);
        let along = |one: &PackageDiff| one.now.is_some() && !is_accepted(one);
        let by_plan = self.packages.iter().filter(|(_, packages)| packages.iter().any(planned));
        let by_manager = self.along.iter().filter(|(_, packages)| packages.iter().any(along));
        by_plan.chain(by_manager).map(|(host, _)| host).collect()
    }
}

/// The planned versions, with the origins that the package manager names.
fn planned(target: &Target) -> BTreeMap<&str, Due<'_>> {
    let known = target.transaction.resolved().map(versions).unwrap_or_default();
    let updates = target.updates.iter().map(|update| {
        let origins = known.get(update.package.as_str()).map_or(&[][..], |due| due.origins);
        (update.package.as_str(), Due { version: &update.to, origins })
    });
    updates.collect()
}

fn versions(transaction: &Transaction) -> BTreeMap<&str, Due<'_>> {
    let versions = transaction.versions();
    versions.map(|(package, version, origins)| (package, Due { version, origins })).collect()
}

fn differences(
    before: BTreeMap<&str, Due<'_>>,
    mut after: BTreeMap<&str, Due<'_>>,
    is_newer: impl Fn(Due<'_>, Due<'_>) -> bool,
) -> Vec<PackageDiff> {
    let mut found = Vec::new();
    for (package, approved) in before {
        let now = after.remove(package);
        if now.is_none_or(|now| now.version != approved.version) {
            found.push(PackageDiff {
                package: package.to_owned(),
                approved: Some(approved.version.to_owned()),
                now: now.map(|now| now.version.to_owned()),
                newer_of_same_origin: now.is_some_and(|now| is_newer(approved, now)),
            });
        }
    }
    found.extend(after.into_iter().map(|(package, now)| PackageDiff {
        package: package.to_owned(),
        approved: None,
        now: Some(now.version.to_owned()),
        newer_of_same_origin: false,
    }));
    found
}

fn is_greater(order: VersionOrder, packaging: Packaging, one: &str, other: &str) -> bool {
    order(packaging, one, other) == Some(Ordering::Greater)
}
