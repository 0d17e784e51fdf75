//! An advisory, independent of its feed.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use domain::compliance::NoFix;

use crate::cvss::CvssVector;
use crate::module_stream::ModuleStream;
use crate::os::OsRelease;
use crate::severity::Severity;
use crate::version::{Packaging, compare};

/// A vendor's notice that packages were fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advisory {
    /// The vendor's own id: `ALSA-2026:8096`, `USN-7095-1`.
    pub id: String,
    /// Its publisher: `almalinux`, `debian`, `redhat`, ...
    pub source: String,
    pub kind: AdvisoryKind,
    /// Sorted, each once.
    pub cves: Vec<String>,
    /// Other ids of the same notice.
    pub aliases: Vec<String>,
    /// Ids of related notices; their CVEs are in `cves`.
    pub related: Vec<String>,
    pub summary: String,
    pub details: String,
    pub severity: Severity,
    pub cvss: Vec<CvssVector>,
    pub published: DateTime<Utc>,
    pub modified: DateTime<Utc>,
    pub withdrawn: Option<DateTime<Utc>>,
    /// The id of the advisory that replaces it.
    pub superseded_by: Option<String>,
    /// One of its CVEs is known to be exploited. Advisory feeds do not contain this; it is filled from KEV.
    pub exploited: bool,
    pub references: Vec<Reference>,
    pub affected: Vec<AffectedPackage>,
    /// Packages that the vendor declares not affected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_affected: Vec<NotAffected>,
    /// The feed splits its notices by repository or source package: this part names only some of the packages and is
    /// merged with the others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_part: bool,
    /// The feed contains no times; these are when it was read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_undated: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Advisory {
    /// An advisory of which only the id and the publication time are known.
    pub fn new(id: String, published: DateTime<Utc>) -> Self {
        Self {
            id,
            source: String::new(),
            kind: AdvisoryKind::Security,
            cves: Vec::new(),
            aliases: Vec::new(),
            related: Vec::new(),
            summary: String::new(),
            details: String::new(),
            severity: Severity::Unknown,
            cvss: Vec::new(),
            published,
            modified: published,
            withdrawn: None,
            superseded_by: None,
            exploited: false,
            references: Vec::new(),
            affected: Vec::new(),
            not_affected: Vec::new(),
            is_part: false,
            is_undated: false,
        }
    }

    /// Merges another part of the same notice; see [`Advisory::is_part`]. If both name a package, the part modified last
    /// counts; of two modified at the same time, `other`. The times are those of the part that has some.
    pub fn absorb(&mut self, other: Self) {
        let (mut newer, older) =
            if self.modified > other.modified { (self.clone(), other) } else { (other, self.clone()) };
        let places: BTreeSet<_> = newer.affected.iter().map(AffectedPackage::place).collect();
        let kept: Vec<AffectedPackage> =
            older.affected.iter().filter(|package| !places.contains(&package.place())).cloned().collect();
        newer.affected.extend(kept);
        newer.affected.sort_by(|a, b| (a.place(), &a.fixed).cmp(&(b.place(), &b.fixed)));
        let cves: BTreeSet<String> = newer.cves.drain(..).chain(older.cves).collect();
        newer.cves = cves.into_iter().collect();
        if newer.is_undated == older.is_undated {
            newer.published = newer.published.min(older.published);
        } else {
            let dated = if newer.is_undated {
                (older.published, older.modified)
            } else {
                (newer.published, newer.modified)
            };
            (newer.published, newer.modified) = dated;
            newer.is_undated = false;
        }
        newer.severity = newer.severity.max(older.severity);
        for package in older.not_affected {
            if !newer.not_affected.contains(&package) {
                newer.not_affected.push(package);
            }
        }
        for reference in older.references {
            if !newer.references.contains(&reference) {
                newer.references.push(reference);
            }
        }
        if newer.summary.is_empty() {
            newer.summary = older.summary;
        }
        if newer.details.is_empty() {
            newer.details = older.details;
        }
        *self = newer;
    }

    /// Withdrawn and superseded advisories are kept but require nothing.
    pub fn is_in_force(&self) -> bool {
        self.withdrawn.is_none() && self.superseded_by.is_none()
    }

    /// Sets [`Advisory::exploited`] from the known exploited CVEs.
    pub fn mark_exploited(&mut self, known: &BTreeSet<String>) {
        self.exploited = self.cves.iter().any(|cve| known.contains(cve));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvisoryKind {
    Security,
    Bugfix,
    Enhancement,
}

impl AdvisoryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Bugfix => "bugfix",
            Self::Enhancement => "enhancement",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// `advisory`, `report`, `web`, ...
    pub kind: String,
    pub url: String,
}

/// One package of one release, and the range of versions that lacks the fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AffectedPackage {
    pub os: OsRelease,
    pub package: String,
    pub package_kind: PackageKind,
    /// First affected version; `None` means from the beginning.
    pub introduced: Option<String>,
    /// First version that has the fix; `None` while there is no fix.
    pub fixed: Option<String>,
    /// `None` if the feed does not distinguish architectures.
    pub arch: Option<String>,
    /// The module streams that the fix is for, any of them. Empty if it is not modular, or if the feed does not name the
    /// stream.
    pub modules: Vec<ModuleStream>,
    /// What the vendor says instead of a fix; `None` if there is a fix, or in a record that was stored without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_fix: Option<NoFix>,
    /// The last affected version, where the vendor names it instead of a fix: later ones are not affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_affected: Option<String>,
}

/// The versions that lack a fix, of a package that has none yet.
#[derive(Clone, Copy, Debug)]
pub struct AffectedRange<'a> {
    pub introduced: Option<&'a str>,
    pub last_affected: Option<&'a str>,
}

impl AffectedRange<'_> {
    /// Whether an installed version is in the range. A version that cannot be compared counts as affected.
    pub fn includes(&self, packaging: Packaging, installed: &str) -> bool {
        let order = |other: &str| compare(packaging, installed, other);
        let is_reached = self.introduced.is_none_or(|first| order(first).map_or(true, Ordering::is_ge));
        let is_passed = self.last_affected.is_some_and(|last| order(last).is_ok_and(Ordering::is_gt));
        is_reached && !is_passed
    }
}

impl AffectedPackage {
    fn place(&self) -> (&OsRelease, &str, PackageKind, Option<&str>) {
        (&self.os, &self.package, self.package_kind, self.arch.as_deref())
    }
}

/// A package that the vendor checked and found not affected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotAffected {
    pub os: OsRelease,
    pub package: String,
    /// The checked build; `None` for all builds.
    pub version: Option<String>,
    /// The vendor's reason, such as `vulnerable_code_not_present`.
    pub reason: Option<String>,
}

/// Whether a package name is that of a source or a binary: Debian and Ubuntu name sources, RPM vendors name installed
/// packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageKind {
    Source,
    Binary,
}
