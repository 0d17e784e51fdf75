//! What the package manager of a host would do for exactly the planned packages, and which packages are left out for it.

mod selection;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use selection::{Answer, MOST_QUESTIONS, Next, Outcome, Selection, groups, next};

/// The whole transaction of a host, as its package manager resolves it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Transaction {
    /// Installed packages that get another version, the planned ones included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<VersionChange>,
    /// Packages that are new on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installs: Vec<NewPackage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
    /// Size of the package files. Those that the host has in its cache already count as well. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_bytes: Option<u64>,
    /// Disk space that it needs at most: the package files, and what the host grows by. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// The state of its repositories, by their names on the host: the date of an apt archive, the revision of an rpm
    /// repository. Only for a policy that pins content. A repository without one is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VersionChange {
    pub package: String,
    pub from: String,
    pub to: String,
    /// Where the new version comes from: apt's `Debian-Security:12/stable-security`, or the id of a dnf repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewPackage {
    pub package: String,
    pub version: String,
    /// As in an update.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Removal {
    pub package: String,
    pub version: String,
    /// The package that its vendor declares as its successor, and that the transaction installs. Only rpm knows this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// What is known about the transaction of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Foreseen {
    /// Nobody asked its package manager.
    #[default]
    NotAsked,
    /// A model installs exactly its updates. It has no package manager that could do more.
    Model,
    Resolved(Transaction),
    /// The policy's own command installs what it does. No package manager was asked.
    OwnCommand,
    /// Its package manager cannot be asked what it would do.
    Unknown {
        reason: String,
    },
}

impl Foreseen {
    pub fn is_not_asked(&self) -> bool {
        *self == Self::NotAsked
    }

    pub fn resolved(&self) -> Option<&Transaction> {
        match self {
            Self::Resolved(transaction) => Some(transaction),
            Self::NotAsked | Self::Model | Self::OwnCommand | Self::Unknown { .. } => None,
        }
    }

    /// The packages that the host may lose.
    pub fn removed_names(&self) -> BTreeSet<&str> {
        let removals = self.resolved().into_iter().flat_map(|transaction| &transaction.removals);
        removals.map(|removal| removal.package.as_str()).collect()
    }

    /// Why it is not known what a real host installs and removes along with its updates; `None` if that is known.
    pub fn why_unknown(&self) -> Option<String> {
        match self {
            Self::NotAsked => Some("nobody asked its package manager".to_owned()),
            Self::OwnCommand => Some(
                "the transaction is not known in advance, because the policy's own command makes it"
                    .to_owned(),
            ),
            Self::Unknown { reason } => Some(reason.clone()),
            Self::Model | Self::Resolved(_) => None,
        }
    }
}

impl Transaction {
    /// In one order, each change once: a package of two architectures has two equal ones.
    pub fn in_order(mut self) -> Self {
        self.updates.sort();
        self.updates.dedup();
        self.installs.sort();
        self.installs.dedup();
        self.removals.sort();
        self.removals.dedup();
        self
    }

    /// Every package that gets a version, with the version and where it comes from.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str, &[String])> {
        let updates = self.updates.iter().map(|one| (one.package.as_str(), one.to.as_str(), &*one.origins));
        let installs =
            self.installs.iter().map(|one| (one.package.as_str(), one.version.as_str(), &*one.origins));
        updates.chain(installs)
    }
}

/// Whether two versions come from one origin. The number of a point release does not count: `Debian:12.5/stable` and
/// `Debian:12.6/stable` are the same. An unknown origin is the same as no other.
pub fn is_same_origin(one: &[String], other: &[String]) -> bool {
    let plain =
        |origins: &[String]| -> BTreeSet<String> { origins.iter().map(|one| without_release(one)).collect() };
    !plain(one).is_disjoint(&plain(other))
}

fn without_release(origin: &str) -> String {
    match origin.split_once('/') {
        Some((vendor, suite)) => format!("{}/{suite}", vendor.split(':').next().unwrap_or(vendor)),
        None => origin.to_owned(),
    }
}

/// A number of bytes for people: `12.3 MB`.
pub fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests;
