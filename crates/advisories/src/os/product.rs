//! Names of OS releases in other catalogues: CPEs, names of products, repositories of updates.

use super::{Distribution, OsRelease, from_osv_ecosystem};

/// CPE vendor and product of distributions.
const PRODUCTS: [(&str, &str, Distribution); 26] = [
    ("almalinux", "almalinux", Distribution::AlmaLinux),
    ("alma", "almalinux", Distribution::AlmaLinux),
    ("amazon", "amazon_linux", Distribution::Amazon),
    ("amazon", "linux", Distribution::Amazon),
    ("centos", "centos", Distribution::CentOs),
    ("debian", "debian_linux", Distribution::Debian),
    ("fedoraproject", "epel", Distribution::Epel),
    ("fedoraproject", "fedora", Distribution::Fedora),
    ("opensuse", "backports", Distribution::PackageHub),
    ("opensuse", "leap", Distribution::OpenSuseLeap),
    ("oracle", "linux", Distribution::Oracle),
    ("resf", "rocky_linux", Distribution::Rocky),
    ("rocky", "rocky", Distribution::Rocky),
    ("suse", "linux_enterprise_server", Distribution::Sles),
    ("suse", "packagehub", Distribution::PackageHub),
    ("suse", "sle-micro", Distribution::SleMicro),
    ("suse", "sl-micro", Distribution::SleMicro),
    ("suse", "linux_enterprise_micro", Distribution::SleMicro),
    ("suse", "sles", Distribution::Sles),
    ("suse", "sle_hpc", Distribution::SlesHpc),
    ("suse", "sle_hpc-espos", Distribution::SlesHpcLtss),
    ("suse", "sle_hpc-ltss", Distribution::SlesHpcLtss),
    ("suse", "sles-ltss", Distribution::SlesLtss),
    ("suse", "sles_sap", Distribution::SlesSap),
    ("suse", "linux_enterprise_server_for_sap", Distribution::SlesSap),
    ("canonical", "ubuntu_linux", Distribution::Ubuntu),
];

/// Reads both spellings of a CPE: `cpe:/o:redhat:enterprise_linux:9::baseos`, `cpe:2.3:o:debian:debian_linux:12:...`.
pub fn from_cpe(cpe: &str) -> Option<OsRelease> {
    let rest = cpe.strip_prefix("cpe:/").or_else(|| cpe.strip_prefix("cpe:2.3:"))?;
    let (_, rest) = rest.split_once(':')?;
    let (vendor, tail) = rest.split_once(':')?;
    if vendor == "redhat" {
        // Up to release 7 the variants were products of their own.
        let tail = ["enterprise_linux_server:", "enterprise_linux_workstation:"]
            .iter()
            .find_map(|variant| tail.strip_prefix(variant))
            .map_or_else(|| tail.to_owned(), |version| format!("enterprise_linux:{version}"));
        return from_osv_ecosystem(&format!("Red Hat:{tail}")).ok();
    }
    let mut parts = tail.split(':');
    let (product, version) = (parts.next()?, parts.next()?);
    let service_pack = parts.next().and_then(|update| update.strip_prefix("sp"));
    if vendor == "suse" && product.starts_with("sle-module-") {
        return release(Distribution::Sles, version, service_pack);
    }
    if (vendor, product) == ("opensuse", "tumbleweed") {
        return OsRelease::new(Distribution::OpenSuseTumbleweed, "rolling").ok();
    }
    let known = PRODUCTS.iter().find(|(v, p, _)| *v == vendor && *p == product);
    known.and_then(|(.., distribution)| release(*distribution, version, service_pack))
}

fn release(distribution: Distribution, version: &str, service_pack: Option<&str>) -> Option<OsRelease> {
    match service_pack {
        Some(number) => OsRelease::new(distribution, &format!("{version}.{number}")).ok(),
        None => OsRelease::new(distribution, version).ok(),
    }
}

/// Reads the names of products in feeds: `SUSE Linux Enterprise Module for Basesystem 15 SP3`, and releases as people write
/// them: `openSUSE Leap 15.5`, `Rocky Linux 9`, `Ubuntu 22.04 LTS`.
pub fn from_product_name(name: &str) -> Option<OsRelease> {
    if let Some(product) = name.strip_prefix("SUSE ") {
        // What is fixed in another product of SUSE is not fixed in the server.
        return from_osv_ecosystem(&format!("SUSE:{product}")).ok();
    }
    // The name of a package may look like a release, but it has no space.
    if name.contains(' ') { name.parse().ok() } else { None }
}

/// The release that an rpm's own release was built for: `27.el9_4` for 9, `12.fc39` for 39, `3.amzn2023.0.1` for 2023.
pub fn version_of_rpm_release(release: &str) -> Option<&str> {
    ["el", "fc", "amzn"].iter().find_map(|mark| version_after(release, mark))
}

