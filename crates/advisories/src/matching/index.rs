//! Advisories by OS release and package.

use std::collections::HashMap;

use crate::advisory::{Advisory, AffectedPackage, PackageKind};
use crate::os::OsRelease;
use crate::version::Version;

/// Built once, used for many hosts.
#[derive(Debug, Default)]
pub struct Index {
    advisories: Vec<Advisory>,
    releases: HashMap<OsRelease, Release>,
}

/// The fixes of one OS release by package name; binaries and sources are different name spaces.
#[derive(Debug, Default)]
pub(super) struct Release {
    binary: HashMap<String, Vec<Fix>>,
    source: HashMap<String, Vec<Fix>>,
}

/// One affected package that has a fix, with its versions parsed.
#[derive(Debug)]
pub(super) struct Fix {
    advisory: usize,
    affected: usize,
    pub fixed: Version,
    pub introduced: Option<Version>,
}

impl Index {
    /// Of advisories with the same publisher and id the one modified last counts, the later of two modified at the same time.
    /// Parts of one notice are merged. Withdrawn and superseded ones are kept but have no fixes.
    pub fn new(advisories: impl IntoIterator<Item = Advisory>) -> Self {
        let mut index = Self::default();
        let mut position_of: HashMap<(String, String), usize> = HashMap::new();
        for advisory in advisories {
            let key = (advisory.source.clone(), advisory.id.clone());
            match position_of.get(&key) {
                Some(&position) => {
                    let known = &mut index.advisories[position];
                    if advisory.is_part && known.is_part {
                        known.absorb(advisory);
                    } else if known.modified <= advisory.modified {
                        *known = advisory;
                    }
                }
                None => {
                    position_of.insert(key, index.advisories.len());
                    index.advisories.push(advisory);
                }
            }
        }
        for (position, advisory) in
            index.advisories.iter().enumerate().filter(|(_, advisory)| advisory.is_in_force())
        {
            for (place, affected) in advisory.affected.iter().enumerate() {
                add_fix(&mut index.releases, position, place, affected);
            }
        }
        index
    }

    pub fn advisories(&self) -> &[Advisory] {
        &self.advisories
    }

    pub(super) fn release(&self, os: &OsRelease) -> Option<&Release> {
        self.releases.get(os)
    }

    pub(super) fn resolve(&self, fix: &Fix) -> (&Advisory, &AffectedPackage) {
        let advisory = &self.advisories[fix.advisory];
        (advisory, &advisory.affected[fix.affected])
    }
}

/// Entries with invalid versions have no comparable fix; readers warn about them.
fn add_fix(
    releases: &mut HashMap<OsRelease, Release>,
    advisory: usize,
    place: usize,
    affected: &AffectedPackage,
) {
    let parse = |text: &str| Version::parse(affected.os.packaging(), text).ok();
    let Some(fixed) = affected.fixed.as_deref().and_then(parse) else { return };
    let introduced = match affected.introduced.as_deref() {
        Some(text) => match parse(text) {
            Some(version) => Some(version),
            None => return,
        },
        None => None,
    };
    if !releases.contains_key(&affected.os) {
        releases.insert(affected.os.clone(), Release::default());
    }
    let Some(release) = releases.get_mut(&affected.os) else { return };
    let names = match affected.package_kind {
        PackageKind::Binary => &mut release.binary,
        PackageKind::Source => &mut release.source,
    };
    let fix = Fix { advisory, affected: place, fixed, introduced };
    match names.get_mut(&affected.package) {
        Some(fixes) => fixes.push(fix),
        None => {
            names.insert(affected.package.clone(), vec![fix]);
        }
    }
}

impl Release {
    pub(super) fn fixes_of_binary(&self, name: &str) -> &[Fix] {
        self.binary.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn fixes_of_source(&self, name: &str) -> &[Fix] {
        self.source.get(name).map_or(&[], Vec::as_slice)
    }
}
