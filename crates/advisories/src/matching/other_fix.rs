//! Whether a package that lacks one fix of a vulnerability already has another one.
//!
//! Vendors fix a vulnerability in each minor release on its own. A host with the fix of its minor release still lacks the one of
//! the next: that fix applies, but the vulnerability does not affect the host.

use std::cmp::Ordering;

use crate::advisory::{AffectedPackage, PackageKind};
use crate::os::{Distribution, OsRelease};
use crate::version::{Packaging, compare};

use super::architecture::are_related;

/// Whether one of `fixes`, all of the same vulnerability, is installed with this version of a package, which lacks `lacking`.
/// Only a fix that was built for the same minor release as the installed version counts: a higher number in another one may lack
/// it.
pub fn has_other_fix<'a>(
    installed: &str,
    lacking: &AffectedPackage,
    fixes: impl IntoIterator<Item = &'a AffectedPackage>,
) -> bool {
    let Some(stream) = built_for(installed) else { return false };
    fixes.into_iter().any(|other| {
        let Some(fixed) = other.fixed.as_deref() else { return false };
        other.package_kind == PackageKind::Binary
            && other.package == lacking.package
            && other.modules == lacking.modules
            && is_related(other.arch.as_deref(), lacking.arch.as_deref())
            && line(&other.os) == line(&lacking.os)
            && built_for(fixed) == Some(stream)
            && compare(Packaging::Rpm, fixed, installed).is_ok_and(Ordering::is_le)
    })
}

fn is_related(other: Option<&str>, lacking: Option<&str>) -> bool {
    match (other, lacking) {
        (None, _) => true,
        (Some(other), Some(lacking)) => are_related(other, lacking),
        (Some(_), None) => false,
    }
}

/// The distribution and its major version; the channels for one minor release belong to the same line.
fn line(os: &OsRelease) -> (Distribution, &str) {
    let distribution = match os.distribution() {
        Distribution::RhelEus => Distribution::Rhel,
        other => other,
    };
    (distribution, os.version().split('.').next().unwrap_or_default())
}

/// The minor release that an rpm was built for: `9_2` of `3.0.7-18.el9_2.1`, `9` of `3.0.7-18.el9`.
fn built_for(version: &str) -> Option<&str> {
    let (_, release) = version.rsplit_once('-')?;
    let major = crate::os::version_of_rpm_release(release)?;
    let start = major.as_ptr() as usize - release.as_ptr() as usize;
    let tail = release[start + major.len()..].strip_prefix('_').unwrap_or_default();
    let minor = tail.bytes().take_while(u8::is_ascii_digit).count();
    let end = start + major.len() + if minor == 0 { 0 } else { minor + 1 };
    Some(&release[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(os: &str, package: &str, fixed: &str) -> AffectedPackage {
        AffectedPackage {
            os: os.parse().unwrap(),
            package: package.to_owned(),
            package_kind: PackageKind::Binary,
            introduced: None,
            fixed: Some(fixed.to_owned()),
            arch: None,
            modules: Vec::new(),
            no_fix: None,
            last_affected: None,
        }
    }

    #[test]
    fn minor_release_of_a_build_is_read() {
        for (version, expected) in [
            ("1:3.0.7-18.el9_2.1", Some("9_2")),
            ("3.0.7-18.el9", Some("9")),
            ("4.18.0-553.el8_10", Some("8_10")),
            ("2-3.module+el8.10.0+22680+748527fd", Some("8")),
            ("2-3.fc39", Some("39")),
            ("1.2-3", None),
            ("1.2", None),
        ] {
            assert_eq!(built_for(version), expected, "{version}");
        }
    }

    #[test]
    fn the_fix_of_the_own_minor_release_is_enough() {
        let lacking = fix("rhel:9", "libx", "2-9.el9_4");
        let fixes = [lacking.clone(), fix("rhel-eus:9.2", "libx", "2-5.el9_2")];
        let affected = |installed: &str| !has_other_fix(installed, &lacking, &fixes);
        assert!(!affected("2-5.el9_2") && !affected("2-6.el9_2.1"));
        assert!(affected("2-4.el9_2"), "older than the fix of its minor release");
        assert!(affected("2-7.el9_3"), "no fix for 9.3 is known");
        assert!(affected("2-7"), "nobody knows what it was built for");
    }

    #[test]
    fn fixes_of_other_packages_modules_and_lines_do_not_count() {
        let lacking = fix("rhel:9", "libx", "2-9.el9_4");
        for other in [
            fix("rhel:9", "liby", "2-5.el9_2"),
            fix("rocky:9", "libx", "2-5.el9_2"),
            fix("rhel-eus:8.6", "libx", "2-5.el9_2"),
            AffectedPackage { modules: vec!["x:1".parse().unwrap()], ..fix("rhel:9", "libx", "2-5.el9_2") },
            AffectedPackage { arch: Some("s390x".to_owned()), ..fix("rhel:9", "libx", "2-5.el9_2") },
            AffectedPackage { package_kind: PackageKind::Source, ..fix("rhel:9", "libx", "2-5.el9_2") },
            AffectedPackage { fixed: None, ..fix("rhel:9", "libx", "2-5.el9_2") },
        ] {
            assert!(!has_other_fix("2-5.el9_2", &lacking, [&other]), "{other:?}");
        }
    }
}
