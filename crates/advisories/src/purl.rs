//! Package URLs (`pkg:rpm/redhat/openssl@3.0.7-27.el9?arch=x86_64&epoch=1`), as feeds and SBOMs name packages.

use std::str::FromStr;

use crate::os::{Distribution, OsRelease};

/// The parts that are read here, without their percent signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageUrl {
    /// `rpm`, `deb`, ...
    pub kind: String,
    /// The distribution, for both of those.
    pub namespace: Option<String>,
    pub name: String,
    pub version: Option<String>,
    qualifiers: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a package URL")]
pub struct InvalidPackageUrl(pub String);

const MAX_BYTES: usize = 4096;

impl PackageUrl {
    pub fn qualifier(&self, name: &str) -> Option<&str> {
        self.qualifiers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Version and release with the epoch, which is separate in rpm's package URLs.
    pub fn rpm_version(&self) -> Option<String> {
        let version = self.version.as_deref()?;
        match self.qualifier("epoch") {
            // Some write the epoch in both places.
            Some(_) if version.contains(':') => {
                Some(version.strip_prefix("0:").unwrap_or(version).to_owned())
            }
            Some(epoch) if epoch.trim_start_matches('0').is_empty() => Some(version.to_owned()),
            Some(epoch) => Some(format!("{epoch}:{version}")),
            None => Some(version.strip_prefix("0:").unwrap_or(version).to_owned()),
        }
    }
}

impl PackageUrl {
    /// The version with its epoch, which some write as a qualifier.
    pub fn dpkg_version(&self) -> Option<String> {
        let version = self.version.as_deref()?;
        match self.qualifier("epoch") {
            Some(epoch) if !epoch.trim_start_matches('0').is_empty() && !version.contains(':') => {
                Some(format!("{epoch}:{version}"))
            }
            _ => Some(version.to_owned()),
        }
    }

    /// The OS release that the package is of: `distro=debian-12`, `distro=bookworm`, `distro=el9`, which is of the namespace.
    pub fn os(&self) -> Option<OsRelease> {
        let distro = self.qualifier("distro")?;
        if let Ok(os) = distro.parse() {
            return Some(os);
        }
        let version = distro.trim_start_matches(|c: char| !c.is_ascii_digit());
        OsRelease::new(Distribution::from_name(self.namespace.as_deref()?)?, version).ok()
    }
}

impl FromStr for PackageUrl {
    type Err = InvalidPackageUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidPackageUrl(text.chars().take(80).collect()))
    }
}

/// From the right, as the specification requires: parts that may contain any character come last.
fn parse(text: &str) -> Option<PackageUrl> {
    let text = text.trim();
    let rest = text.get(..MAX_BYTES.min(text.len())).filter(|_| text.len() <= MAX_BYTES)?;
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (rest, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    // The scheme has no case, and the slashes after it mean nothing.
    let scheme = rest.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("pkg:"))?;
    let (kind, rest) = rest[scheme.len()..].trim_start_matches('/').split_once('/')?;
    let (path, version) = match rest.rsplit_once('@') {
        Some((path, version)) if !version.contains('/') => (path, Some(decode(version)?)),
        _ => (rest, None),
    };
    let path = path.trim_matches('/');
    let (namespace, name) = match path.rsplit_once('/') {
        Some((namespace, name)) => (Some(decode(namespace)?), name),
        None => (None, path),
    };
    let name = decode(name)?;
    let pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
    let qualifiers = pairs.map(|(key, value)| Some((key.to_ascii_lowercase(), decode(value)?)));
    let qualifiers = qualifiers.collect::<Option<Vec<_>>>()?;
    let is_word = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    let kind = kind.to_ascii_lowercase();
    // Names of Debian's packages have no case, and neither has a vendor.
    let has_no_case = kind == "deb";
    let is_distribution = has_no_case || kind == "rpm";
    let lower = |text: String, is_lower: bool| if is_lower { text.to_ascii_lowercase() } else { text };
    (is_word(&name) && is_word(&kind)).then(|| PackageUrl {
        namespace: namespace.map(|namespace| lower(namespace, is_distribution)),
        name: lower(name, has_no_case),
        kind,
        version: version.filter(|version| !version.is_empty()),
        qualifiers,
    })
}

