//! The channels that a host is subscribed to, and how they are known: by name, by its repositories, by its packages.

use crate::os::{Distribution, OsRelease};

use super::{HostFacts, InstalledPackage};

/// Short names of channels, as the vendors' own commands print them: of Ubuntu's and SUSE's, which have the version of the host.
const SHORT_NAMES: [(&str, Distribution); 12] = [
    ("pro", Distribution::UbuntuPro),
    ("esm", Distribution::UbuntuPro),
    ("esm-infra", Distribution::UbuntuPro),
    ("esm-apps", Distribution::UbuntuPro),
    ("fips", Distribution::UbuntuFips),
    ("fips-preview", Distribution::UbuntuFipsPreview),
    ("fips-updates", Distribution::UbuntuFipsUpdates),
    ("realtime-kernel", Distribution::UbuntuRealtime),
    ("ltss", Distribution::SlesLtss),
    ("sap", Distribution::SlesSap),
    ("hpc", Distribution::SlesHpc),
    ("els", Distribution::RhelEls),
];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a channel of `{os}`; write it as {example}")]
pub struct UnknownChannel {
    text: String,
    os: OsRelease,
    example: &'static str,
}

impl HostFacts {
    /// Adds a channel by its name: `ubuntu-pro:20.04`, `rhel-eus:9.2`, `esm-infra`, `ltss`. Added twice it counts once.
    pub fn subscribe(&mut self, text: &str) -> Result<(), UnknownChannel> {
        let name = text.trim().to_ascii_lowercase();
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == name);
        let channel = match short {
            Some((_, distribution)) => OsRelease::new(*distribution, self.os.version()).ok(),
            None => name.parse().ok(),
        };
        match channel.filter(|channel: &OsRelease| channel.base().as_ref() == Some(&self.os)) {
            Some(channel) => self.add_channel(channel),
            None => {
                return Err(UnknownChannel {
                    text: text.chars().take(80).collect(),
                    os: self.os.clone(),
                    example: example(self.os.distribution()),
                });
            }
        }
        Ok(())
    }

    /// Adds the channels of which packages are installed: nobody else has builds like `+esm`.
    pub fn add_proven_channels(&mut self, packages: &[InstalledPackage]) {
        let is_esm = |version: &str| version.contains("+esm") || version.contains("~esm");
        if self.os.distribution() == Distribution::Ubuntu
            && packages.iter().any(|package| is_esm(&package.version))
            && let Ok(channel) = OsRelease::new(Distribution::UbuntuPro, self.os.version())
        {
            self.add_channel(channel);
        }
    }

    /// Adds the channels that the addresses or names of enabled repositories name.
    pub fn add_channels_of_repositories<'a>(&mut self, repositories: impl IntoIterator<Item = &'a str>) {
        for repository in repositories {
            if let Some(channel) = channel_of_repository(&self.os, repository) {
                self.add_channel(channel);
            }
        }
    }

    fn add_channel(&mut self, channel: OsRelease) {
        if !self.channels.contains(&channel) {
            self.channels.push(channel);
            self.channels.sort();
        }
    }
}

fn example(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::Ubuntu => "`ubuntu-pro:20.04` or `esm-infra`",
        Distribution::Rhel => "`rhel-eus:9.2`, with the minor release of the host",
        Distribution::Sles => "`sles-ltss:15.3` or `ltss`",
        _ => "one of a distribution that has channels: Ubuntu, RHEL and SLES have",
    }
}

