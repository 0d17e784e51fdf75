//! The installed packages of a host, as its package manager reports them.

mod channels;
mod format;
mod listed;
mod sbom;
mod sbom_xml;
mod sources;
mod spdx;
mod tsv;

use domain::package::RepositoryAnswer;
use serde::{Deserialize, Serialize};

use crate::feed::RecordError;
use crate::module_stream::ModuleStream;
use crate::os::OsRelease;
use crate::version::Packaging;

pub use channels::UnknownChannel;
pub use format::{InventoryFormat, read_inventory};
pub use sources::missing_sources;
pub use tsv::read_tsv;

/// Most packages of one host; real ones have a few thousand.
const MAX_PACKAGES: usize = 100_000;

/// The content of an inventory, and its refused lines or parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadInventory {
    /// The release that the inventory names, or for which it was read.
    pub os: Option<OsRelease>,
    pub packages: Vec<InstalledPackage>,
    pub refused: Vec<RecordError>,
}

/// One host: its packages and what decides which advisories apply to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub facts: HostFacts,
    pub packages: Vec<InstalledPackage>,
    /// What the host has and could not be read. It is part of what is known of the host: nobody can say what is missing there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadPackage>,
}

/// A line or a part of an inventory that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnreadPackage {
    /// Its line or component, or the package's name.
    pub place: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    pub os: OsRelease,
    /// Paid channels the host is subscribed to, such as `ubuntu-pro:22.04` or `rhel-eus:9.2`.
    #[serde(default)]
    pub channels: Vec<OsRelease>,
    /// As `uname -r` prints it.
    #[serde(default)]
    pub running_kernel: Option<String>,
    /// As `dnf module list --enabled` prints them. Optional: the labels of installed packages contain most of it.
    #[serde(default)]
    pub enabled_modules: Vec<ModuleStream>,
    /// Whether the candidates below are all that its repositories offer.
    #[serde(default, skip_serializing_if = "RepositoryAnswer::is_not_asked")]
    pub repositories: RepositoryAnswer,
    /// What its repositories offer from security suites, whether a notice is known or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_offers: Vec<SecurityOffer>,
}

/// An update on offer from a suite that has only security updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityOffer {
    pub package: String,
    pub installed: String,
    pub candidate: String,
    /// As apt names it: `Debian-Security:12/stable-security`.
    pub origin: String,
}

impl SecurityOffer {
    /// Whether one of the suites in apt's list of origins has only security updates, such as `Debian-Security:12/stable-security` or
    /// `Ubuntu:22.04/jammy-security`.
    pub fn is_security_origin(origin: &str) -> bool {
        origin.split(',').any(|one| {
            let (label, suite) = one.trim().split_once('/').unwrap_or((one.trim(), ""));
            suite.ends_with("-security")
                || label.split(':').next().is_some_and(|label| label.ends_with("-Security"))
        })
    }
}

impl HostFacts {
    /// A host whose release is named by its channel (`ubuntu-pro:20.04`) has the base release and the channel.
    pub fn new(os: OsRelease) -> Self {
        let (os, channels) = match os.base() {
            Some(base) => (base, vec![os]),
            None => (os, Vec::new()),
        };
        Self {
            os,
            channels,
            running_kernel: None,
            enabled_modules: Vec::new(),
            repositories: RepositoryAnswer::NotAsked,
            security_offers: Vec::new(),
        }
    }

    pub fn packaging(&self) -> Packaging {
        self.os.packaging()
    }

    /// The releases whose advisories apply to the host: its own, and those of its paid channels.
    pub fn releases(&self) -> impl Iterator<Item = &OsRelease> {
        std::iter::once(&self.os).chain(&self.channels)
    }

    /// The releases whose advisories can match: those of [`Self::releases`], and of repositories that serve hosts of several
    /// releases. What is known of such a repository says nothing about the rest of the host.
    pub fn matched_releases(&self) -> Vec<OsRelease> {
        self.releases().cloned().chain(self.os.shared_repositories()).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPackage {
    pub name: String,
    /// Whole version in the package manager's own form: `1:1.36.0-4.el9_0`.
    pub version: String,
    #[serde(default)]
    pub arch: Option<String>,
    /// The source package it was built from; `None` if it has the same name.
    #[serde(default)]
    pub source_name: Option<String>,
    /// The source's version; `None` when it is the same.
    #[serde(default)]
    pub source_version: Option<String>,
    /// The module stream of its label, for packages of RPM modules.
    #[serde(default)]
    pub module: Option<ModuleStream>,
    /// The operator holds the package at this version.
    #[serde(default)]
    pub held: bool,
    /// The version that the host's repositories offer now, if it was queried.
    #[serde(default)]
    pub candidate: Option<String>,
    /// Newer versions than the installed one that the repositories offer, in their order, if they were listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<String>,
    /// The vendor that the package names, as `rpm -q --qf '%{VENDOR}'` prints it; `None` if it was not queried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
}

impl InstalledPackage {
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            arch: None,
            source_name: None,
            source_version: None,
            module: None,
            held: false,
            candidate: None,
            offered: Vec::new(),
            vendor: None,
        }
    }

    /// Whether it is of another vendor than its distribution, whose advisories say nothing about it; `None` if it does not name
    /// its vendor.
    pub fn is_third_party(&self, os: &OsRelease) -> Option<bool> {
        self.vendor.as_deref().map(|vendor| !os.distribution().is_vendor(vendor))
    }

    pub fn source_name(&self) -> &str {
        self.source_name.as_deref().unwrap_or(&self.name)
    }

    /// Its name, and its source as far as it is named.
    pub fn name_and_source(&self) -> (&str, Option<&str>) {
        (&self.name, self.source_name.as_deref())
    }

    pub fn source_version(&self) -> &str {
        self.source_version.as_deref().unwrap_or(&self.version)
    }
}
