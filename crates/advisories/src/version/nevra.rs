//! Names of rpm packages as tools print them: `name-epoch:version-release.arch`.

use std::cmp::Ordering;

use super::{InvalidVersion, Packaging, compare};

/// Only these endings are architectures: a release such as `12.fc39` also ends in a dot and letters.
const ARCHITECTURES: [&str; 21] = [
    "aarch64", "alpha", "armhfp", "armv7hl", "athlon", "i386", "i486", "i586", "i686", "ia64", "noarch",
    "nosrc", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "src", "x86_64",
];

/// The parts of a package's full name, borrowed from the text. Absent parts are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nevra<'a> {
    pub name: Option<&'a str>,
    /// `epoch:version-release` as written.
    pub evr: &'a str,
    pub arch: Option<&'a str>,
}

impl<'a> Nevra<'a> {
    /// Parses a full name; a bare `epoch:version-release` has no name.
    pub fn parse(text: &'a str) -> Self {
        let (rest, arch) = match text.rsplit_once('.') {
            Some((rest, arch)) if ARCHITECTURES.contains(&arch) => (rest, Some(arch)),
            _ => (text, None),
        };
        // The name ends at the second hyphen from the right: version and release contain none.
        match rest.rmatch_indices('-').nth(1) {
            Some((at, _)) => Self { name: Some(&rest[..at]), evr: &rest[at + 1..], arch },
            None => Self { name: None, evr: rest, arch },
        }
    }

    /// Order by name, then version, then architecture; an absent part comes first.
    pub fn compare(&self, other: &Self) -> Result<Ordering, InvalidVersion> {
        let versions = compare(Packaging::Rpm, self.evr, other.evr)?;
        Ok(self.name.cmp(&other.name).then(versions).then(self.arch.cmp(&other.arch)))
    }
}
