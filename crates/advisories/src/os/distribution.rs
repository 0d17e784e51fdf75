//! The distributions whose advisories and packages are supported.

use std::fmt;

use crate::version::Packaging;

/// A line of releases with its own advisories. Paid update channels count as distributions of their own: their
/// fixes do not apply to hosts without the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distribution {
    AlmaLinux,
    Amazon,
    /// CentOS Linux. It ended with release 8.
    CentOs,
    /// CentOS Stream runs ahead of RHEL, so that its release 8 is another one than CentOS Linux 8.
    CentOsStream,
    Debian,
    /// Packages that other repositories build for the relatives of RHEL: ELRepo, RPM Fusion, those of vendors.
    EnterpriseLinux,
    /// Extra Packages for Enterprise Linux, for all relatives of RHEL.
    Epel,
    Fedora,
    OpenSuseLeap,
    OpenSuseTumbleweed,
    Oracle,
    /// SUSE Package Hub, which openSUSE calls Backports: one repository for SLES and Leap.
    PackageHub,
    Rhel,
    /// Advanced update support of one minor release.
    RhelAus,
    /// Updates of one minor release for SAP.
    RhelE4s,
    /// Support after the end of a release.
    RhelEls,
    /// Extended update support of one minor release.
    RhelEus,
    /// Updates of one minor release for telecommunication.
    RhelTus,
    Rocky,
    /// SUSE Linux Enterprise Micro and SUSE Linux Micro: products with notices of their own.
    SleMicro,
    Sles,
    SlesHpc,
    /// ESPOS and LTSS of SUSE Linux Enterprise High Performance Computing.
    SlesHpcLtss,
    SlesLtss,
    SlesSap,
    Ubuntu,
    UbuntuFips,
    UbuntuFipsPreview,
    UbuntuFipsUpdates,
    /// Expanded security maintenance, of infrastructure and of applications: Canonical's notices do not say which of them.
    UbuntuPro,
    UbuntuRealtime,
}

