//! The many ways to write one release.

use super::{
    Distribution, OsRelease,
    distribution::{ROLLING, of_codename},
    from_cpe,
};

/// Real names stay below it.
const MAX_BYTES: usize = 200;
/// Words in front of a version that mean nothing.
const FILLERS: [&str; 3] = ["release", "version", "v"];
/// What some tools add to the name of a release.
const ARCHITECTURES: [&str; 5] = ["x86_64", "amd64", "aarch64", "arm64", "64-bit"];

/// Reads `almalinux:9`, the tags `alma9`, `rhel-9`, `ubuntu2204` and `sles15sp3`, product names as `/etc/os-release` prints
/// them, codenames (`ubuntu:jammy`, `bookworm`) and CPEs, in any case. A version without a distribution is not a release.
pub(super) fn parse(text: &str) -> Option<OsRelease> {
    let text = text.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    if text.len() > MAX_BYTES || !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return None;
    }
    if text.starts_with("cpe:") {
        return from_cpe(&text);
    }
    // Names with a number in them (`rhel-e4s:9.2`) have one only in their canonical spelling.
    if let Some((name, version)) = text.split_once(':')
        && name.contains(|c: char| c.is_ascii_digit())
        && let Some(distribution) = Distribution::from_name(name)
        && let Ok(release) = OsRelease::new(distribution, version)
    {
        return Some(release);
    }
    let words = split_words(without_extras(&text));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.iter().position(|word| is_number(word)) {
        Some(first) => with_version(&words, first),
        None => without_version(&words),
    }
}

/// Without a remark in parentheses, such as a codename, and without an architecture.
fn without_extras(text: &str) -> &str {
    let text = match text.rfind('(') {
        Some(start) if text.ends_with(')') => &text[..start],
        _ => text,
    };
    let is_separator = |c: char| !c.is_ascii_alphanumeric() && c != '.';
    let text = text.trim_end_matches(is_separator);
    let bare = ARCHITECTURES.iter().find_map(|architecture| {
        let rest = text.strip_suffix(architecture)?;
        rest.ends_with(is_separator).then(|| rest.trim_end_matches(is_separator))
    });
    bare.unwrap_or(text)
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// Runs of letters, and of digits and dots.
fn split_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for c in text.chars() {
        let continues = is_open
            && words.last().is_some_and(|word| {
                if is_number(word) { c.is_ascii_digit() || c == '.' } else { c.is_ascii_alphabetic() }
            });
        match (continues, words.last_mut()) {
            (true, Some(word)) => word.push(c),
            _ if c.is_ascii_alphanumeric() => words.push(c.to_string()),
            _ => {}
        }
        is_open = continues || c.is_ascii_alphanumeric();
    }
    words
}

fn distribution_of(words: &[&str]) -> Option<Distribution> {
    let name: String = words.iter().filter(|word| !FILLERS.contains(word)).copied().collect();
    Distribution::from_name(&name)
}

/// `first` is the place of the version's first number.
fn with_version(words: &[&str], first: usize) -> Option<OsRelease> {
    let distribution = distribution_of(&words[..first])?;
    let numbers = words[first..].iter().take_while(|word| is_number(word)).count();
    let (numbers, rest) = words[first..].split_at(numbers);
    let release = |distribution, version: &str| OsRelease::new(distribution, version).ok();
    let version = dotted(distribution, numbers);
    match (distribution, rest) {
        (_, []) => release(distribution, &version),
        (_, ["lts"]) if distribution.is_ubuntu() => release(distribution, &version),
        (_, ["sp", pack, channel @ ..]) if distribution.has_service_packs() && numbers.len() == 1 => {
            release(with_channel(distribution, channel)?, &format!("{version}.{pack}"))
        }
        (_, channel) if distribution.has_service_packs() => {
            release(with_channel(distribution, channel)?, &version)
        }
        // `jammy`, `jammy jellyfish`.
        (_, [codename]) | (Distribution::Ubuntu, [codename, _]) => {
            let (named, of_name) = of_codename(codename)?;
            let found = release(distribution, &version)?;
            (named == distribution && release(named, of_name)? == found).then_some(found)
        }
        _ => None,
    }
}

/// A product of SUSE with the channel that follows its version.
fn with_channel(distribution: Distribution, channel: &[&str]) -> Option<Distribution> {
    match (distribution, channel) {
        (_, []) => Some(distribution),
        (Distribution::Sles, ["ltss"]) => Some(Distribution::SlesLtss),
        (Distribution::SlesHpc, ["ltss" | "espos"]) => Some(Distribution::SlesHpcLtss),
        _ => None,
    }
}

