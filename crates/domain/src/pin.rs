//! Pinned content: production installs exactly the versions that staging or the pilots of the same run have tested.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    ids::CiId,
    package::{OmitCause, OmittedUpdate},
    plan::{Plan, Target, WaveKind},
    transaction::Foreseen,
};

/// What production may install.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Pin {
    /// What its repositories offer, as far as the plan contains it.
    #[default]
    None,
    /// Only versions that staging has tested, or the pilots if the plan has no staging wave.
    Pilot,
}

impl Pin {
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Versions that tested hosts have or get, by their operating system and by package.
#[derive(Debug, Clone, Default)]
pub struct Tested(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

/// What of a host's update no pilot tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Untested {
    /// Of the planned packages.
    pub planned: BTreeSet<String>,
    /// Of the packages that its package manager changes along with them.
    pub along: BTreeSet<String>,
}

impl Tested {
    pub fn add(&mut self, os: &str, package: &str, version: &str) {
        let packages = self.0.entry(os.to_owned()).or_default();
        packages.entry(package.to_owned()).or_default().insert(plain(version).to_owned());
    }

    fn add_target(&mut self, target: &Target) {
        for (package, version) in target.pinned_versions() {
            self.add(&target.os, package, version);
        }
    }

    fn contains(&self, os: &str, package: &str, version: &str) -> bool {
        let versions = self.0.get(os).and_then(|packages| packages.get(package));
        versions.is_some_and(|versions| versions.contains(plain(version)))
    }

    fn missing(&self, target: &Target) -> Untested {
        let mut untested = Untested::default();
        let planned = target.versions();
        for (package, version) in target.pinned_versions() {
            if self.contains(&target.os, package, version) {
                continue;
            }
            let found =
                if planned.contains_key(package) { &mut untested.planned } else { &mut untested.along };
            found.insert(package.to_owned());
        }
        untested
    }
}

/// rpm writes an epoch of 0 or leaves it out.
fn plain(version: &str) -> &str {
    version.strip_prefix("0:").unwrap_or(version)
}

impl Target {
    /// Every version that its package manager may install, with or along with the planned updates.
    pub fn pinned_versions(&self) -> BTreeMap<&str, &str> {
        let along = self.transaction.resolved().into_iter().flat_map(|transaction| transaction.versions());
        let mut versions: BTreeMap<&str, &str> =
            along.map(|(package, version, _)| (package, version)).collect();
        versions.extend(self.versions());
        versions
    }

    /// The same, without a reference to it.
    pub fn owned_pins(&self) -> BTreeMap<String, String> {
        let pins = self.pinned_versions().into_iter();
        pins.map(|(package, version)| (package.to_owned(), version.to_owned())).collect()
    }

    /// Leaves out these planned packages, because no pilot tests them.
    pub fn leave_out_untested(&mut self, packages: &BTreeSet<String>) {
        self.updates.retain(|update| !packages.contains(&update.package));
        if self.updates.is_empty() {
            self.transaction = Foreseen::NotAsked;
        }
        let left_out = packages.iter().map(|package| OmittedUpdate::new(package, OmitCause::NotTested));
        self.omitted.extend(left_out);
        self.omitted.sort();
        self.omitted.dedup();
    }

    /// Brings its updates back to the versions of the approved plan. What is newer waits for a run of its own.
    pub fn keep_pinned(&mut self, approved: &Target) {
        let known = approved.versions();
        for update in &mut self.updates {
            let Some(version) = known.get(update.package.as_str()) else { continue };
            if *version != update.to {
                let newer = std::mem::replace(&mut update.to, (*version).to_owned());
                self.omitted.push(OmittedUpdate::newer_than_tested(&update.package, &newer));
            }
        }
        self.omitted.sort();
        self.omitted.dedup();
    }
}

/// The waves whose hosts test what the waves after them install.
fn tester(plan: &Plan) -> WaveKind {
    let has_staging = plan.waves.iter().any(|wave| wave.kind == WaveKind::Staging);
    if has_staging { WaveKind::Staging } else { WaveKind::Pilot }
}

/// Per host that tests nothing itself: what it would install without a test by a host in a wave before. `tested` has what
/// the testing hosts have installed already.
pub fn untested(plan: &Plan, mut tested: Tested) -> BTreeMap<CiId, Untested> {
    let tester = tester(plan);
    let mut found = BTreeMap::new();
    for wave in &plan.waves {
        let hosts = wave.hosts.iter().filter_map(|id| plan.targets.get_key_value(id));
        if wave.kind == tester {
            hosts.for_each(|(_, target)| tested.add_target(target));
            continue;
        }
        for (id, target) in hosts {
            let untested = tested.missing(target);
            if untested != Untested::default() {
                found.insert(id.clone(), untested);
            }
        }
    }
    found
}

/// The hosts whose content the others are limited to.
pub fn testers(plan: &Plan) -> BTreeSet<&CiId> {
    let tester = tester(plan);
    plan.waves.iter().filter(|wave| wave.kind == tester).flat_map(|wave| &wave.hosts).collect()
}

/// The planned packages of a host whose test has failed: hosts of the plan were to test them, and none of these has passed.
pub fn test_has_failed(plan: &Plan, host: &CiId, has_passed: impl Fn(&CiId) -> bool) -> BTreeSet<String> {
    let testers = testers(plan);
    let Some(target) = plan.targets.get(host).filter(|_| !plan.pin.is_none() && !testers.contains(host))
    else {
        return BTreeSet::new();
    };
    let failed = target.updates.iter().filter(|update| {
        let tests = |id: &&&CiId| {
            plan.targets.get(**id).is_some_and(|tester| {
                tester.os == target.os
                    && tester.versions().get(update.package.as_str()) == Some(&update.to.as_str())
            })
        };
        let mut testing = testers.iter().filter(tests).peekable();
        testing.peek().is_some() && !testing.any(|id| has_passed(id))
    });
    failed.map(|update| update.package.clone()).collect()
}

#[cfg(test)]
mod tests;
