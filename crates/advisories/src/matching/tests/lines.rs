//! Lines of releases: repositories that serve several distributions, channels, publishers, rebuilds.

use super::*;

fn of_build(id: &str, ecosystem: &str, fixed: &str) -> Index {
    Index::new([advisory(id, ecosystem, "t", &[("tool", fixed)])])
}

fn lacks(index: &Index, os: &str, installed: &str) -> bool {
    !found(index, &host(os, vec![InstalledPackage::new("tool", installed)])).is_empty()
}

#[test]
fn epel_serves_every_relative_of_rhel_of_its_release() {
    let index = of_build("FEDORA-EPEL-2026-1", "EPEL:8", "2-1.el8");
    for os in ["rhel:8", "almalinux:8", "rocky:8", "oracle:8", "centos:8", "centos-stream:8", "rhel-eus:8.6"]
    {
        assert!(lacks(&index, os, "1-1.el8"), "{os}");
        assert!(!lacks(&index, os, "2-1.el8"), "{os}");
    }
    for os in ["rhel:9", "fedora:40", "amazon:2023", "sles:15.5"] {
        assert!(!lacks(&index, os, "1-1.el8"), "{os}");
    }
}

#[test]
fn package_hub_serves_sles_and_leap() {
    let index = of_build("openSUSE-SU-2026:1", "openSUSE:Backports SLE-15-SP6", "2-bp156.1.1");
    for (os, expected) in [
        ("sles:15.6", true),
        ("sles-sap:15.6", true),
        ("opensuse-leap:15.6", true),
        ("sles:15.5", false),
        ("opensuse-tumbleweed:rolling", false),
    ] {
        assert_eq!(lacks(&index, os, "1-bp156.1.1"), expected, "{os}");
    }
}

#[test]
fn host_with_a_channel_lacks_notices_of_both_lines() {
    let index = Index::new([
        advisory("USN-1-1", "Ubuntu:18.04:LTS", "t", &[("base", "2-1")]),
        advisory("USN-2-1", "Ubuntu:Pro:18.04:LTS", "t", &[("tool", "2-1+esm1")]),
        advisory("USN-3-1", "Ubuntu:Pro:FIPS-updates:18.04:LTS", "t", &[("tool", "2-1.fips.4")]),
    ]);
    let packages = vec![InstalledPackage::new("base", "1-1"), InstalledPackage::new("tool", "1-1")];
    assert_eq!(found(&index, &host("ubuntu:18.04", packages.clone())), ["USN-1-1 base"]);
    assert_eq!(found(&index, &host("ubuntu-pro:18.04", packages.clone())), ["USN-1-1 base", "USN-2-1 tool"]);
    let mut fips = host("ubuntu:18.04", packages);
    fips.facts.subscribe("fips-updates").unwrap();
    fips.packages[1].version = "1-1.fips.2".to_owned();
    assert_eq!(found(&index, &fips), ["USN-1-1 base", "USN-3-1 tool"]);
}

#[test]
fn minor_releases_of_rhel_are_lines_of_their_own() {
    for (line, channel) in [
        ("rhel_eus:9.2", "rhel-eus:9.2"),
        ("rhel_e4s:9.2", "rhel-e4s:9.2"),
        ("rhel_aus:9.2", "rhel-aus:9.2"),
        ("rhel_tus:9.2", "rhel-tus:9.2"),
    ] {
        let index = of_build("RHSA-2026:1", &format!("Red Hat:{line}::baseos"), "2-1.el9_2");
        for os in ["rhel-eus:9.2", "rhel-e4s:9.2", "rhel-aus:9.2", "rhel-tus:9.2", "rhel-eus:9.4", "rhel:9"] {
            assert_eq!(lacks(&index, os, "1-1.el9_2"), os == channel, "{channel} {os}");
        }
    }
}

#[test]
fn rebuilds_with_a_numbering_of_their_own_are_not_compared() {
    for (fixed, installed) in [
        ("3.0.7-28.0.1.el9", "2.9-27.ksplice1.el9"),
        ("3.0.7-28.0.1.el9", "2.9-27.el9_fips"),
        ("6.9-1.el9.elrepo", "5.14-1.el9"),
        ("8.2-1.el9", "8.1-1.el9.remi"),
    ] {
        assert!(
            !lacks(&of_build("ELSA-2026-1", "Oracle Linux:9", fixed), "oracle:9", installed),
            "{installed}"
        );
    }
    let index = of_build("ELSA-2026-2", "Oracle Linux:9", "2:2.34-60.0.4.ksplice1.el9");
    assert!(lacks(&index, "oracle:9", "2:2.34-60.0.3.ksplice1.el9"));
}

#[test]
fn notices_of_two_publishers_with_one_id_are_both_kept() {
    let of = |publisher: &str, package: &str| Advisory {
        source: publisher.to_owned(),
        ..advisory("2026-1", "Rocky Linux:9", "t", &[(package, "2-1")])
    };
    let mut newer = of("b.example", "other");
    newer.modified += chrono::TimeDelta::days(1);
    let index = Index::new([of("a.example", "tool"), newer]);
    let packages = vec![InstalledPackage::new("tool", "1-1"), InstalledPackage::new("other", "1-1")];
    assert_eq!(found(&index, &host("rocky:9", packages)).len(), 2);
}
