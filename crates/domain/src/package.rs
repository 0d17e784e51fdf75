//! Packages, as far as plans and drivers need them. Version order lives in the `advisories` crate.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The package system of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Packaging {
    Rpm,
    Dpkg,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a packaging system; use `rpm` or `dpkg`")]
pub struct UnknownPackaging(pub String);

impl Packaging {
    pub fn name(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Dpkg => "dpkg",
        }
    }

    /// The package system of an OS tag such as `rhel9`, `rocky9`, `debian12`, `ubuntu2204`; `None` for any other.
    pub fn of_os(os: &str) -> Option<Self> {
        let family: String = os.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
        match family.to_ascii_lowercase().as_str() {
            "rhel" | "redhat" | "rocky" | "rockylinux" | "alma" | "almalinux" | "centos" | "oracle"
            | "oraclelinux" | "ol" | "amazon" | "amazonlinux" | "amzn" | "fedora" | "sle" | "sles"
            | "sled" | "suse" | "opensuse" | "leap" | "tumbleweed" => Some(Self::Rpm),
            "debian" | "ubuntu" => Some(Self::Dpkg),
            _ => None,
        }
    }
}

impl fmt::Display for Packaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Packaging {
    type Err = UnknownPackaging;

    fn from_str(text: &str) -> Result<Self, UnknownPackaging> {
        match text {
            "rpm" => Ok(Self::Rpm),
            "dpkg" | "deb" => Ok(Self::Dpkg),
            _ => Err(UnknownPackaging(text.to_owned())),
        }
    }
}

/// One package to update from one version to another on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PackageUpdate {
    pub package: String,
    /// Version at the time of planning, as the package manager writes it (`[epoch:]version-release`).
    pub from: String,
    /// Version to install.
    pub to: String,
    /// The advisories that this update satisfies, ordered by id.
    pub advisories: Vec<String>,
    /// The CVEs of those advisories, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
}

/// What the package manager of a host said when it was asked what its repositories offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RepositoryAnswer {
    /// Nobody asked it, as with most pushed inventories: what it offers is unknown.
    #[default]
    NotAsked,
    /// It answered: a package without a candidate has no update on offer.
    Asked,
    /// It could not answer, with its own first words: it cannot resolve its dependencies, or read its lists.
    Failed { reason: String },
}

impl RepositoryAnswer {
    pub fn is_not_asked(&self) -> bool {
        *self == Self::NotAsked
    }

    /// Why nothing can be installed on the host.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Failed { reason } => Some(format!("its package system cannot resolve: {reason}")),
            Self::NotAsked | Self::Asked => None,
        }
    }
}

/// Why the versions of a host's updates are not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Unverified {
    /// Its packages were pushed, and nobody asked its repositories what they offer.
    NotAsked,
}

impl Unverified {
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NotAsked => {
                "its packages were pushed, and nobody asked its repositories for these versions"
            }
        }
    }
}

/// A missing update that the plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OmittedUpdate {
    pub package: String,
    pub cause: OmitCause,
    /// The planned package that brings the fix instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_by: Option<String>,
    /// The packages that would be removed with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removes: Vec<String>,
    /// The first words of the package manager that refuses it, or the rule of the baseline that leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl OmittedUpdate {
    pub fn new(package: impl Into<String>, cause: OmitCause) -> Self {
        Self { package: package.into(), cause, brought_by: None, removes: Vec::new(), reason: None }
    }

    /// A version that came after the pinned one.
    pub fn newer_than_tested(package: &str, version: &str) -> Self {
        Self { reason: Some(version.to_owned()), ..Self::new(package, OmitCause::NewerThanTested) }
    }

    /// The cause in words, with what it names.
    pub fn explanation(&self) -> String {
        let mut text = self.cause.explanation().to_owned();
        if !self.removes.is_empty() {
            text = format!("would remove {}, which the policy does not allow", self.removes.join(", "));
        }
        if let Some(reason) = &self.reason {
            text = format!("{text}: {reason}");
        }
        if let Some(package) = &self.brought_by {
            text = format!("{text}; `{package}` brings it");
        }
        text
    }

    /// Whether a fix that was selected stays missing. An excepted one was not selected, and neither was one that came later or does
    /// not belong to the baseline.
    pub fn stays_missing(&self) -> bool {
        let not_selected = [OmitCause::Excepted, OmitCause::NewerThanTested, OmitCause::NotInBaseline];
        !not_selected.contains(&self.cause) && self.brought_by.is_none()
    }
}

/// Why a plan leaves out a missing update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum OmitCause {
    /// The package is held back on the host.
    Held,
    /// An exception covers it.
    Excepted,
    /// The repositories of the host were asked and do not offer the fixed version.
    NotOffered,
    /// Nobody asked the repositories of the host, and the notice does not name a version of this package.
    NotAsked,
    /// The version is part of the package's name, so the fix comes as a package with another name.
    NewName,
    /// Its installation would remove other packages, which the policy does not allow.
    WouldRemove,
    /// The package manager of the host refuses to install it.
    Refused,
    /// Too many packages of the host cannot be installed, and this one was not asked about.
    NotResolved,
    /// The policy pins production to what its pilots have tested, and none of them has tested it.
    NotTested,
    /// The policy pins production, and its repositories offer a newer version than the pinned one.
    NewerThanTested,
    /// It can only be installed together with other packages that the baseline denies.
    NeedsDenied,
    /// A rule of the baseline leaves out some of its fixes; `reason` says which.
    NotInBaseline,
}

impl OmitCause {
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Held => "held back on the host",
            Self::Excepted => "excepted",
            Self::NotOffered => "its fix is not offered by the repositories of the host",
            Self::NotAsked => "its fixed version is unknown: nobody asked the repositories of the host",
            Self::NewName => "its fix comes under another name, as a new package",
            Self::WouldRemove => "would remove other packages, which the policy does not allow",
            Self::Refused => "refused by the package manager of the host",
            Self::NotResolved => "not decided: too many packages of the host cannot be installed",
            Self::NotTested => "not tested by a pilot",
            Self::NeedsDenied => "can only be installed together with packages that the baseline denies",
            Self::NotInBaseline => "not in the baseline",
            Self::NewerThanTested => {
                "not tested by a pilot, because it is newer than the pinned version; it waits for a run of its own"
            }
        }
    }
}
