//! The installed versions that count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::inventory::{InstalledPackage, Inventory};
use crate::version::{Packaging, Version};

use super::kernel;

/// An installed package with its versions parsed.
#[derive(Clone, Debug)]
pub(super) struct Installed<'a> {
    pub package: &'a InstalledPackage,
    pub version: Version,
    /// The source that advisories name.
    pub source_name: String,
    pub source_version: Version,
}

impl<'a> Installed<'a> {
    pub(super) fn of(package: &'a InstalledPackage, packaging: Packaging) -> Option<Self> {
        let version = Version::parse(packaging, &package.version).ok()?;
        let (source_name, source_version) =
            match (kernel::signed_source(package.source_name()), &package.source_version) {
                (Some(source), _) => (source, version.clone()),
                (None, Some(text)) => {
                    (package.source_name().to_owned(), Version::parse(packaging, text).ok()?)
                }
                (None, None) => (package.source_name().to_owned(), version.clone()),
            };
        Some(Self { package, version, source_name, source_version })
    }
}

/// The newest of each package and architecture. Old kernels stay installed next to newer ones, under the same name with
/// rpm and under a name that contains their version with dpkg; they do not run after a reboot.
pub(super) fn newest(inventory: &Inventory) -> Vec<Installed<'_>> {
    let packaging = inventory.facts.packaging();
    let mut newest: BTreeMap<(String, &str), Installed<'_>> = BTreeMap::new();
    for item in inventory.packages.iter().filter_map(|package| Installed::of(package, packaging)) {
        let group = match packaging {
            Packaging::Rpm => item.package.name.clone(),
            Packaging::Dpkg => kernel::dpkg_group(&item.package.name),
        };
        let key = (group, item.package.arch.as_deref().unwrap_or_default());
        match newest.entry(key) {
            Entry::Vacant(place) => {
                place.insert(item);
            }
            Entry::Occupied(mut place) if place.get().version < item.version => {
                place.insert(item);
            }
            Entry::Occupied(_) => {}
        }
    }
    newest.into_values().collect()
}
