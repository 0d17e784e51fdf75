//! The packages of a document: what its vulnerabilities' lists of products say of each.

use std::collections::{BTreeMap, BTreeSet};

use domain::compliance::NoFix;

use crate::advisory::{AffectedPackage, NotAffected, PackageKind};
use crate::feed::text::{is_package_name, shown};
use crate::module_stream::{ModuleStream, is_modular, streams_in_title};
use crate::os::OsRelease;
use crate::vers::{Interval, VersionRange};
use crate::version::{Packaging, Version};

use super::document::{GroupIds, ProductIds, ProductStatus, Status, Vulnerability};
use super::products::{Component, Products};

/// Most warnings of one document; most repeat for each product.
const MAX_WARNINGS: usize = 100;

pub(super) struct PackageReader {
    products: Products,
    /// Streams in the title, for builds whose module is not named elsewhere.
    streams: Vec<ModuleStream>,
    affected: BTreeMap<PlaceOfFix, Vec<ModuleStream>>,
    /// What the vendor says instead of a fix.
    unfixed: BTreeMap<PlaceOfFix, NoFix>,
    /// Sources that do not repeat the builds of a package: a range may be of either.
    of_ranges: BTreeSet<PlaceOfFix>,
    not_affected: Vec<NotAffected>,
    seen: BTreeSet<(String, String, Option<String>)>,
    said: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PlaceOfFix {
    os: OsRelease,
    package: String,
    kind: PackageKind,
    introduced: Option<String>,
    fixed: Option<String>,
    arch: Option<String>,
}

/// A build with a fix of one vulnerability.
struct FixedBuild {
    place: PlaceOfFix,
    version: Version,
    modules: Vec<ModuleStream>,
}

impl PackageReader {
    pub(super) fn new(mut products: Products, title: &str) -> Self {
        let mut reader = Self {
            streams: streams_in_title(title),
            affected: BTreeMap::new(),
            unfixed: BTreeMap::new(),
            of_ranges: BTreeSet::new(),
            not_affected: Vec::new(),
            seen: BTreeSet::new(),
            said: BTreeSet::new(),
            products: Products::default(),
        };
        for fault in std::mem::take(&mut products.faults) {
            reader.warn(fault);
        }
        reader.products = products;
        reader
    }

    pub(super) fn read(&mut self, vulnerability: Vulnerability) {
        let Vulnerability { product_status, flags, remediations, .. } = vulnerability;
        let Some(ProductStatus { lists, unknown }) = product_status else { return };
        for name in unknown {
            self.warn(format!("its product status has {:?}, which is not read", shown(&name)));
        }
        self.check_contradictions(&lists);
        let mut reasons: BTreeMap<String, String> = BTreeMap::new();
        for flag in flags.0 {
            let Some(label) = flag.label else { continue };
            for id in self.members(flag.product_ids, flag.group_ids) {
                reasons.insert(id, label.clone());
            }
        }
        let mut plans: BTreeMap<String, NoFix> = BTreeMap::new();
        for remediation in remediations.0 {
            let Some(plan) = remediation.category.as_deref().and_then(|category| self.plan(category)) else {
                continue;
            };
            for id in self.members(remediation.product_ids, remediation.group_ids) {
                plans.insert(id, plan);
            }
        }
        let mut fixed: Vec<FixedBuild> = Vec::new();
        for (status, ids) in lists {
            for id in ids.0 {
                let Some(component) = self.component(&id) else { continue };
                match status {
                    Status::FirstFixed | Status::Fixed | Status::Recommended => {
                        fixed.extend(self.fixed_builds(component));
                    }
                    Status::FirstAffected | Status::KnownAffected | Status::LastAffected => {
                        self.add_affected(component, plans.get(&id).copied().unwrap_or(NoFix::Open));
                    }
                    Status::UnderInvestigation => self.add_affected(component, NoFix::UnderInvestigation),
                    Status::KnownNotAffected => {
                        self.add_not_affected(component, reasons.get(&id).map(String::as_str));
                    }
                }
            }
        }
        self.add_fixed(fixed);
    }

    /// A product and the products of groups.
    fn members(&mut self, products: ProductIds, groups: GroupIds) -> Vec<String> {
        let (of_groups, unknown) = self.products.of_groups(&groups.0);
        let of_groups: Vec<String> = of_groups.into_iter().map(str::to_owned).collect();
        let unknown: Vec<String> = unknown.into_iter().map(shown).collect();
        for group in unknown {
            self.warn(format!("its product tree has no group {group:?} (CSAF 6.1.4)"));
        }
        products.0.into_iter().chain(of_groups).collect()
    }