/// Distribution, its canonical name, the short name of tags, and other names, all of them in lower case without separators
/// except the canonical one.
const NAMES: [(Distribution, &str, &str, &[&str]); 31] = [
    (Distribution::AlmaLinux, "almalinux", "alma", &["almalinuxos"]),
    (Distribution::Amazon, "amazon", "amzn", &["amazonlinux", "amazonlinuxami", "amazonami"]),
    (Distribution::CentOs, "centos", "centos", &["centoslinux"]),
    (Distribution::CentOsStream, "centos-stream", "centos-stream", &["centosstream", "centoslinuxstream"]),
    (Distribution::Debian, "debian", "debian", &["debiangnulinux", "debianlinux"]),
    (Distribution::EnterpriseLinux, "enterprise-linux", "enterprise-linux", &[]),
    (Distribution::Epel, "epel", "epel", &["fedoraepel", "extrapackagesforenterpriselinux"]),
    (Distribution::Fedora, "fedora", "fedora", &["fedoralinux", "fedoraserver"]),
    (Distribution::OpenSuseLeap, "opensuse-leap", "leap", &["opensuse"]),
    (Distribution::OpenSuseTumbleweed, "opensuse-tumbleweed", "tumbleweed", &[]),
    (
        Distribution::Oracle,
        "oracle",
        "ol",
        &["oraclelinux", "oraclelinuxserver", "oracleenterpriselinux", "oel"],
    ),
    (
        Distribution::PackageHub,
        "package-hub",
        "package-hub",
        &["susepackagehub", "suselinuxenterprisepackagehub", "opensusebackports", "opensusebackportssle"],
    ),
    (
        Distribution::Rhel,
        "rhel",
        "rhel",
        &[
            "redhat",
            "linuxredhat",
            "redhatlinux",
            "redhatenterprise",
            "redhatenterpriselinux",
            "redhatenterpriselinuxserver",
            "redhatenterpriselinuxworkstation",
            "redhatenterpriseserver",
            "rhelserver",
        ],
    ),
    (Distribution::RhelAus, "rhel-aus", "rhel-aus", &["redhatenterpriselinuxaus"]),
    (Distribution::RhelE4s, "rhel-e4s", "rhel-e4s", &["redhatenterpriselinuxe4s"]),
    (Distribution::RhelEls, "rhel-els", "rhel-els", &["redhatenterpriselinuxels"]),
    (Distribution::RhelEus, "rhel-eus", "rhel-eus", &["redhatenterpriselinuxeus"]),
    (Distribution::RhelTus, "rhel-tus", "rhel-tus", &["redhatenterpriselinuxtus"]),
    (Distribution::Rocky, "rocky", "rocky", &["rockylinux"]),
    (
        Distribution::SleMicro,
        "sle-micro",
        "sle-micro",
        &["slmicro", "suselinuxenterprisemicro", "suselinuxmicro"],
    ),
    (Distribution::Sles, "sles", "sles", &["suselinuxenterpriseserver"]),
    (
        Distribution::SlesHpc,
        "sles-hpc",
        "sles-hpc",
        &["slehpc", "suselinuxenterprisehighperformancecomputing"],
    ),
    (
        Distribution::SlesHpcLtss,
        "sles-hpc-ltss",
        "sles-hpc-ltss",
        &["slehpcltss", "suselinuxenterprisehighperformancecomputingltss"],
    ),
    (Distribution::SlesLtss, "sles-ltss", "sles-ltss", &["suselinuxenterpriseserverltss"]),
    (
        Distribution::SlesSap,
        "sles-sap",
        "sles-sap",
        &["suselinuxenterpriseserverforsapapplications", "suselinuxenterpriseserverforsap"],
    ),
    (Distribution::Ubuntu, "ubuntu", "ubuntu", &["ubuntulinux", "ubuntuserver"]),
    (Distribution::UbuntuFips, "ubuntu-fips", "ubuntu-fips", &["ubuntuprofips"]),
    (
        Distribution::UbuntuFipsPreview,
        "ubuntu-fips-preview",
        "ubuntu-fips-preview",
        &["ubuntuprofipspreview"],
    ),
    (
        Distribution::UbuntuFipsUpdates,
        "ubuntu-fips-updates",
        "ubuntu-fips-updates",
        &["ubuntuprofipsupdates"],
    ),
    (
        Distribution::UbuntuPro,
        "ubuntu-pro",
        "ubuntu-pro",
        &["ubuntuesm", "esm", "esminfra", "esmapps", "ubuntuesminfra", "ubuntuesmapps"],
    ),
    (Distribution::UbuntuRealtime, "ubuntu-realtime", "ubuntu-realtime", &["ubuntuprorealtime"]),
];

/// Debian and Ubuntu name their releases, too.
const CODENAMES: [(&str, Distribution, &str); 29] = [
    ("wheezy", Distribution::Debian, "7"),
    ("jessie", Distribution::Debian, "8"),
    ("stretch", Distribution::Debian, "9"),
    ("buster", Distribution::Debian, "10"),
    ("bullseye", Distribution::Debian, "11"),
    ("bookworm", Distribution::Debian, "12"),
    ("trixie", Distribution::Debian, "13"),
    ("forky", Distribution::Debian, "14"),
    ("duke", Distribution::Debian, "15"),
    ("precise", Distribution::Ubuntu, "12.04"),
    ("trusty", Distribution::Ubuntu, "14.04"),
    ("xenial", Distribution::Ubuntu, "16.04"),
    ("bionic", Distribution::Ubuntu, "18.04"),
    ("cosmic", Distribution::Ubuntu, "18.10"),
    ("disco", Distribution::Ubuntu, "19.04"),
    ("eoan", Distribution::Ubuntu, "19.10"),
    ("focal", Distribution::Ubuntu, "20.04"),
    ("groovy", Distribution::Ubuntu, "20.10"),
    ("hirsute", Distribution::Ubuntu, "21.04"),
    ("impish", Distribution::Ubuntu, "21.10"),
    ("jammy", Distribution::Ubuntu, "22.04"),
    ("kinetic", Distribution::Ubuntu, "22.10"),
    ("lunar", Distribution::Ubuntu, "23.04"),
    ("mantic", Distribution::Ubuntu, "23.10"),
    ("noble", Distribution::Ubuntu, "24.04"),
    ("oracular", Distribution::Ubuntu, "24.10"),
    ("plucky", Distribution::Ubuntu, "25.04"),
    ("questing", Distribution::Ubuntu, "25.10"),
    ("resolute", Distribution::Ubuntu, "26.04"),
];

