//! Operating system releases, as hosts and feeds name them.

mod distribution;
mod ecosystem;
mod nearest;
mod product;
mod spelling;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::version::Packaging;

use distribution::ROLLING;

pub use distribution::Distribution;
pub use ecosystem::{UnknownEcosystem, from_osv_ecosystem};
pub use nearest::nearest_releases;
pub use product::{from_cpe, from_product_name, release_of_build, version_of_rpm_release};

/// A release for which a vendor publishes fixes: `almalinux:9`, `debian:12`, `ubuntu:22.04`, `sles:15.3`.
///
/// An advisory applies to a host if both name the same release; a rebuild's advisory never applies to the
/// original or to another rebuild, whose fixes have other versions and dates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OsRelease {
    distribution: Distribution,
    version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a known operating system release; {hint}", hint = nearest::hint(.0))]
pub struct UnknownOsRelease(pub String);

/// The canonical spelling of a release; the text in lower case if it is not a known release.
pub fn os_key(tag: &str) -> String {
    tag.parse::<OsRelease>().map_or_else(|_| tag.trim().to_lowercase(), |os| os.to_string())
}

impl OsRelease {
    /// `version` may be more specific than the vendor's advisories: `9.4` of a RHEL relative becomes `9`.
    pub fn new(distribution: Distribution, version: &str) -> Result<Self, UnknownOsRelease> {
        let refused =
            || UnknownOsRelease(format!("{distribution}:{}", version.chars().take(40).collect::<String>()));
        let version = version.trim();
        if version == ROLLING {
            return Ok(Self { distribution, version: version.to_owned() });
        }
        let well_formed = (1..=16).contains(&version.len())
            && version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        if !well_formed {
            return Err(refused());
        }
        let distribution = distribution.of_version(version);
        Ok(Self { distribution, version: distribution.advisory_version(version) })
    }

    pub fn distribution(&self) -> Distribution {
        self.distribution
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn packaging(&self) -> Packaging {
        self.distribution.packaging()
    }

    /// The release whose hosts subscribe to this channel: `ubuntu:20.04` of `ubuntu-pro:20.04`, `rhel:9` of `rhel-eus:9.2`.
    /// `None` if it is not a channel.
    pub fn base(&self) -> Option<Self> {
        Self::new(self.distribution.base()?, &self.version).ok()
    }

    /// Whether this channel has the fixes of `other` after its support has ended.
    pub fn extends(&self, other: &Self) -> bool {
        self.distribution.extends_support() && self.base().as_ref() == Some(other)
    }

    /// The channels that [extend](Self::extends) this release.
    pub fn extensions(&self) -> Vec<Self> {
        let channels = Distribution::all().filter(|one| one.extends_support());
        let channels = channels.filter(|one| one.base() == Some(self.distribution));
        channels.filter_map(|one| Self::new(one, &self.version).ok()).collect()
    }

    /// The repositories that serve the hosts of this release and of others: EPEL, SUSE Package Hub. A host that has one of their
    /// packages has the repository.
    pub fn shared_repositories(&self) -> Vec<Self> {
        let own = self.distribution.base().unwrap_or(self.distribution);
        let repositories = Distribution::all().filter(|one| one.served().contains(&own));
        repositories.filter_map(|one| Self::new(one, &self.version).ok()).collect()
    }

    /// The releases of which hosts can lack a notice for this one.
    pub fn releases_of_hosts(&self) -> Vec<Self> {
        let served = self.distribution.served().iter();
        let served = served.filter_map(|one| Self::new(*one, &self.version).ok());
        std::iter::once(self.clone()).chain(self.base()).chain(served).collect()
    }
}

impl fmt::Display for OsRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distribution, self.version)
    }
}

/// Accepts every usual spelling: `almalinux:9`, `rhel9`, `ubuntu-22-04`, `Rocky Linux 9.4 (Blue Onyx)`, `bookworm`, CPEs.
impl FromStr for OsRelease {
    type Err = UnknownOsRelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        spelling::parse(text).ok_or_else(|| UnknownOsRelease(text.chars().take(80).collect()))
    }
}

domain::string_conversions!(OsRelease);

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<OsRelease>().unwrap().to_string()
    }

    #[test]
    fn names_and_short_tags_are_equivalent() {
        for (text, expected) in [
            ("almalinux:9", "almalinux:9"),
            ("alma9", "almalinux:9"),
            ("AlmaLinux:9.4", "almalinux:9"),
            ("rhel9", "rhel:9"),
            ("redhat:8.10", "rhel:8"),
            ("rocky9", "rocky:9"),
            ("debian12", "debian:12"),
            ("debian:9.0", "debian:9"),
            ("ubuntu2204", "ubuntu:22.04"),
            ("ubuntu22.04", "ubuntu:22.04"),
            ("ubuntu:14.04", "ubuntu:14.04"),
            ("sles15sp3", "sles:15.3"),
            ("suse.linux.enterprise.server:15.3", "sles:15.3"),
            ("centos:7.7.1908", "centos:7"),
            ("ol8", "oracle:8"),
            ("rhel-eus:9.2", "rhel-eus:9.2"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn unknown_text_keeps_its_meaning_as_a_key() {
        for (text, key) in [
            ("Rocky Linux 9", "rocky:9"),
            (" Windows Server 2022 ", "windows server 2022"),
            ("22.04", "22.04"),
        ] {
            assert_eq!(os_key(text), key);
        }
    }
}
