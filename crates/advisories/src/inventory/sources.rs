//! Whether an inventory names the sources of its packages. Debian's notices name only sources: without them most packages would be
//! found to lack nothing.

use crate::os::{Distribution, OsRelease};

use super::UnreadPackage;

/// Packages that each have a source of another name, of which every host has some.
const WITNESSES: [&str; 14] = [
    "libc6",
    "libc-bin",
    "libgcc-s1",
    "libgcc1",
    "libpam-modules",
    "libssl1.1",
    "libssl3",
    "libssl3t64",
    "libstdc++6",
    "libsystemd0",
    "perl-base",
    "python3-minimal",
    "zlib1g",
    "openssh-server",
];
/// On a host, so many packages always have some of a source with another name.
const ENOUGH: usize = 20;

/// What cannot be said of a host because its packages, given as names with their sources, do not name them; `None` if they do, or
/// if the vendor's notices also name packages.
pub fn missing_sources<'a>(
    os: &OsRelease,
    packages: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Option<UnreadPackage> {
    if os.distribution() != Distribution::Debian {
        return None;
    }
    let (mut named, mut unnamed, mut has_witness) = (0_usize, 0_usize, false);
    for (name, source) in packages {
        if source.is_some() {
            named += 1;
        } else {
            unnamed += 1;
            has_witness |= WITNESSES.contains(&name);
        }
    }
    (has_witness || (named == 0 && unnamed >= ENOUGH)).then(|| UnreadPackage {
        place: "sources".to_owned(),
        reason: format!(
            "{unnamed} packages do not name their source package, by which Debian's notices name them; send it, too \
             (`${{source:Package}}` of dpkg-query, `upstream` of a package URL)"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_missing(os: &str, packages: &[(&str, Option<&str>)]) -> bool {
        missing_sources(&os.parse().unwrap(), packages.iter().copied()).is_some()
    }

    #[test]
    fn list_without_sources_is_recognised() {
        assert!(is_missing("debian:12", &[("bash", None), ("libc6", None)]));
        assert!(is_missing("debian:11", &[("bash", None), ("libssl1.1", None), ("x", Some("y"))]));
        let many: Vec<String> = (0..25).map(|number| format!("tool{number}")).collect();
        let many: Vec<(&str, Option<&str>)> = many.iter().map(|name| (name.as_str(), None)).collect();
        assert!(is_missing("debian:12", &many));
        assert!(!is_missing("debian:12", &many[..5]));
    }

    #[test]
    fn list_that_may_be_complete_is_not_doubted() {
        assert!(!is_missing("debian:12", &[("bash", None), ("libc6", Some("glibc"))]));
        assert!(!is_missing("debian:12", &[("bash", None), ("curl", None)]));
        // The collector says that the source has the same name.
        assert!(!is_missing("debian:12", &[("libc6", Some("libc6"))]));
        assert!(!is_missing("ubuntu:22.04", &[("libc6", None)]), "its notices name packages");
        assert!(!is_missing("rocky:9", &[("zlib1g", None)]));
    }
}