/// The channel of an enabled repository:
/// `https://esm.ubuntu.com/infra/ubuntu`, `https://cdn.redhat.com/content/eus/rhel9/9.2/x86_64/baseos/os`,
/// `https://updates.suse.com/SUSE/Updates/SLE-Product-SLES/15-SP3-LTSS/x86_64/update/`.
fn channel_of_repository(os: &OsRelease, repository: &str) -> Option<OsRelease> {
    let parts: Vec<&str> = repository.split('/').collect();
    let after = |wanted: &str| parts.iter().position(|part| *part == wanted).and_then(|at| parts.get(at + 1));
    let of_host = |distribution| OsRelease::new(distribution, os.version()).ok();
    let channel = match os.distribution() {
        Distribution::Ubuntu => match *after("esm.ubuntu.com")? {
            "infra" | "apps" => of_host(Distribution::UbuntuPro),
            "fips" => of_host(Distribution::UbuntuFips),
            "fips-preview" => of_host(Distribution::UbuntuFipsPreview),
            "fips-updates" => of_host(Distribution::UbuntuFipsUpdates),
            "realtime" => of_host(Distribution::UbuntuRealtime),
            _ => None,
        },
        Distribution::Rhel => red_hat(&parts),
        Distribution::Sles => suse(&parts),
        _ => None,
    }?;
    (channel.base().as_ref() == Some(os)).then_some(channel)
}

/// `.../eus/rhel9/9.2/...`; the address of extended life-cycle support has only `els`.
fn red_hat(parts: &[&str]) -> Option<OsRelease> {
    parts.iter().enumerate().find_map(|(at, part)| {
        let distribution = match *part {
            "aus" => Distribution::RhelAus,
            "e4s" => Distribution::RhelE4s,
            "els" => Distribution::RhelEls,
            "eus" => Distribution::RhelEus,
            "tus" => Distribution::RhelTus,
            _ => return None,
        };
        // `rhel/server/7/7.7/x86_64` before release 8.
        let numbers = parts[at + 1..].iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
        let version =
            numbers.copied().find(|part| part.contains('.') || distribution == Distribution::RhelEls)?;
        OsRelease::new(distribution, version).ok()
    })
}

