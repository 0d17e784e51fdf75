//! Finds the advisories that a host lacks.
//!
//! Vendor first: a package lacks a fix if the vendor's advisory for the host's own OS release fixes it in a higher
//! version, under that packaging system's order. Upstream version ranges are not used, because vendors backport.
//!
//! Two questions are separate: a match means that the vendor has a fix; [`Match::installable`] is whether the host's
//! repositories offer it now.

mod architecture;
mod index;
mod installed;
pub mod kernel;
mod modularity;
pub mod offer;
mod other_fix;
mod rebuild;
mod rule;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::compliance::PatchStateOfPackage;
use domain::package::RepositoryAnswer;

use crate::advisory::{Advisory, AffectedPackage, PackageKind};
use crate::inventory::{HostFacts, InstalledPackage, Inventory};
use crate::kernel_name::series_of_image;
use crate::version::{Packaging, Version};

use architecture::Architectures;
use index::Fix;
use installed::Installed;

pub use architecture::shows_architecture;
pub use index::Index;
pub use other_fix::has_other_fix;
pub use rule::Rule;

/// One fix that one package of a host lacks.
#[derive(Clone, Debug)]
pub struct Match<'a> {
    pub advisory: &'a Advisory,
    pub affected: &'a AffectedPackage,
    pub package: &'a InstalledPackage,
    /// The rule by which it matches.
    pub rule: Rule,
    /// `Missing`; `Held` if the operator holds the package at its installed version; `PendingReboot` if the fix is installed
    /// but the host still runs a kernel without it.
    pub state: PatchStateOfPackage,
    /// Whether the host's repositories offer a version with the fix; `None` if they were not queried.
    pub installable: Option<bool>,
}

impl<'a> Match<'a> {
    /// Name of the installed package; [`AffectedPackage::package`] is the advisory's name, which may be that of the source.
    pub fn package_name(&self) -> &'a str {
        &self.package.name
    }

    pub fn installed(&self) -> &'a str {
        &self.package.version
    }

    pub fn fixed(&self) -> &'a str {
        self.affected.fixed.as_deref().unwrap_or_default()
    }

    /// The full reason as one sentence.
    pub fn explain(&self) -> String {
        let package = self.package;
        let compared = match self.affected.package_kind {
            PackageKind::Binary => format!("{} {}", package.name, package.version),
            PackageKind::Source => match kernel::signed_source(package.source_name()) {
                Some(source) => format!("source {source} {}", package.version),
                None => format!("source {} {}", package.source_name(), package.source_version()),
            },
        };
        let (advisory, fixed_package) = (&self.advisory.id, &self.affected.package);
        format!("{advisory} fixes {fixed_package} in {}: {compared} is older; {}", self.fixed(), self.rule)
    }
}

/// Every fix in force that the host lacks, ordered by advisory, package and fixed version, each once.
///
/// Of several installed versions of a package (kernels) the newest counts. Invalid installed versions are skipped; readers
/// of inventories refuse them with a reason.
pub fn match_host<'a>(index: &'a Index, inventory: &'a Inventory) -> Vec<Match<'a>> {
    let newest = installed::newest(inventory);
    match_packages(index, &inventory.facts, &newest)
}

/// Fixes that are installed, but not in effect until the host boots the newest installed kernel.
pub fn match_running_kernel<'a>(index: &'a Index, inventory: &'a Inventory) -> Vec<Match<'a>> {
    let Some((running, newest)) = kernel::running_and_newest(inventory) else {
        return Vec::new();
    };
    let missing = match_packages(index, &inventory.facts, std::slice::from_ref(&newest));
    let is_missing = |advisory: &Advisory| missing.iter().any(|found| found.advisory.id == advisory.id);
    let mut matches = match_packages(index, &inventory.facts, std::slice::from_ref(&running));
    matches.retain(|found| !is_missing(found.advisory));
    for found in &mut matches {
        found.state = PatchStateOfPackage::PendingReboot;
        found.installable = None;
    }
    matches
}

