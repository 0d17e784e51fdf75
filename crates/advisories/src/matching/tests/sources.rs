//! Hosts whose inventory does not name the source of each package.

use super::*;
use crate::Advisory;

/// A notice of Ubuntu for one source, with the packages that it names.
fn notice(source: &str, fixed: Option<&str>, binaries: serde_json::Value) -> Advisory {
    let mut events = vec![serde_json::json!({"introduced": "0"})];
    events.extend(fixed.map(|fixed| serde_json::json!({"fixed": fixed})));
    let record = serde_json::json!({"id": "USN-1-1", "modified": "2026-03-10T00:00:00Z", "affected": [{
        "package": {"ecosystem": "Ubuntu:24.04:LTS", "name": source}, "ranges": [{"type": "ECOSYSTEM", "events": events}],
        "ecosystem_specific": {"availability": "No subscription required", "binaries": binaries}}]});
    parse_record(record.to_string().as_bytes(), "x", &Limits::default()).unwrap().advisory
}

fn lacks(advisory: &Advisory, packages: Vec<InstalledPackage>) -> usize {
    found(&Index::new([advisory.clone()]), &host("ubuntu:24.04", packages)).len()
}

fn of_source(name: &str, version: &str, source: &str, source_version: &str) -> InstalledPackage {
    InstalledPackage {
        source_name: Some(source.to_owned()),
        source_version: Some(source_version.to_owned()),
        ..InstalledPackage::new(name, version)
    }
}

#[test]
fn notice_names_the_packages_of_its_source() {
    for binaries in [
        serde_json::json!([{"binary_name": "libpam-modules", "binary_version": "1.5.3-5ubuntu5.4"}]),
        serde_json::json!([{"libpam-modules": "1.5.3-5ubuntu5.4", "libpam0g": "1.5.3-5ubuntu5.4"}]),
    ] {
        let notice = notice("pam", Some("1.5.3-5ubuntu5.4"), binaries);
        assert_eq!(lacks(&notice, vec![InstalledPackage::new("libpam-modules", "1.5.3-5ubuntu5.1")]), 1);
        assert_eq!(lacks(&notice, vec![InstalledPackage::new("libpam-modules", "1.5.3-5ubuntu5.4")]), 0);
        assert_eq!(
            lacks(&notice, vec![of_source("libpam-modules", "1.5.3-5ubuntu5.1", "pam", "1.5.3-5ubuntu5.1")]),
            1
        );
    }
}

#[test]
fn known_source_decides_although_the_package_has_another_version() {
    // A meta package with a numbering of its own.
    let notice = notice(
        "defaults",
        Some("1.20-2"),
        serde_json::json!([{"binary_name": "tool", "binary_version": "4:13.2-7"}]),
    );
    assert_eq!(lacks(&notice, vec![of_source("tool", "4:13.2-1", "defaults", "1.20-2")]), 0);
    assert_eq!(lacks(&notice, vec![of_source("tool", "4:13.2-7", "defaults", "1.20-1")]), 1);
    assert_eq!(lacks(&notice, vec![InstalledPackage::new("tool", "4:13.2-1")]), 1);
    assert_eq!(lacks(&notice, vec![InstalledPackage::new("tool", "4:13.2-7")]), 0);
}

#[test]
fn binaries_of_a_record_without_a_fix_are_not_fixed() {
    let notice = notice(
        "pam",
        None,
        serde_json::json!([{"binary_name": "libpam0g", "binary_version": "1.5.3-5ubuntu5.4"}]),
    );
    assert_eq!(lacks(&notice, vec![InstalledPackage::new("libpam0g", "1.5.3-5ubuntu5.1")]), 0);
    assert!(notice.affected.iter().all(|one| one.fixed.is_none()));
}

#[test]
fn kernel_of_the_same_series_is_found_under_another_name() {
    let notice = notice(
        "linux",
        Some("6.8.0-45.45"),
        serde_json::json!([
            {"binary_name": "linux-image-unsigned-6.8.0-45-generic", "binary_version": "6.8.0-45.45"},
            {"binary_name": "linux-modules-6.8.0-45-generic", "binary_version": "6.8.0-45.45"},
        ]),
    );
    let kernel = |name: &str, version: &str| vec![InstalledPackage::new(name, version)];
    assert_eq!(lacks(&notice, kernel("linux-image-6.8.0-41-generic", "6.8.0-41.41")), 1);
    assert_eq!(lacks(&notice, kernel("linux-image-6.8.0-45-generic", "6.8.0-45.45")), 0);
    assert_eq!(lacks(&notice, kernel("linux-image-6.5.0-41-generic", "6.5.0-41.41")), 0, "another series");
    assert_eq!(
        lacks(&notice, kernel("linux-image-6.8.0-41-lowlatency", "6.8.0-41.41")),
        0,
        "another flavour"
    );
}
