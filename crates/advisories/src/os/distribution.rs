//! The distributions whose advisories and packages are supported.

use std::fmt;

use crate::version::Packaging;

/// A line of releases with its own advisories. Paid update channels count as distributions of their own: their
/// fixes do not apply to hosts without the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distribution {
    AlmaLinux,
    CentOs,
    Debian,
    Fedora,
    OpenSuseLeap,
    OpenSuseTumbleweed,
    Oracle,
    Rhel,
    /// Extended, advanced and telecommunications update support, and updates for SAP: fixes for one minor release.
    RhelEus,
    Rocky,
    Sles,
    SlesLtss,
    Ubuntu,
    UbuntuPro,
}

/// Distribution, its canonical name, the short name of tags, and other spellings that are read.
const NAMES: [(Distribution, &str, &str, &[&str]); 14] = [
    (Distribution::AlmaLinux, "almalinux", "alma", &["alma linux"]),
    (Distribution::CentOs, "centos", "centos", &[]),
    (Distribution::Debian, "debian", "debian", &[]),
    (Distribution::Fedora, "fedora", "fedora", &[]),
    (Distribution::OpenSuseLeap, "opensuse-leap", "leap", &["opensuse.leap", "opensuse"]),
    (Distribution::OpenSuseTumbleweed, "opensuse-tumbleweed", "tumbleweed", &["opensuse.tumbleweed"]),
    (Distribution::Oracle, "oracle", "ol", &["oraclelinux", "oracle linux"]),
    (Distribution::Rhel, "rhel", "rhel", &["redhat", "red hat", "redhat-enterprise-linux"]),
    (Distribution::RhelEus, "rhel-eus", "rhel-eus", &["rhel_eus"]),
    (Distribution::Rocky, "rocky", "rocky", &["rockylinux", "rocky linux"]),
    (Distribution::Sles, "sles", "sles", &["suse.linux.enterprise.server", "sles_sap"]),
    (Distribution::SlesLtss, "sles-ltss", "sles-ltss", &[]),
    (Distribution::Ubuntu, "ubuntu", "ubuntu", &[]),
    (Distribution::UbuntuPro, "ubuntu-pro", "ubuntu-pro", &[]),
];

impl Distribution {
    /// Finds a distribution by any of its names, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, canonical, short, others)| {
                *canonical == name || *short == name || others.contains(&name)
            })
            .map(|(distribution, ..)| *distribution)
    }

    pub fn as_str(self) -> &'static str {
        self.entry().1
    }

    pub fn packaging(self) -> Packaging {
        match self {
            Self::Debian | Self::Ubuntu | Self::UbuntuPro => Packaging::Dpkg,
            _ => Packaging::Rpm,
        }
    }

    /// Whether a package of this vendor is one of the distribution's own.
    pub fn is_vendor(self, vendor: &str) -> bool {
        let starts: &[&str] = match self {
            Self::AlmaLinux => &["almalinux"],
            Self::CentOs => &["centos"],
            Self::Debian => &["debian"],
            Self::Fedora => &["fedora"],
            Self::OpenSuseLeap | Self::OpenSuseTumbleweed => &["opensuse", "suse"],
            Self::Oracle => &["oracle"],
            Self::Rhel | Self::RhelEus => &["red hat"],
            Self::Rocky => &["rocky"],
            Self::Sles | Self::SlesLtss => &["suse"],
            Self::Ubuntu | Self::UbuntuPro => &["ubuntu", "canonical"],
        };
        let vendor = vendor.trim().to_ascii_lowercase();
        starts.iter().any(|start| vendor.starts_with(start))
    }

    /// The channel, where it is one that hosts subscribe to in addition to their release.
    pub fn channel(self) -> Option<&'static str> {
        match self {
            Self::RhelEus => Some("eus"),
            Self::SlesLtss => Some("ltss"),
            Self::UbuntuPro => Some("pro"),
            _ => None,
        }
    }

    /// The part of a host's version that advisories name.
    pub(super) fn advisory_version(self, version: &str) -> &str {
        let major = || version.split('.').next().unwrap_or(version);
        match self {
            Self::AlmaLinux | Self::CentOs | Self::Fedora | Self::Oracle | Self::Rhel | Self::Rocky => {
                major()
            }
            // 3.0 and 3.1 were releases of their own.
            Self::Debian if !version.starts_with("3.") => major(),
            _ => version,
        }
    }

    pub(super) fn has_service_packs(self) -> bool {
        matches!(self, Self::Sles | Self::SlesLtss)
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str, &'static [&'static str]) {
        // The table is in the order of the enum, which its test checks.
        &NAMES[self as usize]
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (position, (distribution, ..)) in NAMES.iter().enumerate() {
            assert_eq!(*distribution as usize, position);
        }
    }
}
