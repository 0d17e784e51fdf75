//! RPM module streams (`nodejs:20`): parallel versions of the same packages, of which a host enables one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A module and one of its streams. Version and context of a build are left out: a fix is for the stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModuleStream {
    pub name: String,
    pub stream: String,
}

impl ModuleStream {
    /// Whether a version of the package that gives the module its name can belong to the stream: `13` includes `13.4`, not
    /// `130.1`. `None` for streams that are not version numbers (`rhel8`, `DL1`).
    pub fn holds_version(&self, upstream: &str) -> Option<bool> {
        if !self.stream.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        let rest = upstream.strip_prefix(self.stream.as_str());
        Some(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '~', '^', '_'])))
    }
}

impl fmt::Display for ModuleStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.stream)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a module stream; write it as `nodejs:20`")]
pub struct InvalidModuleStream(pub String);

/// Accepts `name:stream` and the longer labels of an rpm header, `name:stream:version:context`.
impl FromStr for ModuleStream {
    type Err = InvalidModuleStream;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        match (parts.next(), parts.next()) {
            (Some(name), Some(stream)) if is_word(name) && is_word(stream) => {
                Ok(Self { name: name.to_owned(), stream: stream.to_owned() })
            }
            _ => Err(InvalidModuleStream(text.chars().take(80).collect())),
        }
    }
}

domain::string_conversions!(ModuleStream);

/// Whether a version was built for some module: its release carries `.module+el8` or `.module_el8`.
pub fn is_modular(version: &str) -> bool {
    version.contains(".module+") || version.contains(".module_")
}

/// Streams that an advisory's title names, as in `Important: nodejs:20 security update`.
pub fn streams_in_title(title: &str) -> Vec<ModuleStream> {
    let mut found = Vec::new();
    for word in title.split(|c: char| c.is_whitespace() || ",;()[]`'\"".contains(c)) {
        let word = word.trim_end_matches(['.', ':']);
        // Exactly one colon: `ALSA-2022:5468:` at the start of a title is an advisory id, recognised by its upper case.
        let Ok(stream) = word.parse::<ModuleStream>() else { continue };
        let is_advisory_id = word.split_once(':').is_some_and(|(name, number)| {
            name.contains('-')
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && number.parse::<u32>().is_ok()
        });
        if word.matches(':').count() == 1 && !is_advisory_id && !found.contains(&stream) {
            found.push(stream);
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(title: &str) -> Vec<String> {
        streams_in_title(title).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn title_names_its_streams() {
        assert_eq!(names("Important: nodejs:20 security, bug fix, and enhancement update"), ["nodejs:20"]);
        assert_eq!(names("Moderate: idm:DL1 and idm:client security update"), ["idm:DL1", "idm:client"]);
        assert_eq!(names("Critical: squid:4 security update"), ["squid:4"]);
        assert_eq!(names("new module: log4j:2"), ["log4j:2"]);
        assert_eq!(names("ALSA-2022:5468: php:8.0 security update (Important)"), ["php:8.0"]);
        assert_eq!(names("Important: kernel security update"), Vec::<String>::new());
    }

    #[test]
    fn label_of_a_header_is_cut_to_its_stream() {
        let label = "perl-IO-Socket-SSL:2.066:8060020220422081814:fbe42456";
        assert_eq!(label.parse::<ModuleStream>().unwrap().to_string(), "perl-IO-Socket-SSL:2.066");
        for text in ["", ":", "nodejs", "nodejs:", "a b:c", "x:\0"] {
            assert!(text.parse::<ModuleStream>().is_err(), "`{text}` was taken");
        }
    }

    #[test]
    fn stream_includes_only_versions_of_its_series() {
        let stream: ModuleStream = "postgresql:13".parse().unwrap();
        assert_eq!(stream.holds_version("13.4"), Some(true));
        assert_eq!(stream.holds_version("130.1"), Some(false));
        assert_eq!("container-tools:rhel8".parse::<ModuleStream>().unwrap().holds_version("4.0"), None);
    }
}