/// A codename, with the distribution in front of it or not, or a distribution without versions.
fn without_version(words: &[&str]) -> Option<OsRelease> {
    if let [name @ .., last] = words
        && *last == ROLLING
    {
        return OsRelease::new(distribution_of(name)?, ROLLING).ok();
    }
    if distribution_of(words) == Some(Distribution::OpenSuseTumbleweed) {
        return OsRelease::new(Distribution::OpenSuseTumbleweed, ROLLING).ok();
    }
    let place = words.iter().position(|word| of_codename(word).is_some())?;
    let (distribution, version) = of_codename(words[place])?;
    // `ubuntu jammy`, `ubuntu-pro:jammy`.
    let named = if place == 0 { Some(distribution) } else { distribution_of(&words[..place]) };
    let named = named.filter(|named| *named == distribution || named.base() == Some(distribution))?;
    // `jammy jellyfish`, `jammy lts`.
    let most = if distribution == Distribution::Ubuntu { place + 2 } else { place + 1 };
    (words.len() <= most).then(|| OsRelease::new(named, version).ok())?
}

/// The numbers of a version in the spelling of the vendor: `2204` and `22 04` are `22.04`.
fn dotted(distribution: Distribution, numbers: &[&str]) -> String {
    match (distribution, numbers) {
        (_, [year_month])
            if distribution.is_ubuntu() && year_month.len() == 4 && !year_month.contains('.') =>
        {
            format!("{}.{}", &year_month[..2], &year_month[2..])
        }
        _ => numbers.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_release_are_equivalent() {
        for (expected, spellings) in [
            (
                "rhel:9",
                &[
                    "rhel:9",
                    "rhel9",
                    "RHEL-9",
                    "rhel_9",
                    "rhel 9.4",
                    "redhat:9",
                    "RedHat 9.4",
                    "Red Hat Enterprise Linux 9.4",
                    "red-hat-enterprise-linux-9",
                    "Red Hat Enterprise Linux 9.4 (Plow)",
                    "Red Hat Enterprise Linux release 9.4 (Plow)",
                    "Red Hat Enterprise Linux 9 (64-bit)",
                    "\"Red Hat Enterprise Linux 9\"",
                    "RHEL v9",
                    "rhel:09",
                    "cpe:/o:redhat:enterprise_linux:9",
                    "cpe:/o:redhat:enterprise_linux:9::baseos",
                    "CPE:2.3:o:redhat:enterprise_linux:9.4:*:*:*:*:*:*:*",
                ][..],
            ),
            (
                "rhel:7",
                &["Red Hat Enterprise Linux Server 7.9 (Maipo)", "cpe:/o:redhat:enterprise_linux_server:7.9"],
            ),
            (
                "ubuntu:22.04",
                &[
                    "ubuntu:22.04",
                    "ubuntu:2204",
                    "ubuntu2204",
                    "ubuntu-22-04",
                    "ubuntu_22_04",
                    "Ubuntu 22.04.3 LTS",
                    "Ubuntu 22.04.3 LTS (Jammy Jellyfish)",
                    "ubuntu:jammy",
                    "jammy",
                    "Ubuntu Jammy Jellyfish",
                    "Ubuntu 22.04 jammy",
                    "ubuntu-22.04-amd64",
                    "cpe:2.3:o:canonical:ubuntu_linux:22.04:*:*:*:lts:*:*:*",
                ],
            ),
            ("ubuntu:6.06", &["ubuntu 6.06", "Ubuntu:06.06"]),
            (
                "debian:12",
                &[
                    "debian:12",
                    "debian12",
                    "debian-12",
                    "Debian GNU/Linux 12 (bookworm)",
                    "Debian 12.5",
                    "bookworm",
                    "debian/bookworm",
                    "debian 12 bookworm",
                    "cpe:/o:debian:debian_linux:12",
                ],
            ),
            ("debian:3.1", &["debian 3.1"]),
            (
                "almalinux:9",
                &[
                    "AlmaLinux 9",
                    "alma9",
                    "AlmaLinux:9.4",
                    "AlmaLinux release 9.4 (Seafoam Ocelot)",
                    "cpe:/o:almalinux:almalinux:9::baseos",
                ],
            ),
            (
                "rocky:9",
                &[
                    "Rocky Linux 9.4 (Blue Onyx)",
                    "rocky9",
                    "ROCKY_LINUX_9",
                    "rockylinux:9",
                    "cpe:/o:rocky:rocky:9::baseos",
                ],
            ),
            (
                "oracle:8",
                &["Oracle Linux Server 8.9", "ol8", "OracleLinux 8", "cpe:/o:oracle:linux:8:9:server"],
            ),
            (
                "sles:15.5",
                &[
                    "SUSE Linux Enterprise Server 15 SP5",
                    "sles15sp5",
                    "SLES 15-SP5",
                    "sles:15.5",
                    "suse.linux.enterprise.server:15.5",
                    "cpe:/o:suse:sles:15:sp5",
                    "cpe:2.3:o:suse:linux_enterprise_server:15:sp5:*:*:*:*:*:*",
                ],
            ),
            (
                "sles-sap:15.5",
                &[
                    "SLES_SAP-15-SP5",
                    "SUSE Linux Enterprise Server for SAP Applications 15 SP5",
                    "cpe:/o:suse:sles_sap:15:sp5",
                ],
            ),
            ("sles-hpc-ltss:15.3", &["SUSE Linux Enterprise High Performance Computing 15 SP3-LTSS"]),
            ("sle-micro:5.5", &["SUSE Linux Enterprise Micro 5.5", "sle-micro:5.5"]),
            (
                "amazon:2023",
                &["Amazon Linux 2023", "Amazon Linux 2023.6.20241010", "amzn2023", "amazonlinux:2023"],
            ),
            ("amazon:2", &["Amazon Linux 2 (Karoo)", "amazon:2", "Amazon Linux release 2 (Karoo)"]),
            ("amazon:1", &["Amazon Linux AMI 2018.03"]),
            (
                "ubuntu-pro:20.04",
                &["ubuntu-pro:focal", "ubuntu-pro:20.04", "esm-infra:20.04", "ubuntu pro 2004"],
            ),
            ("ubuntu-fips-updates:22.04", &["ubuntu-fips-updates:22.04"]),
            ("rhel-tus:8.8", &["rhel-tus:8.8"]),
            ("rhel-e4s:9.2", &["rhel-e4s:9.2", "RHEL_E4S:9.2"]),
            ("sles:15", &["SUSE Linux Enterprise Server 15", "sles 15.0", "sles15sp0"]),
            (
                "sles-ltss:15.3",
                &["SUSE Linux Enterprise Server 15 SP3-LTSS", "sles-ltss:15.3", "sles ltss 15 sp3"],
            ),
            (
                "opensuse-leap:15.5",
                &["openSUSE Leap 15.5", "opensuse.leap:15.5", "leap-15-5", "cpe:/o:opensuse:leap:15.5"],
            ),
            (
                "opensuse-tumbleweed:rolling",
                &[
                    "openSUSE Tumbleweed",
                    "opensuse-tumbleweed-20261101",
                    "tumbleweed:rolling",
                    "cpe:/o:opensuse:tumbleweed:20261101",
                ],
            ),
            (
                "centos:8",
                &[
                    "CentOS Linux 8 (Core)",
                    "centos8",
                    "CentOS Linux release 8.5.2111",
                    "cpe:/o:centos:centos:8",
                ],
            ),
            ("centos-stream:8", &["CentOS Stream 8", "centos-stream8"]),
            // CentOS Linux ended with release 8.
            (
                "centos-stream:9",
                &[
                    "CentOS Stream 9",
                    "centos:9",
                    "centos-stream-9",
                    "CentOS Stream release 9",
                    "cpe:/o:centos:centos:9",
                ],
            ),
            (
                "fedora:41",
                &[
                    "Fedora Linux 41 (Server Edition)",
                    "fedora41",
                    "Fedora release 41 (Forty One)",
                    "cpe:/o:fedoraproject:fedora:41",
                ],
            ),
        ] {
            for spelling in spellings {
                assert_eq!(parse(spelling).map(|os| os.to_string()).as_deref(), Some(expected), "{spelling}");
            }
        }
    }

    #[test]
    fn text_that_is_not_a_release_is_refused() {
        for text in [
            "",
            " ",
            "22.04",
            "22.04.3 LTS",
            "9",
            "el9",
            "rhel",
            "rhel:",
            "debian:sid",
            "Debian GNU/Linux trixie/sid",
            "debian:jammy",
            "Debian 11 (x) 12",
            "debian 11 bookworm",
            "windows:11",
            "Windows Server 2022",
            "Red Hat Enterprise Linux CoreOS 4.14",
            "SUSE Manager Server 4.3",
            "Ubuntu Linux (64-bit)",
            "CentOS-7-x86_64-GenericCloud",
            "rocky-release-9.4-1.el9",
            "debian:12..1",
            "debian:12.",
            "debian:\0",
            "rhel:999999999999999999",
            "cpe:/a:apache:http_server:2.4",
            "cpe:",
            "rhel9\u{301}",
        ] {
            assert_eq!(parse(text), None, "`{text}` was accepted");
        }
    }
}
