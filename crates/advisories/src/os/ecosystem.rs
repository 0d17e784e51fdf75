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
        "Ubuntu" => match rest.strip_prefix("Pro:") {
            Some(version) => release(Distribution::UbuntuPro, version.trim_end_matches(":LTS")),
            None => release(Distribution::Ubuntu, rest.trim_end_matches(":LTS")),
        },
        "Red Hat" => red_hat(rest),
        "SUSE" => suse(rest),
        "openSUSE" if rest == "Tumbleweed" => release(Distribution::OpenSuseTumbleweed, "rolling"),
        "openSUSE" => release(Distribution::OpenSuseLeap, rest.strip_prefix("Leap ")?),
        _ => None,
    }
}

/// The text after the vendor is the tail of a CPE: product, version, update, edition (the repository).
fn red_hat(cpe: &str) -> Option<OsRelease> {
    let mut parts = cpe.split(':');
    let distribution = match parts.next()? {
        "enterprise_linux" => Distribution::Rhel,
        "rhel_eus" | "rhel_aus" | "rhel_tus" | "rhel_e4s" | "enterprise_linux_eus" => Distribution::RhelEus,
        _ => return None,
    };
    OsRelease::new(distribution, parts.next()?).ok()
}

/// The server's packages come in modules of the same service pack (`Module for Basesystem`); a host that has a
/// package installed has its module, so all of them count as the server itself.
fn suse(product: &str) -> Option<OsRelease> {
    let product = product.strip_prefix("Linux Enterprise ")?;
    let (product, long_term) = match product.strip_suffix("-LTSS") {
        Some(product) => (product, true),
        None => (product, false),
    };
    let (product, service_pack) = match product.rsplit_once(" SP") {
        Some((product, number)) => (product, Some(number)),
        None => (product, None),
    };
    let (product, version) = product.rsplit_once(' ')?;
    if product != "Server" && !product.starts_with("Module for ") {
        return None;
    }
    let distribution = if long_term { Distribution::SlesLtss } else { Distribution::Sles };
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
            "SUSE:Package Hub 12",
            "Debian:",
            "AlmaLinux:9:x",
            "Ubuntu:Pro:",
        ] {
            assert!(from_osv_ecosystem(ecosystem).is_err(), "`{ecosystem}` was taken");
        }
    }
}