/// Without percent signs; `None` if they are wrong.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let purl: PackageUrl =
            "pkg:rpm/redhat/389-ds-base@1.4.3.39-21.module%2Bel8%2B1%2Bd25?arch=src&epoch=2&rpmmod=redhat-ds:11".parse().unwrap();
        assert_eq!((purl.kind.as_str(), purl.namespace.as_deref()), ("rpm", Some("redhat")));
        assert_eq!(purl.rpm_version().unwrap(), "2:1.4.3.39-21.module+el8+1+d25");
        assert_eq!(purl.qualifier("rpmmod"), Some("redhat-ds:11"));
        let purl: PackageUrl =
            "pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64&distro=debian-12".parse().unwrap();
        assert_eq!((purl.name.as_str(), purl.version.as_deref()), ("g++", Some("4:12.2.0-3")));
        let purl: PackageUrl = "pkg:rpm/redhat/edk2?arch=src".parse().unwrap();
        assert_eq!((purl.version.as_deref(), purl.namespace.as_deref()), (None, Some("redhat")));
        assert_eq!("pkg:npm/%40a/b@1".parse::<PackageUrl>().unwrap().namespace.as_deref(), Some("@a"));
    }

    #[test]
    fn every_legal_spelling_means_the_same() {
        for text in [
            "pkg:rpm/redhat/openssl@3.0.7-27.el9?arch=x86_64&epoch=1&distro=redhat-9.4",
            "PKG:RPM/RedHat/openssl@3.0.7-27.el9?ARCH=x86_64&Epoch=1&distro=rhel-9",
            "pkg://rpm/redhat/openssl@3.0.7-27.el9?epoch=1&distro=redhat-9#usr/lib",
            "pkg:///rpm/redhat/openssl@1%3A3.0.7-27.el9?distro=rhel9",
            "pkg:rpm//redhat//openssl@1:3.0.7-27.el9?epoch=1&distro=el9",
            " pkg:rpm/redhat/openssl@3.0.7%2D27.el9?distro=redhat-9&epoch=1 ",
        ] {
            let purl: PackageUrl = text.parse().unwrap();
            assert_eq!((purl.kind.as_str(), purl.name.as_str()), ("rpm", "openssl"), "{text}");
            assert_eq!(purl.namespace.as_deref().map(|one| one.trim_matches('/')), Some("redhat"), "{text}");
            assert_eq!(purl.rpm_version().as_deref(), Some("1:3.0.7-27.el9"), "{text}");
            assert_eq!(purl.os().map(|os| os.to_string()).as_deref(), Some("rhel:9"), "{text}");
        }
        for (text, os) in [
            ("pkg:deb/Debian/LibSSL3@1%3A3.0-1?distro=bookworm", "debian:12"),
            ("pkg:deb/debian/libssl3@3.0-1?epoch=1&distro=debian-12", "debian:12"),
            ("pkg:deb/ubuntu/libssl3@1:3.0-1?distro=jammy", "ubuntu:22.04"),
            ("pkg:deb/ubuntu/libssl3@3.0-1?distro=ubuntu-22.04&epoch=1", "ubuntu:22.04"),
            ("pkg:deb/ubuntu/libssl3@3.0-1?distro=22.04&epoch=1", "ubuntu:22.04"),
        ] {
            let purl: PackageUrl = text.parse().unwrap();
            assert_eq!(
                (purl.name.as_str(), purl.dpkg_version().as_deref()),
                ("libssl3", Some("1:3.0-1")),
                "{text}"
            );
            assert_eq!(purl.os().map(|found| found.to_string()).as_deref(), Some(os), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "pkg:", "pkg:rpm", "pkg:rpm/", "http://x/y", "pkg:rpm/a%G0", "pkg:rpm/a%F", "pkg:rpm/a%00"]
        {
            assert!(text.parse::<PackageUrl>().is_err(), "`{text}` was taken");
        }
    }
}
