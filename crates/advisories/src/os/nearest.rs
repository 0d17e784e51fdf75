//! Known releases that a text may have meant.

use super::{
    Distribution, OsRelease,
    distribution::{ROLLING, of_codename, squash},
};

/// Releases that are in use, for suggestions only: a release that is not listed is accepted all the same.
const IN_USE: [(Distribution, &[&str]); 12] = [
    (Distribution::AlmaLinux, &["8", "9", "10"]),
    (Distribution::Amazon, &["2", "2023"]),
    (Distribution::CentOs, &["6", "7", "8"]),
    (Distribution::CentOsStream, &["8", "9", "10"]),
    (Distribution::Debian, &["9", "10", "11", "12", "13"]),
    (Distribution::Fedora, &["40", "41", "42", "43"]),
    (Distribution::OpenSuseLeap, &["15.3", "15.4", "15.5", "15.6", "16.0"]),
    (Distribution::Oracle, &["7", "8", "9", "10"]),
    (Distribution::Rhel, &["6", "7", "8", "9", "10"]),
    (Distribution::Rocky, &["8", "9", "10"]),
    (Distribution::Sles, &["12.5", "15.3", "15.4", "15.5", "15.6", "15.7", "16"]),
    (Distribution::Ubuntu, &["16.04", "18.04", "20.04", "22.04", "24.04"]),
];
/// Maximum suggestions.
const MAX: usize = 3;

/// Up to three known releases that a text may have meant, the nearest first. Empty if it resembles none of them.
pub fn nearest_releases(text: &str) -> Vec<OsRelease> {
    let text: String = text.chars().take(120).collect::<String>().to_lowercase();
    let letters = squash(&text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let mut found: Vec<(usize, usize, OsRelease)> = Vec::new();
    if letters.is_empty() {
        return Vec::new();
    }
    for distribution in Distribution::all() {
        let distance =
            distribution.squashed_names().filter_map(|name| distance_to_name(&letters, &name)).min();
        let Some(distance) = distance else { continue };
        if distribution == Distribution::OpenSuseTumbleweed {
            found.extend(OsRelease::new(distribution, ROLLING).ok().map(|release| (distance, 0, release)));
        }
        let versions =
            IN_USE.iter().filter(|(of, _)| *of == distribution).flat_map(|(_, versions)| *versions);
        for version in versions {
            let of_version = edit_distance(&digits, &squash(version));
            found.extend(
                OsRelease::new(distribution, version).ok().map(|release| (distance, of_version, release)),
            );
        }
    }
    let codenames = text.split(|c: char| !c.is_ascii_alphabetic()).filter_map(of_codename);
    found.extend(
        codenames
            .filter_map(|(distribution, version)| Some((0, 0, OsRelease::new(distribution, version).ok()?))),
    );
    let Some(best) = found.iter().map(|(distance, ..)| *distance).min() else { return Vec::new() };
    found.retain(|(distance, ..)| *distance == best);
    found.sort();
    let mut releases: Vec<OsRelease> = found.into_iter().map(|(.., release)| release).collect();
    releases.dedup();
    releases.truncate(MAX);
    releases
}

/// `None` if they are not alike. A name within a longer text is alike, too.
fn distance_to_name(letters: &str, name: &str) -> Option<usize> {
    if name.len() >= 4 && letters.contains(name) {
        // The longest name that the text contains is the nearest.
        return Some(letters.len() - name.len());
    }
    // Two letters that changed places are two edits. A short name is like too many others.
    let most = match name.len() {
        ..4 => 0,
        4 => 1,
        _ => 2,
    };
    Some(edit_distance(letters, name)).filter(|distance| *distance <= most)
}

/// Insertions, deletions and replacements of bytes that make one of the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What an error adds: the nearest releases, or else how to write one.
pub(super) fn hint(text: &str) -> String {
    let nearest: Vec<String> = nearest_releases(text).iter().map(|release| format!("`{release}`")).collect();
    if nearest.is_empty() {
        "write it as `almalinux:9`, `debian:12` or `rhel9`".to_owned()
    } else {
        format!("the nearest known are {}", nearest.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_releases_are_suggested() {
        for (text, expected) in [
            ("rokcy9", "rocky:9"),
            ("Ubunto 22.04", "ubuntu:22.04"),
            ("debian-12-generic", "debian:12"),
            ("CentOS-7-GenericCloud", "centos:7"),
            ("red hat enterprise linux atomic 8", "rhel:8"),
            ("almalinux", "almalinux:8"),
            ("bookworm-backports", "debian:12"),
            ("tumbleweed kubic", "opensuse-tumbleweed:rolling"),
        ] {
            let nearest: Vec<String> = nearest_releases(text).iter().map(ToString::to_string).collect();
            assert_eq!(nearest.first().map(String::as_str), Some(expected), "{text}: {nearest:?}");
            assert!(nearest.len() <= MAX);
        }
    }

    #[test]
    fn nothing_is_suggested_for_text_that_resembles_no_release() {
        for text in ["", "22.04", "windows server 2022", "freebsd-14", "\u{fc}", "el9"] {
            assert_eq!(nearest_releases(text), [], "{text}");
        }
    }

    #[test]
    fn error_states_what_may_have_been_meant() {
        let error = "rokcy:9".parse::<OsRelease>().unwrap_err().to_string();
        assert!(error.contains("the nearest known are `rocky:9`"), "{error}");
        let error = "windows:11".parse::<OsRelease>().unwrap_err().to_string();
        assert!(error.contains("write it as"), "{error}");
    }
}