    /// What a remediation without a fix says.
    fn plan(&mut self, category: &str) -> Option<NoFix> {
        match category {
            "none_available" => Some(NoFix::Open),
            "fix_planned" => Some(NoFix::Postponed),
            "no_fix_planned" => Some(NoFix::NotPlanned),
            "mitigation" | "optional_patch" | "vendor_fix" | "workaround" => None,
            other => {
                self.warn(format!("a remediation has the category {:?}, which is not read", shown(other)));
                None
            }
        }
    }

    /// A product is in one kind of list: fixed, affected, not affected, or under investigation.
    fn check_contradictions(&mut self, lists: &[(Status, ProductIds)]) {
        let kind = |status: Status| match status {
            Status::FirstFixed | Status::Fixed => Some(0),
            Status::FirstAffected | Status::KnownAffected | Status::LastAffected => Some(1),
            Status::KnownNotAffected => Some(2),
            Status::UnderInvestigation => Some(3),
            // A recommended build may be in any other list.
            Status::Recommended => None,
        };
        let mut kind_of: BTreeMap<&str, u8> = BTreeMap::new();
        let mut contradicting = BTreeSet::new();
        for (status, ids) in lists {
            let Some(kind) = kind(*status) else { continue };
            for id in &ids.0 {
                if *kind_of.entry(id).or_insert(kind) != kind {
                    contradicting.insert(id.as_str());
                }
            }
        }
        for id in contradicting {
            self.warn(format!("{:?} is in lists that contradict each other (CSAF 6.1.6)", shown(id)));
        }
    }

    fn component(&mut self, product_id: &str) -> Option<Component> {
        let component = self.products.resolve(product_id);
        if component.is_none() {
            self.warn(format!("its product tree has no {:?}", shown(product_id)));
        }
        // Ids and package URLs may contain anything, and they are stored.
        let is_fit = |text: &Option<String>| text.as_deref().is_none_or(is_package_name);
        component.filter(|component| is_fit(&component.arch) && is_fit(&component.version))
    }

    fn fixed_builds(&mut self, component: Component) -> Vec<FixedBuild> {
        let Component { os, package, version, range, arch, module } = component;
        let versions = match &range {
            Some(range) => range.first_versions(),
            None => version.into_iter().collect(),
        };
        let (Some(os), Some(package), false) = (os, package, versions.is_empty()) else {
            self.warn("products that are not packages of a known OS release are not matched".to_owned());
            return Vec::new();
        };
        if !self.is_fit(&os, &package, range.as_ref()) {
            return Vec::new();
        }
        let mut builds = Vec::new();
        for fixed in versions {
            let version = match Version::parse(os.packaging(), &fixed) {
                Ok(version) => version,
                Err(error) => {
                    self.warn(format!("{error}; this fix of `{package}` is not matched"));
                    continue;
                }
            };
            let modules = match &module {
                Some(module) => vec![module.clone()],
                None if is_modular(&fixed) => self.streams.clone(),
                None => Vec::new(),
            };
            for kind in kinds_of(os.packaging(), arch.as_deref(), range.is_some()) {
                let arch = arch.clone();
                let arch = arch.filter(|_| kind == PackageKind::Binary && os.packaging() == Packaging::Rpm);
                let (os, package, fixed) = (os.clone(), package.clone(), Some(fixed.clone()));
                let place = PlaceOfFix { os, package, kind, introduced: None, fixed, arch };
                if range.is_some() {
                    self.of_ranges.insert(place.clone());
                }
                builds.push(FixedBuild { place, version: version.clone(), modules: modules.clone() });
            }
        }
        builds
    }

    fn is_fit(&mut self, os: &OsRelease, package: &str, range: Option<&VersionRange>) -> bool {
        if !is_package_name(package) {
            self.warn(format!("{:?} is not a package name, it is not matched", shown(package)));
            return false;
        }
        let fits = range.is_none_or(|range| range.packaging == os.packaging());
        if !fits {
            self.warn(format!(
                "`{package}` of {os} has a range of another packaging system; it is not matched"
            ));
        }
        fits
    }

