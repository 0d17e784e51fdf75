//! Operating system releases, as hosts and feeds name them.

mod distribution;
mod ecosystem;
mod product;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::version::Packaging;

pub use distribution::Distribution;
pub use ecosystem::{UnknownEcosystem, from_osv_ecosystem};
pub use product::{from_cpe, from_product_name, version_of_rpm_release};

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
#[error("`{0}` is not a known operating system release; write it as `almalinux:9`, `debian:12` or `rhel9`")]
pub struct UnknownOsRelease(pub String);

/// One spelling for `rocky9` and `rocky:9`; a tag that is not a known release is kept.
pub fn os_key(tag: &str) -> String {
    tag.parse::<OsRelease>().map_or_else(|_| tag.trim().to_lowercase(), |os| os.to_string())
}

impl OsRelease {
    /// `version` may be more specific than the vendor's advisories: `9.4` of a RHEL relative becomes `9`.
    pub fn new(distribution: Distribution, version: &str) -> Result<Self, UnknownOsRelease> {
        let refused =
            || UnknownOsRelease(format!("{distribution}:{}", version.chars().take(40).collect::<String>()));
        let version = version.trim();
        if version == "rolling" {
            return Ok(Self { distribution, version: version.to_owned() });
        }
        let well_formed = (1..=16).contains(&version.len())
            && version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        if !well_formed {
            return Err(refused());
        }
        Ok(Self { distribution, version: distribution.advisory_version(version).to_owned() })
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
}

impl fmt::Display for OsRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distribution, self.version)
    }
}

/// Accepts `almalinux:9` and the short tags `alma9`, `rhel9`, `ubuntu2204`, `sles15sp3`, in any case.
impl FromStr for OsRelease {
    type Err = UnknownOsRelease;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || UnknownOsRelease(text.chars().take(80).collect());
        let lower = text.trim().to_ascii_lowercase();
        if let Some((name, version)) = lower.split_once(':') {
            let distribution = Distribution::from_name(name).ok_or_else(refused)?;
            return Self::new(distribution, &dotted(distribution, version)).map_err(|_| refused());
        }
        let digits = lower.find(|c: char| c.is_ascii_digit()).ok_or_else(refused)?;
        let (name, version) = lower.split_at(digits);
        let distribution =
            Distribution::from_name(name.trim_end_matches(['-', '_', ' '])).ok_or_else(refused)?;
        Self::new(distribution, &dotted(distribution, version)).map_err(|_| refused())
    }
}

/// `2204` and `15sp3` in the spelling of the vendor: `22.04`, `15.3`.
fn dotted(distribution: Distribution, version: &str) -> String {
    let version = version.trim();
    match distribution {
        Distribution::Ubuntu | Distribution::UbuntuPro
            if version.len() == 4 && version.bytes().all(|b| b.is_ascii_digit()) =>
        {
            format!("{}.{}", &version[..2], &version[2..])
        }
        _ if distribution.has_service_packs() => {
            version.replace("-sp", ".").replace(" sp", ".").replace("sp", ".")
        }
        _ => version.to_owned(),
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
    fn text_that_is_not_a_release_is_refused() {
        for text in [
            "",
            "rhel",
            "rhel:",
            "windows:11",
            "debian:sid",
            "debian:12..1",
            "debian:\0",
            "9",
            "rhel:999999999999999999",
        ] {
            assert!(text.parse::<OsRelease>().is_err(), "`{text}` was taken");
        }
    }
}
