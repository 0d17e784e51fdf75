//! One name for each operating system release, however lists write it.

use std::collections::BTreeMap;

use advisories::{OsRelease, nearest_releases};
use domain::selector::Tags;

use super::record::shown;

const OS: &str = "os";
/// Maximum number of unknown names in a report.
const MAX_SHOWN: usize = 10;

/// Replaces a name of a known release by the canonical one: `Red Hat Enterprise Linux 9.4` becomes `rhel:9`. Short tags, such as
/// `rocky9`, stay as they are, and so does a name that no table knows.
pub fn normalise(tags: &mut Tags) {
    let Some(name) = tags.get_mut(OS) else { return };
    let is_short_tag = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    if !name.chars().all(is_short_tag)
        && let Ok(release) = name.parse::<OsRelease>()
    {
        *name = release.to_string();
    }
}

/// Names of operating systems that no table knows, and how many hosts have each.
#[derive(Debug, Default)]
pub struct UnknownNames(BTreeMap<String, u64>);

impl UnknownNames {
    pub fn note(&mut self, tags: &Tags) {
        if let Some(name) = tags.get(OS).filter(|name| name.parse::<OsRelease>().is_err()) {
            *self.0.entry(name.clone()).or_default() += 1;
        }
    }

    /// What the operator should know, if there is such a name.
    pub fn warning(&self) -> Option<String> {
        let hosts: u64 = self.0.values().sum();
        let named: Vec<String> =
            self.0.iter().take(MAX_SHOWN).map(|(name, hosts)| describe(name, *hosts)).collect();
        let more = if self.0.len() > MAX_SHOWN { "; ..." } else { "" };
        (hosts > 0).then(|| {
            format!(
                "{hosts} hosts have an operating system that is not known, so that no advisories apply to them and their \
                 compliance is unknown: {}{more}",
                named.join("; ")
            )
        })
    }
}

fn describe(name: &str, hosts: u64) -> String {
    let near: Vec<String> = nearest_releases(name).iter().map(|release| format!("`{release}`")).collect();
    let hosts = if hosts == 1 { "1 host".to_owned() } else { format!("{hosts} hosts") };
    match near.as_slice() {
        [] => format!("`{}` ({hosts})", shown(name)),
        near => format!("`{}` ({hosts}; the nearest known are {})", shown(name), near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(name: &str) -> String {
        let mut tags = Tags::from([(OS.to_owned(), name.to_owned())]);
        normalise(&mut tags);
        tags[OS].clone()
    }

    #[test]
    fn known_releases_get_one_name_and_others_stay() {
        for (name, expected) in [
            ("Red Hat Enterprise Linux 9.4", "rhel:9"),
            ("ubuntu-22-04", "ubuntu:22.04"),
            ("cpe:/o:redhat:enterprise_linux:9", "rhel:9"),
            ("AlmaLinux 9", "almalinux:9"),
            ("rocky9", "rocky9"),
            ("debian:12", "debian:12"),
            ("Haiku R1", "Haiku R1"),
        ] {
            assert_eq!(normalised(name), expected, "{name}");
        }
        let mut none = Tags::new();
        normalise(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn unknown_names_are_reported_with_the_nearest_known_ones() {
        let mut unknown = UnknownNames::default();
        assert_eq!(unknown.warning(), None);
        for name in ["Debain 12", "Debain 12", "Haiku R1", "rocky9"] {
            unknown.note(&Tags::from([(OS.to_owned(), name.to_owned())]));
        }
        let text = unknown.warning().unwrap();
        assert!(text.starts_with("3 hosts have an operating system that is not known"), "{text}");
        assert!(text.contains("`Debain 12` (2 hosts; the nearest known are `debian:12`"), "{text}");
        assert!(text.contains("`Haiku R1` (1 host"), "{text}");
    }
}
