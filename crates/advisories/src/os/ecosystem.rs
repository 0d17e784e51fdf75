//! Ecosystem names of OSV records that are operating system releases.

use super::{Distribution, OsRelease};

/// An ecosystem whose packages are not matched; its record is still kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ecosystem `{0}` is not known, its packages are not matched")]
pub struct UnknownEcosystem(pub String);

/// `AlmaLinux:9`, `Debian:12`, `Ubuntu:22.04:LTS`, `Ubuntu:Pro:22.04:LTS`, `Rocky Linux:9`,
/// `Red Hat:enterprise_linux:9::baseos`, `Red Hat:rhel_eus:9.2::appstream`, `SUSE:Linux Enterprise Server 15 SP3`,
/// `openSUSE:Leap 15.3`.
pub fn from_osv_ecosystem(ecosystem: &str) -> Result<OsRelease, UnknownEcosystem> {
    resolve(ecosystem).ok_or_else(|| UnknownEcosystem(ecosystem.chars().take(120).collect()))
}

fn resolve(ecosystem: &str) -> Option<OsRelease> {
    let (vendor, rest) = ecosystem.split_once(':')?;
    let release = |distribution, version: &str| OsRelease::new(distribution, version).ok();
    match vendor {
        "AlmaLinux" => release(Distribution::AlmaLinux, rest),
        "Debian" => release(Distribution::Debian, rest),
        "Rocky Linux" => release(Distribution::Rocky, rest),
        "Oracle Linux" => release(Distribution::Oracle, rest),
        "Amazon Linux" => release(Distribution::Amazon, rest),
        "CentOS" => release(Distribution::CentOs, rest),
        "CentOS Stream" => release(Distribution::CentOsStream, rest),
        "Fedora" => release(Distribution::Fedora, rest),
        "EPEL" | "Fedora EPEL" => release(Distribution::Epel, rest),
        "Ubuntu" => ubuntu(rest),
        "Red Hat" => red_hat(rest),
        "SUSE" => suse(rest),
        "openSUSE" if rest == "Tumbleweed" => release(Distribution::OpenSuseTumbleweed, "rolling"),
        "openSUSE" => match rest.strip_prefix("Backports SLE-") {
            Some(version) => release(Distribution::PackageHub, &version.replace("-SP", ".")),
            None => release(Distribution::OpenSuseLeap, rest.strip_prefix("Leap ")?),
        },
        _ => None,
    }
}

/// `22.04:LTS`, and behind `Pro:` the channel, if it is not ESM: `Pro:FIPS-updates:22.04:LTS`.
fn ubuntu(rest: &str) -> Option<OsRelease> {
    let (distribution, version) = match rest.strip_prefix("Pro:") {
        None => (Distribution::Ubuntu, rest),
        Some(rest) => match rest.split_once(':') {
            Some(("FIPS", version)) => (Distribution::UbuntuFips, version),
            Some(("FIPS-preview", version)) => (Distribution::UbuntuFipsPreview, version),
            Some(("FIPS-updates", version)) => (Distribution::UbuntuFipsUpdates, version),
            Some(("Realtime", version)) => (Distribution::UbuntuRealtime, version),
            _ => (Distribution::UbuntuPro, rest),
        },
    };
    OsRelease::new(distribution, version.trim_end_matches(":LTS")).ok()
}

/// The text after the vendor is the tail of a CPE: product, version, update, edition (the repository).
fn red_hat(cpe: &str) -> Option<OsRelease> {
    let mut parts = cpe.split(':');
    let distribution = match parts.next()? {
        "enterprise_linux" => Distribution::Rhel,
        "rhel_eus" | "enterprise_linux_eus" => Distribution::RhelEus,
        "rhel_aus" => Distribution::RhelAus,
        "rhel_e4s" => Distribution::RhelE4s,
        "rhel_els" => Distribution::RhelEls,
        "rhel_tus" => Distribution::RhelTus,
        _ => return None,
    };
    OsRelease::new(distribution, parts.next()?).ok()
}

/// What follows the name of a product of SUSE: the channel.
const SUSE_CHANNELS: [&str; 2] = ["-LTSS", "-ESPOS"];

