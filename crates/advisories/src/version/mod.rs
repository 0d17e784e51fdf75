//! Version order of the two packaging systems.
//!
//! The order itself comes from the crates `rpm-version` and `debversion`; which part of a string is the epoch, the
//! version and the release, and which strings are not versions at all, is decided here, because that is where
//! implementations differ. The record of that decision is `docs/adr/0004-version-order.md`.

mod dpkg;
mod nevra;
mod rpm;

use std::cmp::Ordering;

pub use domain::package::{Packaging, UnknownPackaging};

pub use nevra::Nevra;

/// Longest accepted version, in bytes. Real ones stay below 100; the limit keeps hostile ones cheap to compare.
pub const MAX_VERSION_BYTES: usize = 1024;

/// A string that the packaging system would refuse as a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{version}` is not a {packaging} version: {reason}")]
pub struct InvalidVersion {
    pub packaging: Packaging,
    /// Shortened when the refused text is long.
    pub version: String,
    pub reason: &'static str,
}

impl InvalidVersion {
    fn new(packaging: Packaging, text: &str, reason: &'static str) -> Self {
        const SHOWN: usize = 80;
        let mut version: String = text.chars().take(SHOWN).collect();
        if version.len() < text.len() {
            version.push('…');
        }
        Self { packaging, version, reason }
    }
}

/// A version parsed once and compared many times. Versions of different packaging systems have no order.
#[derive(Clone, Debug)]
pub struct Version(Parsed);

#[derive(Clone, Debug)]
enum Parsed {
    Rpm(rpm::RpmVersion),
    Dpkg(debversion::Version),
}

impl Version {
    /// Parses `epoch:version-release` (rpm) or `epoch:upstream-revision` (dpkg); a missing epoch is 0.
    pub fn parse(packaging: Packaging, text: &str) -> Result<Self, InvalidVersion> {
        if text.len() > MAX_VERSION_BYTES {
            return Err(InvalidVersion::new(packaging, text, "it is longer than 1024 bytes"));
        }
        let parsed = match packaging {
            Packaging::Rpm => rpm::parse(text).map(Parsed::Rpm),
            Packaging::Dpkg => dpkg::parse(text).map(Parsed::Dpkg),
        };
        parsed.map(Self).map_err(|reason| InvalidVersion::new(packaging, text, reason))
    }

    pub fn packaging(&self) -> Packaging {
        match &self.0 {
            Parsed::Rpm(_) => Packaging::Rpm,
            Parsed::Dpkg(_) => Packaging::Dpkg,
        }
    }

    /// The version proper, without epoch and release.
    pub fn upstream(&self) -> &str {
        match &self.0 {
            Parsed::Rpm(version) => version.upstream(),
            Parsed::Dpkg(version) => &version.upstream_version,
        }
    }

    /// Release (rpm) or Debian revision (dpkg); empty if the string had none.
    pub fn release(&self) -> &str {
        match &self.0 {
            Parsed::Rpm(version) => version.release(),
            Parsed::Dpkg(version) => version.debian_revision.as_deref().unwrap_or(""),
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (&self.0, &other.0) {
            (Parsed::Rpm(a), Parsed::Rpm(b)) => Some(a.cmp(b)),
            (Parsed::Dpkg(a), Parsed::Dpkg(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

/// Compares two version strings as the packaging system itself would.
pub fn compare(packaging: Packaging, a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    let a = Version::parse(packaging, a)?;
    let b = Version::parse(packaging, b)?;
    // Both were parsed for the same packaging system, so they always have an order.
    Ok(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests;