/// `SLE-Product-SLES/15-SP3-LTSS`, `SLE-Product-SLES_SAP/15-SP3`, `SLE-Product-HPC/15-SP3-ESPOS`.
fn suse(parts: &[&str]) -> Option<OsRelease> {
    parts.windows(2).find_map(|pair| {
        let product = pair[0].strip_prefix("SLE-Product-")?;
        let (version, channel) = match pair[1].rsplit_once('-') {
            Some((version, channel @ ("LTSS" | "ESPOS"))) => (version, Some(channel)),
            _ => (pair[1], None),
        };
        let distribution = match (product, channel) {
            ("SLES", Some("LTSS")) => Distribution::SlesLtss,
            ("SLES_SAP", _) => Distribution::SlesSap,
            ("HPC" | "SLE_HPC", None) => Distribution::SlesHpc,
            ("HPC" | "SLE_HPC", Some(_)) => Distribution::SlesHpcLtss,
            _ => return None,
        };
        OsRelease::new(distribution, &version.replace("-SP", ".")).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(os: &str) -> HostFacts {
        HostFacts::new(os.parse().unwrap())
    }

    fn channels(facts: &HostFacts) -> Vec<String> {
        facts.channels.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn channels_are_named_in_full_or_as_the_vendor_prints_them() {
        for (os, text, expected) in [
            ("ubuntu:18.04", "esm-infra", "ubuntu-pro:18.04"),
            ("ubuntu:22.04", "ubuntu-pro:22.04", "ubuntu-pro:22.04"),
            ("ubuntu:22.04", "fips-updates", "ubuntu-fips-updates:22.04"),
            ("rhel:9", "rhel-eus:9.2", "rhel-eus:9.2"),
            ("rhel:8", "RHEL-E4S:8.6", "rhel-e4s:8.6"),
            ("rhel:7", "els", "rhel-els:7"),
            ("sles:15.3", "LTSS", "sles-ltss:15.3"),
            ("sles:15.4", "sles-sap:15.4", "sles-sap:15.4"),
        ] {
            let mut facts = facts(os);
            facts.subscribe(text).unwrap();
            facts.subscribe(text).unwrap();
            assert_eq!(channels(&facts), [expected], "{os} {text}");
        }
    }

    #[test]
    fn channel_of_another_release_is_refused() {
        for (os, text) in [
            ("ubuntu:20.04", "ubuntu-pro:22.04"),
            ("rhel:9", "rhel-eus:8.6"),
            ("rhel:9", "eus"),
            ("debian:12", "esm-infra"),
            ("ubuntu:20.04", "ubuntu:20.04"),
            ("ubuntu:20.04", ""),
            ("sles:15.3", "rhel-eus:9.2"),
        ] {
            let error = facts(os).subscribe(text).unwrap_err().to_string();
            assert!(error.contains("is not a channel of"), "{error}");
        }
    }

    #[test]
    fn repositories_show_their_channel() {
        for (os, repository, expected) in [
            ("ubuntu:20.04", "https://esm.ubuntu.com/infra/ubuntu", Some("ubuntu-pro:20.04")),
            ("ubuntu:20.04", "https://esm.ubuntu.com/fips-updates/ubuntu", Some("ubuntu-fips-updates:20.04")),
            ("ubuntu:20.04", "http://archive.ubuntu.com/ubuntu", None),
            ("rhel:9", "https://cdn.redhat.com/content/eus/rhel9/9.2/x86_64/baseos/os", Some("rhel-eus:9.2")),
            (
                "rhel:8",
                "https://cdn.redhat.com/content/e4s/rhel8/8.6/x86_64/appstream/os",
                Some("rhel-e4s:8.6"),
            ),
            (
                "rhel:7",
                "https://cdn.redhat.com/content/els/rhel/server/7/7Server/x86_64/os",
                Some("rhel-els:7"),
            ),
            (
                "rhel:7",
                "https://cdn.redhat.com/content/tus/rhel/server/7/7.7/x86_64/os",
                Some("rhel-tus:7.7"),
            ),
            ("rhel:9", "https://cdn.redhat.com/content/dist/rhel9/9/x86_64/baseos/os", None),
            ("rhel:9", "https://cdn.redhat.com/content/eus/rhel8/8.6/x86_64/baseos/os", None),
            (
                "sles:15.3",
                "https://u.example/SUSE/Updates/SLE-Product-SLES/15-SP3-LTSS/x86_64/update/",
                Some("sles-ltss:15.3"),
            ),
            (
                "sles:15.4",
                "https://u.example/SUSE/Updates/SLE-Product-SLES_SAP/15-SP4/x86_64/update/",
                Some("sles-sap:15.4"),
            ),
            (
                "sles:15.3",
                "https://u.example/SUSE/Updates/SLE-Product-HPC/15-SP3-ESPOS/x86_64/update",
                Some("sles-hpc-ltss:15.3"),
            ),
            ("sles:15.4", "https://u.example/SUSE/Updates/SLE-Product-SLES/15-SP4/x86_64/update/", None),
            ("debian:12", "https://esm.ubuntu.com/infra/ubuntu", None),
        ] {
            let mut facts = facts(os);
            facts.add_channels_of_repositories([repository]);
            assert_eq!(channels(&facts), Vec::from_iter(expected), "{repository}");
        }
    }

    #[test]
    fn builds_of_a_channel_prove_it() {
        for (os, version, expected) in [
            ("ubuntu:18.04", "1.1.1-1ubuntu2.1~18.04.23+esm3", Some("ubuntu-pro:18.04")),
            ("ubuntu:22.04", "3.0.2-1ubuntu0.1~esm2", Some("ubuntu-pro:22.04")),
            ("ubuntu:22.04", "3.0.2-0ubuntu1.18", None),
            ("debian:12", "1-1+esm1", None),
        ] {
            let mut facts = facts(os);
            facts.add_proven_channels(&[InstalledPackage::new("libx", version)]);
            assert_eq!(channels(&facts), Vec::from_iter(expected), "{version}");
        }
    }

    #[test]
    fn host_that_is_named_by_its_channel_keeps_its_release() {
        for (os, release, channel) in [
            ("ubuntu-pro:20.04", "ubuntu:20.04", "ubuntu-pro:20.04"),
            ("rhel-eus:9.2", "rhel:9", "rhel-eus:9.2"),
            ("sles-sap:15.5", "sles:15.5", "sles-sap:15.5"),
        ] {
            let facts = facts(os);
            assert_eq!(
                (facts.os.to_string().as_str(), channels(&facts)),
                (release, vec![channel.to_owned()])
            );
        }
    }
}