/// Distribution and version of a codename.
pub(super) fn of_codename(codename: &str) -> Option<(Distribution, &'static str)> {
    let (_, distribution, version) = CODENAMES.iter().find(|(name, ..)| *name == codename)?;
    Some((*distribution, version))
}

/// A name in lower case without separators: `Red Hat`, `red-hat` and `redhat` are one name.
pub(super) fn squash(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl Distribution {
    /// Finds a distribution by any of its names; case and separators do not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        let wanted = squash(name);
        if wanted.is_empty() {
            return None;
        }
        let is_named = |distribution: &Self| distribution.squashed_names().any(|name| name == wanted);
        NAMES.iter().map(|(distribution, ..)| *distribution).find(is_named)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(distribution, ..)| *distribution)
    }

    /// All names without separators.
    pub(super) fn squashed_names(self) -> impl Iterator<Item = String> {
        let (_, canonical, short, others) = self.entry();
        [*canonical, *short].into_iter().chain(others.iter().copied()).map(squash)
    }

    pub fn as_str(self) -> &'static str {
        self.entry().1
    }

    pub fn packaging(self) -> Packaging {
        match self {
            Self::Debian
            | Self::Ubuntu
            | Self::UbuntuFips
            | Self::UbuntuFipsPreview
            | Self::UbuntuFipsUpdates
            | Self::UbuntuPro
            | Self::UbuntuRealtime => Packaging::Dpkg,
            _ => Packaging::Rpm,
        }
    }

    /// Whether a package of this vendor is one of the distribution's own.
    pub fn is_vendor(self, vendor: &str) -> bool {
        let starts: &[&str] = match self.base().unwrap_or(self) {
            Self::AlmaLinux => &["almalinux"],
            Self::Amazon => &["amazon"],
            Self::CentOs | Self::CentOsStream => &["centos"],
            Self::Debian => &["debian"],
            Self::Epel | Self::Fedora => &["fedora"],
            Self::OpenSuseLeap | Self::OpenSuseTumbleweed | Self::PackageHub => &["opensuse", "suse"],
            Self::Oracle => &["oracle"],
            Self::Rhel => &["red hat"],
            Self::Rocky => &["rocky"],
            Self::Sles | Self::SleMicro => &["suse"],
            Self::Ubuntu => &["ubuntu", "canonical"],
            _ => &[],
        };
        let vendor = vendor.trim().to_ascii_lowercase();
        starts.iter().any(|start| vendor.starts_with(start))
    }

    /// The channel, where it is one that hosts subscribe to in addition to their release.
    pub fn channel(self) -> Option<&'static str> {
        match self {
            Self::RhelAus => Some("aus"),
            Self::RhelE4s => Some("e4s"),
            Self::RhelEls => Some("els"),
            Self::RhelEus => Some("eus"),
            Self::RhelTus => Some("tus"),
            Self::SlesHpc => Some("hpc"),
            Self::SlesHpcLtss => Some("hpc-ltss"),
            Self::SlesLtss => Some("ltss"),
            Self::SlesSap => Some("sap"),
            Self::UbuntuFips => Some("fips"),
            Self::UbuntuFipsPreview => Some("fips-preview"),
            Self::UbuntuFipsUpdates => Some("fips-updates"),
            Self::UbuntuPro => Some("pro"),
            Self::UbuntuRealtime => Some("realtime"),
            _ => None,
        }
    }

    /// The distribution whose hosts subscribe to this channel.
    pub(super) fn base(self) -> Option<Self> {
        match self {
            Self::RhelAus | Self::RhelE4s | Self::RhelEls | Self::RhelEus | Self::RhelTus => Some(Self::Rhel),
            Self::SlesHpc | Self::SlesHpcLtss | Self::SlesLtss | Self::SlesSap => Some(Self::Sles),
            Self::UbuntuFips
            | Self::UbuntuFipsPreview
            | Self::UbuntuFipsUpdates
            | Self::UbuntuPro
            | Self::UbuntuRealtime => Some(Self::Ubuntu),
            _ => None,
        }
    }

    /// Whether the channel has fixes after the support of the release has ended for everybody.
    pub(super) fn extends_support(self) -> bool {
        matches!(self, Self::RhelEls | Self::SlesHpcLtss | Self::SlesLtss | Self::SlesSap | Self::UbuntuPro)
    }

    /// The distributions whose hosts a repository serves that belongs to none of them.
    pub(super) fn served(self) -> &'static [Self] {
        match self {
            Self::EnterpriseLinux | Self::Epel => {
                &[Self::AlmaLinux, Self::CentOs, Self::CentOsStream, Self::Oracle, Self::Rhel, Self::Rocky]
            }
            Self::PackageHub => &[Self::OpenSuseLeap, Self::Sles],
            _ => &[],
        }
    }

    /// The part of a host's version that advisories name. `version` consists of numbers and dots.
    pub(super) fn advisory_version(self, version: &str) -> String {
        let numbers: Vec<&str> = version.split('.').map(without_zeros).collect();
        let (major, rest) = numbers.split_first().unwrap_or((&"0", &[]));
        match (self, rest.first()) {
            (Self::OpenSuseTumbleweed, _) => ROLLING.to_owned(),
            // 3.0 and 3.1 were releases of their own.
            (Self::Debian, Some(minor)) if *major == "3" => format!("3.{minor}"),
            // The releases of the first generation are named by year and month.
            (Self::Amazon, Some(_)) if major.len() == 4 && *major < "2020" => "1".to_owned(),
            // The first release of a service line has no service pack.
            (_, Some(&"0")) if self.is_sles() => (*major).to_owned(),
            (_, Some(month)) if self.is_ubuntu() => {
                format!("{major}.{month:0>2}")
            }
            (
                Self::OpenSuseLeap
                | Self::PackageHub
                | Self::RhelAus
                | Self::RhelE4s
                | Self::RhelEus
                | Self::RhelTus
                | Self::SleMicro,
                Some(minor),
            ) => format!("{major}.{minor}"),
            (_, Some(minor)) if self.is_sles() => format!("{major}.{minor}"),
            _ => (*major).to_owned(),
        }
    }

    fn is_sles(self) -> bool {
        self == Self::Sles || self.base() == Some(Self::Sles)
    }

    /// Ubuntu and its channels.
    pub(crate) fn is_ubuntu(self) -> bool {
        self == Self::Ubuntu || self.base() == Some(Self::Ubuntu)
    }

    /// The products of SUSE, whose records name the packages of each source.
    pub(crate) fn is_suse(self) -> bool {
        let others = [Self::OpenSuseLeap, Self::OpenSuseTumbleweed, Self::PackageHub, Self::SleMicro];
        self.is_sles() || others.contains(&self)
    }

    /// Whether its versions may be written as `15 SP5`.
    pub(super) fn has_service_packs(self) -> bool {
        self.is_sles() || self == Self::PackageHub
    }

    /// The distribution that a release belongs to: from release 9 on, CentOS is CentOS Stream.
    pub(super) fn of_version(self, version: &str) -> Self {
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if self == Self::CentOs && major.is_some_and(|major| major >= 9) { Self::CentOsStream } else { self }
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str, &'static [&'static str]) {
        // The table is in the order of the enum, which its test checks.
        &NAMES[self as usize]
    }
}

/// The only release of a distribution without releases.
pub(super) const ROLLING: &str = "rolling";

fn without_zeros(number: &str) -> &str {
    match number.trim_start_matches('0') {
        "" => "0",
        rest => rest,
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

    #[test]
    fn no_name_means_two_distributions() {
        let mut names: Vec<String> = Distribution::all()
            .flat_map(|one| one.squashed_names().collect::<std::collections::BTreeSet<_>>())
            .collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
