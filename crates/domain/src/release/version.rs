//! Versions of the product: `vMAJOR.MINOR.PATCH`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// `v1.0.2`: the second patch of the line `v1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// Why a version cannot be released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("`{0}` is not a version, write it like `v1.0.1`")]
    NotAVersion(String),
    #[error(
        "`{0}` is not a patch: its last number must be above 0; this workflow does not roll out base releases"
    )]
    NotAPatch(Version),
    #[error("base `{base}` is not of the line of `{version}`: only the last number may differ")]
    OtherLine { version: Version, base: Version },
    #[error("base `{base}` is not below `{version}`")]
    NotAbove { version: Version, base: Version },
    #[error(
        "base `{base}` is not known: it is neither a release, nor the version of a customer, nor the base of a registered line; {}; register the line with `patchctl release line register --base {base}`",
        known_of_line(.known)
    )]
    UnknownBase { base: Version, known: Vec<Version> },
    #[error(
        "`{version}` leaves a gap: the line is at `{latest}`, so `{expected}` is next; allow the gap if it is meant"
    )]
    Gap { version: Version, latest: Version, expected: Version },
}

fn known_of_line(known: &[Version]) -> String {
    match known {
        [] => "no version of its line is known".to_owned(),
        known => {
            let known: Vec<_> = known.iter().map(|version| format!("`{version}`")).collect();
            format!("known versions of its line: {}", known.join(", "))
        }
    }
}

impl Version {
    pub fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Whether both are patches of the same minor release.
    pub fn same_line(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }

    pub fn is_patch(self) -> bool {
        self.patch > 0
    }

    /// Its default base: the patch before it.
    pub fn default_base(self) -> Self {
        Self { patch: self.patch.saturating_sub(1), ..self }
    }
}

/// Whether `version` may be released on `base`. `known` are the versions released, run by a customer, or registered
/// as the base of a line.
pub fn check_version(
    version: Version,
    base: Version,
    known: &BTreeSet<Version>,
    allow_gap: bool,
) -> Result<(), VersionError> {
    if !version.is_patch() {
        return Err(VersionError::NotAPatch(version));
    }
    if !version.same_line(base) {
        return Err(VersionError::OtherLine { version, base });
    }
    if base >= version {
        return Err(VersionError::NotAbove { version, base });
    }
    let line = || known.iter().copied().filter(|known| known.same_line(version) && *known != version);
    let latest_below = line().filter(|known| *known < version).max();
    // The gap first: the error must name the skipped number, not an unknown base.
    if let Some(latest) = latest_below.filter(|_| !allow_gap)
        && latest.patch + 1 < version.patch
    {
        let expected = Version { patch: latest.patch + 1, ..latest };
        return Err(VersionError::Gap { version, latest, expected });
    }
    if known.contains(&base) {
        Ok(())
    } else {
        Err(VersionError::UnknownBase { base, known: line().collect() })
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError::NotAVersion(text.chars().take(40).collect());
        let number = |text: &str| match text {
            "0" => Some(0),
            text if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
            text => text.parse::<u32>().ok().filter(|number| *number <= 999_999),
        };
        let mut numbers = text.strip_prefix('v').ok_or_else(wrong)?.split('.').map(number);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(wrong()),
        }
    }
}

crate::string_conversions!(Version);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}.{}.{}", self.major, self.minor, self.patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn known(versions: &[&str]) -> BTreeSet<Version> {
        versions.iter().map(|text| version(text)).collect()
    }

    #[test]
    fn versions_are_read_strictly() {
        assert_eq!(version("v1.10.2").to_string(), "v1.10.2");
        assert!(version("v1.0.10") > version("v1.0.9"));
        for text in [
            "1.0.1",
            "v1.0",
            "v1.0.1.0",
            "v01.0.1",
            "v1.0.x",
            "v1.0.-1",
            "v1.0.+1",
            "v1..1",
            "",
            "v1.0.9999999",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn patch_needs_a_known_base_of_its_line() {
        let versions = known(&["v1.0.0", "v1.1.0"]);
        let check = |text: &str, base: &str| check_version(version(text), version(base), &versions, false);
        assert_eq!(check("v1.0.1", "v1.0.0"), Ok(()));
        assert!(matches!(check("v1.0.0", "v1.0.0"), Err(VersionError::NotAPatch(_))));
        assert!(matches!(check("v1.0.1", "v1.1.0"), Err(VersionError::OtherLine { .. })));
        assert!(matches!(check("v2.0.1", "v2.0.0"), Err(VersionError::UnknownBase { .. })));
        assert!(matches!(check("v1.0.1", "v1.0.1"), Err(VersionError::NotAbove { .. })));
    }

    #[test]
    fn gaps_are_refused_unless_allowed() {
        let versions = known(&["v1.0.0", "v1.0.1"]);
        let gap = check_version(version("v1.0.4"), version("v1.0.1"), &versions, false);
        assert_eq!(
            gap.unwrap_err().to_string(),
            "`v1.0.4` leaves a gap: the line is at `v1.0.1`, so `v1.0.2` is next; allow the gap if it is meant"
        );
        assert_eq!(check_version(version("v1.0.4"), version("v1.0.1"), &versions, true), Ok(()));
    }
}