fn match_packages<'a>(index: &'a Index, facts: &'a HostFacts, installed: &[Installed<'a>]) -> Vec<Match<'a>> {
    let mut matches: BTreeMap<(&str, &str, &str), (Match<'a>, &Version)> = BTreeMap::new();
    let packaging = facts.packaging();
    let host = Host { facts, installed, architectures: Architectures::of(installed) };
    for os in facts.matched_releases() {
        let Some(release) = index.release(&os) else { continue };
        for item in installed {
            let series = series_of_image(&item.package.name).filter(|_| packaging == Packaging::Dpkg);
            let sides = [
                (release.fixes_of_binary(&item.package.name), &item.version),
                (series.map_or(&[][..], |series| release.fixes_of_binary(&series)), &item.version),
                (release.fixes_of_source(&item.source_name), &item.source_version),
            ];
            for (fixes, version) in sides {
                for fix in fixes {
                    let Some(found) = judge(index, &host, item, version, fix) else { continue };
                    let key = (found.advisory.id.as_str(), found.package_name(), found.fixed());
                    match matches.entry(key) {
                        Entry::Vacant(place) => {
                            place.insert((found, version));
                        }
                        // The package is installed for several architectures; the older one is reported.
                        Entry::Occupied(mut place) if version < place.get().1 => {
                            place.insert((found, version));
                        }
                        Entry::Occupied(_) => {}
                    }
                }
            }
        }
    }
    matches.into_values().map(|(found, _)| found).collect()
}

/// What decides about all packages of a host.
struct Host<'h, 'a> {
    facts: &'h HostFacts,
    installed: &'h [Installed<'a>],
    architectures: Architectures<'a>,
}

fn judge<'a>(
    index: &'a Index,
    host: &Host<'_, 'a>,
    item: &Installed<'a>,
    version: &Version,
    fix: &'a Fix,
) -> Option<Match<'a>> {
    if *version >= fix.fixed || fix.introduced.as_ref().is_some_and(|introduced| version < introduced) {
        return None;
    }
    let (advisory, affected) = index.resolve(fix);
    if !rebuild::is_same_line(&item.package.version, affected.fixed.as_deref().unwrap_or_default()) {
        return None;
    }
    if !host.architectures.replaces(affected.arch.as_deref(), item.package.arch.as_deref()) {
        return None;
    }
    let packaging = host.facts.packaging();
    let rule = match (packaging, affected.package_kind) {
        (Packaging::Dpkg, PackageKind::Source) => Rule::SourceVersion,
        // The source decides where it is known: a notice that names it may also name its packages.
        (Packaging::Dpkg, PackageKind::Binary) if names_source(advisory, affected, &item.source_name) => {
            return None;
        }
        (Packaging::Dpkg, PackageKind::Binary) => Rule::Version(Packaging::Dpkg),
        (Packaging::Rpm, _) => {
            modularity::rule(host.facts, host.installed, item.package, advisory, affected)?
        }
    };
    Some(Match {
        advisory,
        affected,
        package: item.package,
        rule,
        state: if item.package.held { PatchStateOfPackage::Held } else { PatchStateOfPackage::Missing },
        installable: installable(host.facts, item.package, affected.package_kind, &fix.fixed),
    })
}

/// Whether a notice also names the source of a package for the same release.
fn names_source(advisory: &Advisory, affected: &AffectedPackage, source: &str) -> bool {
    advisory.affected.iter().any(|other| {
        other.package_kind == PackageKind::Source && other.os == affected.os && other.package == source
    })
}

/// A candidate is a binary's version, so it does not apply to a source with another version.
fn installable(
    facts: &HostFacts,
    package: &InstalledPackage,
    kind: PackageKind,
    fixed: &Version,
) -> Option<bool> {
    // A package manager does not say what it offers for a package that is held back.
    if package.candidate.is_none() && facts.repositories == RepositoryAnswer::Asked && !package.held {
        return Some(false);
    }
    if kind == PackageKind::Source && package.source_version.is_some() {
        return None;
    }
    let candidate = Version::parse(facts.packaging(), package.candidate.as_deref()?).ok()?;
    Some(candidate >= *fixed)
}