/// The server's packages come in modules of the same service pack (`Module for Basesystem`); a host that has a
/// package installed has its module, so all of them count as the server itself.
fn suse(product: &str) -> Option<OsRelease> {
    let (rest, channel) = SUSE_CHANNELS
        .iter()
        .find_map(|channel| Some((product.strip_suffix(channel)?, Some(*channel))))
        .unwrap_or((product, None));
    let (rest, service_pack) = match rest.rsplit_once(" SP") {
        Some((rest, number)) => (rest, Some(number)),
        None => (rest, None),
    };
    let (product, version) = rest.rsplit_once(' ')?;
    let is_module = product.starts_with("Linux Enterprise Module for ");
    let distribution = match (product, channel) {
        ("Package Hub", None) => Distribution::PackageHub,
        ("Linux Enterprise Micro" | "Linux Micro", None) => Distribution::SleMicro,
        ("Linux Enterprise Server", None) => Distribution::Sles,
        ("Linux Enterprise Server", Some("-LTSS")) => Distribution::SlesLtss,
        ("Linux Enterprise Server for SAP Applications", None) => Distribution::SlesSap,
        ("Linux Enterprise High Performance Computing", None) => Distribution::SlesHpc,
        ("Linux Enterprise High Performance Computing", Some(_)) => Distribution::SlesHpcLtss,
        (_, None) if is_module => Distribution::Sles,
        _ => return None,
    };
    let version = service_pack.map_or_else(|| version.to_owned(), |number| format!("{version}.{number}"));
    OsRelease::new(distribution, &version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecosystems_are_mapped_to_releases() {
        for (ecosystem, expected) in [
            ("AlmaLinux:9", "almalinux:9"),
            ("Debian:12", "debian:12"),
            ("Debian:3.0", "debian:3.0"),
            ("Debian:6.0", "debian:6"),
            ("Ubuntu:22.04:LTS", "ubuntu:22.04"),
            ("Ubuntu:24.10", "ubuntu:24.10"),
            ("Ubuntu:Pro:16.04:LTS", "ubuntu-pro:16.04"),
            ("Rocky Linux:8", "rocky:8"),
            ("Red Hat:enterprise_linux:9::baseos", "rhel:9"),
            ("Red Hat:rhel_eus:9.2::appstream", "rhel-eus:9.2"),
            ("SUSE:Linux Enterprise Server 12", "sles:12"),
            ("SUSE:Linux Enterprise Server 12 SP1", "sles:12.1"),
            ("SUSE:Linux Enterprise Module for Basesystem 15 SP3", "sles:15.3"),
            ("SUSE:Linux Enterprise Server 15 SP3-LTSS", "sles-ltss:15.3"),
            ("openSUSE:Leap 15.5", "opensuse-leap:15.5"),
            ("SUSE:Package Hub 15 SP6", "package-hub:15.6"),
            ("SUSE:Package Hub 12", "package-hub:12"),
            ("openSUSE:Backports SLE-15-SP6", "package-hub:15.6"),
            ("SUSE:Linux Enterprise Micro 5.5", "sle-micro:5.5"),
            ("SUSE:Linux Micro 6.0", "sle-micro:6.0"),
            ("SUSE:Linux Enterprise Server for SAP Applications 15 SP4", "sles-sap:15.4"),
            ("SUSE:Linux Enterprise High Performance Computing 15 SP4", "sles-hpc:15.4"),
            ("SUSE:Linux Enterprise High Performance Computing 15 SP4-ESPOS", "sles-hpc-ltss:15.4"),
            ("Red Hat:rhel_aus:8.4::baseos", "rhel-aus:8.4"),
            ("Red Hat:rhel_e4s:9.0::appstream", "rhel-e4s:9.0"),
            ("Red Hat:rhel_tus:8.6::realtime", "rhel-tus:8.6"),
            ("Red Hat:rhel_els:7", "rhel-els:7"),
            ("Ubuntu:Pro:FIPS:20.04:LTS", "ubuntu-fips:20.04"),
            ("Ubuntu:Pro:FIPS-updates:22.04:LTS", "ubuntu-fips-updates:22.04"),
            ("Ubuntu:Pro:Realtime:22.04:LTS", "ubuntu-realtime:22.04"),
            ("openSUSE:Tumbleweed", "opensuse-tumbleweed:rolling"),
        ] {
            assert_eq!(from_osv_ecosystem(ecosystem).map(|os| os.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn other_ecosystems_are_distinguished() {
        for ecosystem in [
            "",
            "npm",
            "PyPI",
            "Red Hat:ocp_tools:4.15::el9",
            "SUSE:Manager Server 4.3",
            "SUSE:Linux Enterprise Server 15 SP3-BCL",
            "Debian:",
            "AlmaLinux:9:x",
            "Ubuntu:Pro:",
        ] {
            assert!(from_osv_ecosystem(ecosystem).is_err(), "`{ecosystem}` was taken");
        }
    }
}