/// The OS release that the release of an rpm states by itself: `12.fc39`, `3.amzn2`, `5.el9_4.alma.1`, `1.lp155.2.3`,
/// `1.bp156.4`. One that only states `el9` was built for any relative of RHEL.
pub fn release_of_build(release: &str) -> Option<OsRelease> {
    let version_of = |distribution, version: &str| OsRelease::new(distribution, version).ok();
    let of_mark = |mark, distribution| version_of(distribution, version_after(release, mark)?);
    // `155` is 15.5.
    let of_suse = |mark, distribution| {
        let (major, minor) = version_after(release, mark).filter(|digits| digits.len() == 3)?.split_at(2);
        version_of(distribution, &format!("{major}.{minor}"))
    };
    let own = of_mark("fc", Distribution::Fedora)
        .or_else(|| of_mark("amzn", Distribution::Amazon))
        .or_else(|| of_suse("lp", Distribution::OpenSuseLeap))
        .or_else(|| of_suse("bp", Distribution::PackageHub));
    if own.is_some() {
        return own;
    }
    let version = version_after(release, "el")?;
    let words = || release.split(['.', '_', '+', '-']);
    let vendor = VENDORS_OF_BUILDS.iter().find(|(word, _)| words().any(|one| one == *word));
    version_of(vendor.map_or(Distribution::EnterpriseLinux, |(_, distribution)| *distribution), version)
}

/// What relatives of RHEL add to the release of a build that differs from the original.
const VENDORS_OF_BUILDS: [(&str, Distribution); 3] =
    [("alma", Distribution::AlmaLinux), ("rocky", Distribution::Rocky), ("centos", Distribution::CentOs)];

/// The digits after a mark that begins a part of a release.
fn version_after<'a>(release: &'a str, mark: &str) -> Option<&'a str> {
    let after = release.match_indices(mark).find_map(|(at, _)| {
        let in_front = release[..at].chars().next_back();
        let rest = &release[at + mark.len()..];
        let starts = in_front.is_none_or(|c| !c.is_ascii_alphanumeric());
        (starts && rest.starts_with(|c: char| c.is_ascii_digit())).then_some(rest)
    })?;
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    Some(&after[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(os: Option<OsRelease>) -> Option<String> {
        os.map(|os| os.to_string())
    }

    #[test]
    fn cpes_are_mapped_to_releases() {
        for (cpe, expected) in [
            ("cpe:/a:redhat:enterprise_linux:9::appstream", Some("rhel:9")),
            ("cpe:/o:redhat:enterprise_linux:7::server", Some("rhel:7")),
            ("cpe:/a:redhat:rhel_eus:9.2::appstream", Some("rhel-eus:9.2")),
            ("cpe:2.3:o:debian:debian_linux:12:*:*:*:*:*:*:*", Some("debian:12")),
            ("cpe:/o:suse:sles:15:sp3", Some("sles:15.3")),
            ("cpe:/o:suse:sle-module-basesystem:15:sp3", Some("sles:15.3")),
            ("cpe:/o:opensuse:leap:15.5", Some("opensuse-leap:15.5")),
            ("cpe:/o:suse:sles_sap:15:sp4", Some("sles-sap:15.4")),
            ("cpe:/o:suse:packagehub:15:sp6", Some("package-hub:15.6")),
            ("cpe:2.3:o:amazon:amazon_linux:2023", Some("amazon:2023")),
            ("cpe:/a:redhat:rhel_e4s:9.0::appstream", Some("rhel-e4s:9.0")),
            ("cpe:/a:redhat:jboss_core_services:1", None),
            ("cpe:/", None),
            ("", None),
        ] {
            assert_eq!(tag(from_cpe(cpe)).as_deref(), expected, "{cpe}");
        }
    }

    #[test]
    fn names_are_mapped_to_releases() {
        for (name, expected) in [
            ("SUSE Linux Enterprise Server 11 SP2-LTSS", Some("sles-ltss:11.2")),
            ("openSUSE Leap 42.1", Some("opensuse-leap:42.1")),
            ("Red Hat Enterprise Linux 9", Some("rhel:9")),
            ("Rocky Linux 9", Some("rocky:9")),
            ("Ubuntu 22.04 LTS", Some("ubuntu:22.04")),
            ("Fedora EPEL 9", Some("epel:9")),
            ("Amazon Linux 2", Some("amazon:2")),
            ("SUSE Package Hub 15 SP5", Some("package-hub:15.5")),
            ("JBoss 9", None),
            ("", None),
        ] {
            assert_eq!(tag(from_product_name(name)).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn build_states_its_os_release() {
        for (release, expected) in [
            ("12.fc41", Some("fedora:41")),
            ("3.amzn2023.0.2", Some("amazon:2023")),
            ("1.amzn2", Some("amazon:2")),
            ("5.el9_4.alma.1", Some("almalinux:9")),
            ("5.el8.rocky.0.1", Some("rocky:8")),
            ("1.el9.elrepo", Some("enterprise-linux:9")),
            ("1.el8", Some("enterprise-linux:8")),
            ("bp155.2.3.1", Some("package-hub:15.5")),
            ("lp156.4.1", Some("opensuse-leap:15.6")),
            ("1", None),
            ("2.noarch", None),
        ] {
            assert_eq!(tag(release_of_build(release)).as_deref(), expected, "{release}");
        }
    }

    #[test]
    fn release_of_a_build_names_its_version() {
        for (release, expected) in [
            ("27.el9_4", Some("9")),
            ("1.el10", Some("10")),
            ("3.module+el8.10.0+22680+748527fd", Some("8")),
            ("3.module_el8.5.0+1", Some("8")),
            ("12.fc39", Some("39")),
            ("7.amzn2023", Some("2023")),
            ("1", None),
            ("3.del9", None),
            ("1.elx", None),
        ] {
            assert_eq!(version_of_rpm_release(release), expected, "{release}");
        }
    }
}