    /// Of several builds with the fix of one vulnerability the oldest counts: a vendor may name the first, all and the recommended
    /// ones. Builds of modules are of different streams unless both name theirs.
    fn add_fixed(&mut self, mut builds: Vec<FixedBuild>) {
        let group = |one: &FixedBuild| {
            let stands_alone =
                is_modular(one.place.fixed.as_deref().unwrap_or_default()) && one.modules.len() != 1;
            let key =
                (one.place.os.clone(), one.place.package.clone(), one.place.kind, one.place.arch.clone());
            (key, one.modules.clone(), stands_alone.then(|| one.place.fixed.clone()))
        };
        builds.sort_by(|a, b| a.version.partial_cmp(&b.version).unwrap_or(std::cmp::Ordering::Equal));
        let mut met = BTreeSet::new();
        for build in builds {
            if met.insert(group(&build)) {
                let streams = self.affected.entry(build.place).or_default();
                streams.extend(build.modules);
                streams.sort_unstable();
                streams.dedup();
            }
        }
    }

    fn add_affected(&mut self, component: Component, no_fix: NoFix) {
        let Component { os: Some(os), package: Some(package), range, arch, module, .. } = component else {
            return;
        };
        if !self.is_fit(&os, &package, range.as_ref()) {
            return;
        }
        let Some(range) = range else {
            // Without a fix: kept, but not matched, because nothing can be installed.
            let arch = arch.filter(|arch| arch != "src" && os.packaging() == Packaging::Rpm);
            let place =
                PlaceOfFix { os, package, kind: PackageKind::Source, introduced: None, fixed: None, arch };
            self.unfixed.entry(place.clone()).or_insert(no_fix);
            self.affected.entry(place).or_default();
            return;
        };
        for Interval { from, before } in range.intervals() {
            let is_version = |text: &String| Version::parse(os.packaging(), text).is_ok();
            if ![&from, &before].into_iter().flatten().all(is_version) {
                self.warn(format!(
                    "a range of `{package}` has something that is not a version; it is not matched"
                ));
                continue;
            }
            for kind in kinds_of(os.packaging(), arch.as_deref(), true) {
                let arch = arch.clone();
                let arch = arch.filter(|_| kind == PackageKind::Binary && os.packaging() == Packaging::Rpm);
                let (os, package) = (os.clone(), package.clone());
                let (introduced, fixed) = (from.clone(), before.clone());
                let place = PlaceOfFix { os, package, kind, introduced, fixed, arch };
                self.of_ranges.insert(place.clone());
                if place.fixed.is_none() {
                    self.unfixed.entry(place.clone()).or_insert(no_fix);
                }
                self.affected.entry(place).or_default().extend(module.clone());
            }
        }
    }

    fn add_not_affected(&mut self, component: Component, reason: Option<&str>) {
        let Component { os: Some(os), package: Some(package), version, range: None, .. } = component else {
            return;
        };
        if is_package_name(&package) && self.seen.insert((os.to_string(), package.clone(), version.clone())) {
            self.not_affected.push(NotAffected {
                os,
                package,
                version,
                reason: reason.filter(|reason| is_package_name(reason)).map(str::to_owned),
            });
        }
    }

    fn warn(&mut self, text: String) {
        if self.said.len() < MAX_WARNINGS {
            self.said.insert(text);
        }
    }

    pub(super) fn finish(self, warnings: &mut Vec<String>) -> (Vec<AffectedPackage>, Vec<NotAffected>) {
        warnings.extend(self.said);
        let builds: BTreeSet<_> = self
            .affected
            .keys()
            .filter(|place| place.kind == PackageKind::Binary)
            .map(|place| (place.os.clone(), place.fixed.clone()))
            .collect();
        // The source repeats its builds, and is needed if they are left out.
        let told = self.affected.into_iter().filter(|(place, _)| {
            place.kind == PackageKind::Binary
                || place.fixed.is_none()
                || self.of_ranges.contains(place)
                || !builds.contains(&(place.os.clone(), place.fixed.clone()))
        });
        let affected = told.map(|(place, modules)| {
            let no_fix = self.unfixed.get(&place).copied();
            let PlaceOfFix { os, package, kind: package_kind, introduced, fixed, arch } = place;
            AffectedPackage {
                os,
                package,
                package_kind,
                introduced,
                fixed,
                arch,
                modules,
                no_fix,
                last_affected: None,
            }
        });
        (affected.collect(), self.not_affected)
    }
}

/// Names without an architecture are also those of sources; a range may be of a source or of a package.
fn kinds_of(packaging: Packaging, arch: Option<&str>, is_range: bool) -> Vec<PackageKind> {
    match (packaging, arch) {
        (_, None) if is_range => vec![PackageKind::Source, PackageKind::Binary],
        (_, None) | (Packaging::Rpm, Some("src")) | (Packaging::Dpkg, Some("source")) => {
            vec![PackageKind::Source]
        }
        _ => vec![PackageKind::Binary],
    }
}
