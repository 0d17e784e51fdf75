//! An advisory, whatever feed it came from.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cvss::CvssVector;
use crate::module_stream::ModuleStream;
use crate::os::OsRelease;
use crate::severity::Severity;

/// A vendor's notice that packages were fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advisory {
    /// The vendor's own id: `ALSA-2026:8096`, `USN-7095-1`.
    pub id: String,
    /// Who published it: `almalinux`, `debian`, `redhat`, ...
    pub source: String,
    pub kind: AdvisoryKind,
    /// Sorted, each once.
    pub cves: Vec<String>,
    /// Other ids of the same notice.
    pub aliases: Vec<String>,
    /// Ids of other notices that have to do with it; CVEs among them are in `cves`.
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
    /// One of its CVEs is known to be exploited. Feeds of advisories never say so; it is filled from KEV.
    pub exploited: bool,
    pub references: Vec<Reference>,
    pub affected: Vec<AffectedPackage>,
}

impl Advisory {
    /// Withdrawn and superseded advisories stay known, but ask for nothing.
    pub fn is_in_force(&self) -> bool {
        self.withdrawn.is_none() && self.superseded_by.is_none()
    }

    /// Fills [`Advisory::exploited`] from the CVEs that are known to be exploited.
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
    /// `None` when the feed does not tell architectures apart.
    pub arch: Option<String>,
    /// The module streams that the fix is for, any of them. Empty when it is not modular, and when it is but the
    /// feed does not name the stream.
    pub modules: Vec<ModuleStream>,
}

/// What the package's name is the name of: Debian and Ubuntu fix sources, RPM vendors name what is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageKind {
    Source,
    Binary,
}
