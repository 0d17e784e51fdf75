//! The packages of a record: one entry per package and range of versions.

use std::collections::BTreeSet;

use domain::compliance::NoFix;

use crate::advisory::{AffectedPackage, PackageKind};
use crate::feed::text::is_package_name;
use crate::module_stream::{ModuleStream, is_modular};
use crate::os::{Distribution, OsRelease, from_osv_ecosystem};
use crate::version::{Packaging, Version};

use super::record::{Affected, EcosystemSpecific, Event, Range, SuseSpecific, lenient};

pub(super) struct AffectedReader {
    pub packages: Vec<AffectedPackage>,
    pub warnings: Vec<String>,
    /// Ubuntu's own rating, which is next to each package; the first one found.
    pub vendor_priority: Option<String>,
    /// Streams in the title; a modular fix is for one of them.
    streams: Vec<ModuleStream>,
    /// Each warning is recorded once per record, however many packages it concerns.
    said: BTreeSet<String>,
    /// SUSE repeats the binaries of a source under each of its packages.
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
        match os.distribution() {
            Distribution::Ubuntu | Distribution::UbuntuPro => {
                let specific: EcosystemSpecific = lenient(entry.ecosystem_specific.as_deref());
                // Live patches are modules of the running kernel, not versions of a package.
                if specific.availability.is_some_and(|text| text.starts_with("Livepatch")) {
                    return self.warn("kernel live patches are not matched".to_owned());
                }
                self.vendor_priority = self.vendor_priority.take().or(specific.ubuntu_priority);
            }
            Distribution::Sles
            | Distribution::SlesLtss
            | Distribution::OpenSuseLeap
            | Distribution::OpenSuseTumbleweed => {
                let specific: SuseSpecific = lenient(entry.ecosystem_specific.as_deref());
                if !specific.binaries.is_empty() {
                    return self.read_suse_binaries(&os, specific);
                }
            }
            _ => {}
        }
        let package_kind = match os.packaging() {
            Packaging::Dpkg => PackageKind::Source,
            Packaging::Rpm => PackageKind::Binary,
        };
        for range in entry.ranges.0 {
            self.read_range(&os, &package.name, package_kind, range);
        }
    }

    fn read_suse_binaries(&mut self, os: &OsRelease, specific: SuseSpecific) {
        for (name, fixed) in specific.binaries.into_iter().flatten() {
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
                Event::LastAffected(_) | Event::Limit(_) => {
                    self.push(os, package, kind, introduced.take(), None);
                    open = false;
                }
            }
        }
        if open {
            self.push(os, package, kind, introduced, None);
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
        });
    }

    fn warn(&mut self, text: String) {
        const MAX_WARNINGS: usize = 100;
        if self.said.len() < MAX_WARNINGS && self.said.insert(text.clone()) {
            self.warnings.push(text);
        }
    }
}
