//! Globs over names of packages.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name that rpm and dpkg have in practice is shorter.
const MOST_BYTES: usize = 200;

/// Names of packages: `*` stands for any characters, `?` for one. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageGlob(String);

/// Why a text is not such a glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageGlobError {
    #[error("is empty; write the name of a package such as `openssl`, or a glob such as `kernel*`")]
    Empty,
    #[error("is longer than {MOST_BYTES} bytes; shorten it with `*`")]
    TooLong,
    #[error(
        "contains `{0}`, which no package name has; use letters, digits, `+`, `-`, `.`, `_`, and `*` or `?` as wildcards"
    )]
    Character(char),
    #[error("matches every package; write what the names begin with, such as `kernel*`")]
    Everything,
}

impl PackageGlob {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In the time of its length times the name's, whatever the number of wildcards.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut read) = (0, 0);
        // The last `*`, and how much of the name it stands for.
        let mut star: Option<(usize, usize)> = None;
        while read < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(&byte) if byte == b'?' || byte == name[read] => {
                    at += 1;
                    read += 1;
                }
                _ => match star {
                    Some((place, until)) => {
                        star = Some((place, until + 1));
                        (at, read) = (place + 1, until + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl FromStr for PackageGlob {
    type Err = PackageGlobError;

    fn from_str(text: &str) -> Result<Self, PackageGlobError> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "+-._*?".contains(c);
        if text.is_empty() {
            return Err(PackageGlobError::Empty);
        }
        if text.len() > MOST_BYTES {
            return Err(PackageGlobError::TooLong);
        }
        if let Some(unknown) = text.chars().find(|c| !is_known(*c)) {
            return Err(PackageGlobError::Character(unknown));
        }
        if text.bytes().all(|byte| byte == b'*') {
            return Err(PackageGlobError::Everything);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PackageGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

crate::string_conversions!(PackageGlob);

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> PackageGlob {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_stand_for_any_and_for_one_character() {
        for (pattern, name, matches) in [
            ("bash", "bash", true),
            ("bash", "bash-doc", false),
            ("bash", "bas", false),
            ("kernel*", "kernel", true),
            ("kernel*", "kernel-core", true),
            ("kernel*", "Kernel-core", false),
            ("*-devel", "zlib-devel", true),
            ("*-devel", "zlib-devel-static", false),
            ("lib*ssl*", "libgnussl-3", true),
            ("lib*ssl*", "libcrypto", false),
            ("python3.?", "python3.9", true),
            ("python3.?", "python3.11", false),
            ("python3.??", "python3.11", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxbxxaxxc", false),
            ("g++*", "g++-12", true),
        ] {
            assert_eq!(glob(pattern).matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn many_wildcards_do_not_take_forever() {
        let pattern = glob(&"a*".repeat(99));
        assert!(!pattern.matches(&"a".repeat(90)));
        assert!(pattern.matches(&"ab".repeat(2_000)));
    }

    #[test]
    fn text_that_is_not_a_glob_says_what_to_write() {
        for (text, hint) in [
            ("", "write the name of a package"),
            ("*", "matches every package"),
            ("**", "matches every package"),
            ("kernel[0-9]", "contains `[`"),
            ("linux image", "contains ` `"),
            ("libc6:amd64", "contains `:`"),
            ("büro", "contains `ü`"),
        ] {
            let error = text.parse::<PackageGlob>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
        assert!("x".repeat(201).parse::<PackageGlob>().is_err());
        assert_eq!(serde_json::to_string(&glob("kernel*")).unwrap(), "\"kernel*\"");
        assert!(serde_json::from_str::<PackageGlob>("\"a/b\"").is_err());
    }
}
