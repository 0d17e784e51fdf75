//! The packages of a record: one entry per package and range of versions.

use std::collections::BTreeSet;

use domain::compliance::NoFix;

use crate::advisory::{AffectedPackage, PackageKind};
use crate::feed::text::is_package_name;
use crate::kernel_name::{is_of_one_kernel, series_of_image};
use crate::module_stream::{ModuleStream, is_modular};
use crate::os::{OsRelease, from_osv_ecosystem};
use crate::version::{Packaging, Version};

use super::record::{Affected, Binaries, EcosystemSpecific, Event, Range, lenient};

pub(super) struct AffectedReader {
    pub packages: Vec<AffectedPackage>,
    pub warnings: Vec<String>,
    /// Ubuntu's own rating, which is next to each package; the first one found.
    pub vendor_priority: Option<String>,
    /// Streams in the title; a modular fix is for one of them.
    streams: Vec<ModuleStream>,
    /// Each warning is recorded once per record, however many packages it concerns.
    said: BTreeSet<String>,
    /// Vendors repeat the binaries of a source under each of its packages.
    binaries_seen: BTreeSet<(OsRelease, String, String)>,
}

impl AffectedReader {
    pub(super) fn new(streams: Vec<ModuleStream>) -> Self {
        Self {
            packages: Vec::new(),
            warnings: Vec::new(),
            vendor_priority: None,
            streams,
            said: BTreeSet::new(),
            binaries_seen: BTreeSet::new(),
        }
    }

    pub(super) fn read(&mut self, entry: Affected) {
        let Some(package) = entry.package else {
            return self.warn("an entry without a package is not matched".to_owned());
        };
        let os = match from_osv_ecosystem(&package.ecosystem) {
            Ok(os) => os,
            Err(error) => return self.warn(error.to_string()),
        };
        if !is_package_name(&package.name) {
            let shown: String = package.name.chars().take(80).collect();
            return self.warn(format!("{shown:?} is not a package name, it is not matched"));
        }
        let binaries: Binaries = lenient(entry.ecosystem_specific.as_deref());
        let binaries = binaries.pairs();
        match os.distribution() {
            distribution if distribution.is_ubuntu() => {
                let specific: EcosystemSpecific = lenient(entry.ecosystem_specific.as_deref());
                // Live patches are modules of the running kernel, not versions of a package.
                if specific.availability.is_some_and(|text| text.starts_with("Livepatch")) {
                    return self.warn("kernel live patches are not matched".to_owned());
                }
                self.vendor_priority = self.vendor_priority.take().or(specific.ubuntu_priority);
            }
            distribution if distribution.is_suse() && !binaries.is_empty() => {
                return self.read_suse_binaries(&os, binaries);
            }
            _ => {}
        }
        let package_kind = match os.packaging() {
            Packaging::Dpkg => PackageKind::Source,
            Packaging::Rpm => PackageKind::Binary,
        };
        let before = self.packages.len();
        for range in entry.ranges.0 {
            self.read_range(&os, &package.name, package_kind, range);
        }
        // Without a fix they are the newest builds, which lack it, too.
        let has_fix = self.packages[before..].iter().any(|one| one.fixed.is_some());
        if os.distribution().is_ubuntu() && has_fix {
            self.read_ubuntu_binaries(&os, &package.name, binaries);
        }
    }

    /// For hosts whose inventory does not name the source of a package.
    fn read_ubuntu_binaries(&mut self, os: &OsRelease, source: &str, binaries: Vec<(String, String)>) {
        for (name, fixed) in binaries {
            let series = series_of_image(&name);
            // Each kernel has an image, and dozens of other packages.
            if series.is_none() && is_of_one_kernel(&name) {
                continue;
            }
            let name = series.unwrap_or(name);
            let key = (os.clone(), name, fixed);
            // A package without a known source counts as its own.
            if key.1 != source && is_package_name(&key.1) && !self.binaries_seen.contains(&key) {
                self.push(os, &key.1, PackageKind::Binary, None, Some(key.2.clone()));
                self.binaries_seen.insert(key);
            }
        }
    }

    fn read_suse_binaries(&mut self, os: &OsRelease, binaries: Vec<(String, String)>) {
        for (name, fixed) in binaries {
            let key = (os.clone(), name, fixed);
            if !self.binaries_seen.contains(&key) {
                let (_, name, fixed) = &key;
                if is_package_name(name) {
                    self.push(os, name, PackageKind::Binary, None, Some(fixed.clone()));
                }
                self.binaries_seen.insert(key);
            }
        }
    }

    /// Events come in order: each `fixed` ends the range of the `introduced` before it.
    fn read_range(&mut self, os: &OsRelease, package: &str, kind: PackageKind, range: Range) {
        if range.r#type != "ECOSYSTEM" {
            let shown: String = range.r#type.chars().take(40).collect();
            return self.warn(format!("ranges of type {shown:?} are not matched"));
        }
        let mut introduced = None;
        let mut open = false;
        for event in range.events.0 {
            match event {
                Event::Introduced(version) => {
                    introduced = (version != "0").then_some(version);
                    open = true;
                }
                Event::Fixed(version) => {
                    self.push(os, package, kind, introduced.take(), Some(version));
                    open = false;
                }
                // The vendor knows the end of the range, but offers nothing to install.
                Event::LastAffected(version) => {
                    self.push_until(os, package, kind, introduced.take(), version);
                    open = false;
                }
                Event::Limit(_) => {
                    self.push(os, package, kind, introduced.take(), None);
                    open = false;
                }
            }
        }
        if open {
            self.push(os, package, kind, introduced, None);
        }
    }

    /// A range whose last version is known, without a fix.
    fn push_until(
        &mut self,
        os: &OsRelease,
        package: &str,
        kind: PackageKind,
        introduced: Option<String>,
        last_affected: String,
    ) {
        if let Err(error) = Version::parse(os.packaging(), &last_affected) {
            return self.warn(format!("{error}; this range of `{package}` is not matched"));
        }
        let before = self.packages.len();
        self.push(os, package, kind, introduced, None);
        for added in &mut self.packages[before..] {
            added.last_affected = Some(last_affected.clone());
        }
    }

    fn push(
        &mut self,
        os: &OsRelease,
        package: &str,
        package_kind: PackageKind,
        introduced: Option<String>,
        fixed: Option<String>,
    ) {
        for version in [&introduced, &fixed].into_iter().flatten() {
            if let Err(error) = Version::parse(os.packaging(), version) {
                return self.warn(format!("{error}; this range of `{package}` is not matched"));
            }
        }
        let no_fix = fixed.is_none().then_some(NoFix::Open);
        let modular = fixed.as_deref().is_some_and(is_modular);
        self.packages.push(AffectedPackage {
            os: os.clone(),
            package: package.to_owned(),
            package_kind,
            introduced,
            fixed,
            arch: None,
            modules: if modular { self.streams.clone() } else { Vec::new() },
            no_fix,
            last_affected: None,
        });
    }

    fn warn(&mut self, text: String) {
        const MAX_WARNINGS: usize = 100;
        if self.said.len() < MAX_WARNINGS && self.said.insert(text.clone()) {
            self.warnings.push(text);
        }
    }
}
