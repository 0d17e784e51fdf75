//! Updates of repositories that serve several distributions, and of publishers with ids of their own.

use std::ops::ControlFlow;

use super::*;
use crate::advisory::Advisory;

struct Build {
    id: &'static str,
    release: &'static str,
    collection: &'static str,
    build: &'static str,
}

fn read_one(one: &Build) -> (Advisory, Vec<String>) {
    let Build { id, release, collection, build } = one;
    let text = format!(
        r#"<updates><update from="errata@repo.example" type="security"><id>{id}</id><title>t</title><release>{release}</release>
        <issued date="2026-02-03"/><pkglist><collection short="{collection}">
        <package name="tool" version="3.1" release="{build}" epoch="0" arch="x86_64"/></collection></pkglist></update></updates>"#
    );
    let mut met = Vec::new();
    let report = read(text.as_bytes(), &Limits::default(), &mut |outcome| {
        met.push(outcome.unwrap());
        ControlFlow::Continue(())
    });
    let warnings = report.unwrap().warnings.into_iter().map(|warning| warning.text).collect();
    (met.remove(0), warnings)
}

#[test]
fn packages_are_of_the_release_that_update_or_build_states() {
    let one = |id, release, collection, build| Build { id, release, collection, build };
    for (read, source, expected) in [
        (one("FEDORA-EPEL-2026-aa", "Fedora EPEL 9", "epel", "1.el9"), "epel", "epel:9"),
        (one("FEDORA-EPEL-2026-ab", "EPEL-8", "", "1.el8"), "epel", "epel:8"),
        (one("FEDORA-EPEL-2026-ac", "", "", "1.el10_1"), "epel", "epel:10"),
        (one("FEDORA-EPEL-NEXT-2026-ad", "Fedora EPEL 9 Next", "", "1.el9.next"), "epel", "epel:9"),
        (one("FEDORA-2026-ae", "Fedora 41", "", "1.fc41"), "fedora", "fedora:41"),
        (one("ALAS2023-2026-101", "", "amzn", "3.amzn2023.0.1"), "amazon", "amazon:2023"),
        (one("ALAS2-2026-102", "", "", "3.amzn2"), "amazon", "amazon:2"),
        (one("ALAS-2026-103", "", "", "3.40.amzn1"), "amazon", "amazon:1"),
        (one("ALSA-2026:104", "", "", "3.el9_4"), "almalinux", "almalinux:9"),
        (one("ELSA-2026-105", "Oracle Linux 8", "", "3.0.1.el8"), "oracle", "oracle:8"),
        (one("ELBA-2026-106", "", "", "3.0.1.el9"), "oracle", "oracle:9"),
        (one("CESA-2026:107", "", "", "3.el7_9"), "centos", "centos:7"),
        (one("SUSE-2026-108", "", "SUSE-PackageHub-15-SP5", "bp155.3.1"), "suse", "package-hub:15.5"),
        (
            one("openSUSE-2026-109", "openSUSE Backports SLE-15-SP6", "", "bp156.2.1"),
            "suse",
            "package-hub:15.6",
        ),
        (one("SUSE-SU-2026:110-1", "", "SLE-Product-SLES_SAP-15-SP4", "150400.1.1"), "suse", "sles-sap:15.4"),
        (one("SUSE-SU-2026:111-1", "", "SUSE-SLE-Micro-5.5", "150500.1.1"), "suse", "sle-micro:5.5"),
        (one("1042", "", "elrepo", "1.el9.elrepo"), "repo.example", "enterprise-linux:9"),
        (one("ACME-2026-7", "Acme Repository", "", "2.el8"), "repo.example", "enterprise-linux:8"),
        (one("ACME-2026-8", "Rocky Linux 9", "", "2.el9"), "repo.example", "rocky:9"),
        (one("fusion-9", "", "", "4.fc42"), "repo.example", "fedora:42"),
    ] {
        let (advisory, warnings) = read_one(&read);
        let told: Vec<String> = advisory.affected.iter().map(|one| one.os.to_string()).collect();
        assert_eq!((advisory.source.as_str(), told), (source, vec![expected.to_owned()]), "{}", read.id);
        assert_eq!(warnings, Vec::<String>::new(), "{}", read.id);
    }
}

#[test]
fn update_that_does_not_state_an_os_release_is_warned_of() {
    for (id, release, build) in [
        ("ACME-2026-9", "Acme Repository", "2"),
        ("FEDORA-EPEL-2026-ae", "", "1.noarch"),
        ("ALAS2023-2026-1", "", "4"),
    ] {
        let (advisory, warnings) = read_one(&Build { id, release, collection: "", build });
        assert_eq!(advisory.affected, [], "{id}");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("states an OS release, it is not matched"), "{warnings:?}");
    }
}

#[test]
fn reissued_update_replaces_builds_and_may_withdraw_them() {
    let update = |status: &str, updated: &str, version: &str| {
        format!(
            r#"<update from="a@vendor.example" status="{status}" type="security" version="2"><id>ALSA-2026:1</id><title>t</title>
            <issued date="2026-01-06"/><updated date="{updated}"/><pkglist><collection>
            <package name="tool" version="{version}" release="1.el9" epoch="0" arch="x86_64"/></collection></pkglist></update>"#
        )
    };
    let read_all = |updates: &[String]| {
        let mut met = Vec::new();
        let text = format!("<updates>{}</updates>", updates.concat());
        read(text.as_bytes(), &Limits::default(), &mut |outcome| {
            met.push(outcome.unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        crate::Index::new(met)
    };
    let (first, second) = (update("final", "2026-01-06", "2.0"), update("final", "2026-02-06", "2.1"));
    let withdrawn = update("retracted", "2026-03-06", "2.1");
    for updates in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        let index = read_all(&updates);
        assert_eq!(index.advisories().len(), 1);
        assert_eq!(index.advisories()[0].affected[0].fixed.as_deref(), Some("2.1-1.el9"));
        assert!(index.advisories()[0].is_in_force());
    }
    assert!(!read_all(&[first.clone(), withdrawn.clone()]).advisories()[0].is_in_force());
    let again = update("final", "2026-04-06", "2.2");
    assert!(read_all(&[withdrawn, again]).advisories()[0].is_in_force());
}
