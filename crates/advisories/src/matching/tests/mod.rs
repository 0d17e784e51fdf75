mod architecture;
mod lines;
mod sources;

use super::*;
use crate::feed::Limits;
use crate::feed::osv::parse_record;
use crate::module_stream::ModuleStream;

fn advisory(id: &str, ecosystem: &str, title: &str, packages: &[(&str, &str)]) -> Advisory {
    let affected: Vec<String> = packages
        .iter()
        .map(|(name, fixed)| {
            format!(
                r#"{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}"#
            )
        })
        .collect();
    let record = format!(
        r#"{{"id":"{id}","modified":"2026-03-10T00:00:00Z","summary":"{title}","affected":[{}]}}"#,
        affected.join(",")
    );
    parse_record(record.as_bytes(), id, &Limits::default()).unwrap().advisory
}

fn host(os: &str, packages: Vec<InstalledPackage>) -> Inventory {
    Inventory { facts: HostFacts::new(os.parse().unwrap()), packages, unread: Vec::new() }
}

fn labelled(name: &str, version: &str, module: &str) -> InstalledPackage {
    InstalledPackage { module: Some(module.parse().unwrap()), ..InstalledPackage::new(name, version) }
}

fn found(index: &Index, inventory: &Inventory) -> Vec<String> {
    match_host(index, inventory)
        .iter()
        .map(|found| format!("{} {}", found.advisory.id, found.package_name()))
        .collect()
}

#[test]
fn older_is_missing_and_equal_is_not() {
    let index = Index::new([advisory(
        "A-1",
        "Rocky Linux:9",
        "t",
        &[("openssl", "1:3.0.7-27.el9"), ("curl", "7.76-1.el9")],
    )]);
    let inventory = host(
        "rocky:9",
        vec![InstalledPackage::new("openssl", "1:3.0.7-24.el9"), InstalledPackage::new("curl", "7.76-1.el9")],
    );
    let matches = match_host(&index, &inventory);
    assert_eq!(matches.len(), 1);
    assert_eq!(
        matches[0].explain(),
        "A-1 fixes openssl in 1:3.0.7-27.el9: openssl 1:3.0.7-24.el9 is older; compared in rpm order"
    );
}

#[test]
fn rebuilds_have_advisories_of_their_own() {
    let index = Index::new([advisory(
        "RHSA-1",
        "Red Hat:enterprise_linux:9::baseos",
        "t",
        &[("openssl", "1:3.0.7-27.el9")],
    )]);
    let packages = vec![InstalledPackage::new("openssl", "1:3.0.7-24.el9")];
    assert_eq!(found(&index, &host("rhel:9", packages.clone())), ["RHSA-1 openssl"]);
    for os in ["almalinux:9", "rocky:9", "rhel:8", "rhel-eus:8.6"] {
        assert!(found(&index, &host(os, packages.clone())).is_empty(), "{os}");
    }
    let mut subscribed = host("rhel:9", packages);
    subscribed.facts.channels.push("rhel-eus:9.2".parse().unwrap());
    let index = Index::new([advisory(
        "RHSA-2",
        "Red Hat:rhel_eus:9.2::baseos",
        "t",
        &[("openssl", "1:3.0.7-27.el9")],
    )]);
    assert_eq!(found(&index, &subscribed), ["RHSA-2 openssl"]);
}

#[test]
fn debian_fixes_sources() {
    let index =
        Index::new([advisory("DSA-1", "Debian:12", "t", &[("glibc", "2.36-9+deb12u7"), ("libc6", "9")])]);
    let package = InstalledPackage {
        source_name: Some("glibc".to_owned()),
        ..InstalledPackage::new("libc6", "2.36-9+deb12u4")
    };
    let inventory = host("debian:12", vec![package]);
    let matches = match_host(&index, &inventory);
    assert_eq!(found(&index, &inventory), ["DSA-1 libc6"]);
    assert_eq!(
        (matches[0].fixed(), matches[0].rule.kind().name()),
        ("2.36-9+deb12u7", "dpkg-source-version")
    );
}

#[test]
fn modular_fix_needs_the_same_stream() {
    let fix = |title: &str, package: &str| {
        advisory("A-1", "AlmaLinux:8", title, &[(package, "2.0-1.module_el8.6.0+2+b")])
    };
    let modular = "1.0-1.module_el8.5.0+1+a";
    for (title, package, expected) in [
        (
            "Moderate: perl:5.32 security update",
            labelled("p", modular, "perl:5.32:8060:aa"),
            Some("rpm-module-stream"),
        ),
        ("Moderate: perl:5.32 security update", labelled("p", modular, "perl:5.30:8060:aa"), None),
        ("Moderate: perl:5.32 security update", InstalledPackage::new("p", "1.0-1.el8"), None),
        (
            "Moderate: perl:5.32 security update",
            InstalledPackage::new("p", modular),
            Some("rpm-module-stream-unproven"),
        ),
        ("perl update", labelled("p", modular, "perl:5.30:8060:aa"), Some("rpm-module-stream-unproven")),
        ("p update", labelled("p", modular, "p:2.0:8060:aa"), Some("rpm-module-stream-unproven")),
        ("p update", labelled("p", modular, "p:1.0:8060:aa"), None),
    ] {
        let index = Index::new([fix(title, "p")]);
        let inventory = host("almalinux:8", vec![package]);
        let matches = match_host(&index, &inventory);
        assert_eq!(
            matches.first().map(|found| found.rule.kind().name()),
            expected,
            "{title} {:?}",
            inventory.packages
        );
    }
}

#[test]
fn plain_fix_does_not_apply_to_a_modular_package() {
    let index = Index::new([advisory("A-1", "AlmaLinux:8", "t", &[("p", "2.0-1.el8")])]);
    assert!(
        found(&index, &host("almalinux:8", vec![InstalledPackage::new("p", "1.0-1.module_el8.5.0+1+a")]))
            .is_empty()
    );
}

#[test]
fn enabled_stream_of_the_facts_decides() {
    let index = Index::new([advisory(
        "A-1",
        "AlmaLinux:8",
        "nodejs:20 update",
        &[("nodejs", "1:20-1.module_el8+1+a")],
    )]);
    let mut inventory = host("almalinux:8", vec![InstalledPackage::new("nodejs", "1:10-1.el8")]);
    assert!(found(&index, &inventory).is_empty());
    inventory.facts.enabled_modules.push("nodejs:20".parse::<ModuleStream>().unwrap());
    assert_eq!(found(&index, &inventory), ["A-1 nodejs"]);
    inventory.packages[0].version = "1:18-1.module_el8+1+a".to_owned();
    inventory.facts.enabled_modules = vec!["nodejs:18".parse().unwrap()];
    assert!(found(&index, &inventory).is_empty());
}

#[test]
fn withdrawn_and_outdated_advisories_require_nothing() {
    let mut withdrawn = advisory("A-1", "Debian:12", "t", &[("curl", "9")]);
    withdrawn.withdrawn = Some(withdrawn.modified);
    let mut older = advisory("A-2", "Debian:12", "t", &[("curl", "9")]);
    let newer = advisory("A-2", "Debian:12", "t", &[("curl", "8")]);
    older.modified = "2026-01-01T00:00:00Z".parse().unwrap();
    let index = Index::new([withdrawn, newer, older]);
    let inventory = host("debian:12", vec![InstalledPackage::new("curl", "7")]);
    let matches = match_host(&index, &inventory);
    assert_eq!(index.advisories().len(), 2);
    assert_eq!((matches.len(), matches[0].fixed()), (1, "8"));
}

#[test]
fn held_and_installable_are_separate_facts() {
    let index = Index::new([advisory("A-1", "Debian:12", "t", &[("curl", "8")])]);
    let mut package = InstalledPackage::new("curl", "7");
    let state = |package: &InstalledPackage| {
        let inventory = host("debian:12", vec![package.clone()]);
        let matches = match_host(&index, &inventory);
        (matches[0].state, matches[0].installable)
    };
    assert_eq!(state(&package), (PatchStateOfPackage::Missing, None));
    package.held = true;
    package.candidate = Some("8".to_owned());
    assert_eq!(state(&package), (PatchStateOfPackage::Held, Some(true)));
    package.candidate = Some("7".to_owned());
    assert_eq!(state(&package), (PatchStateOfPackage::Held, Some(false)));
}

#[test]
fn newest_kernel_counts_and_the_running_one_is_pending() {
    let index = Index::new([
        advisory("A-1", "AlmaLinux:9", "t", &[("kernel-core", "5.14.0-200.el9")]),
        advisory("A-2", "AlmaLinux:9", "t", &[("kernel-core", "5.14.0-300.el9")]),
    ]);
    let packages =
        ["5.14.0-100.el9", "5.14.0-200.el9"].map(|version| InstalledPackage::new("kernel-core", version));
    let mut inventory = host("almalinux:9", packages.to_vec());
    assert_eq!(found(&index, &inventory), ["A-2 kernel-core"]);
    assert!(match_running_kernel(&index, &inventory).is_empty());

    inventory.facts.running_kernel = Some("5.14.0-100.el9.x86_64".to_owned());
    let newest = kernel::running_and_newest(&inventory).map(|(_, newest)| newest.package.version.as_str());
    assert_eq!(newest, Some("5.14.0-200.el9"));
    let pending = match_running_kernel(&index, &inventory);
    assert_eq!(pending.len(), 1);
    assert_eq!(
        (pending[0].advisory.id.as_str(), pending[0].state),
        ("A-1", PatchStateOfPackage::PendingReboot)
    );

    inventory.facts.running_kernel = Some("5.14.0-200.el9.x86_64".to_owned());
    assert!(match_running_kernel(&index, &inventory).is_empty());
}

#[test]
fn dpkg_kernels_are_one_package_by_flavour() {
    let image = |abi: &str, version: &str| InstalledPackage {
        source_name: Some("linux-signed-amd64".to_owned()),
        source_version: Some(version.replace('-', "+")),
        ..InstalledPackage::new(format!("linux-image-6.1.0-{abi}-amd64"), version)
    };
    let index = Index::new([advisory("DSA-1", "Debian:12", "t", &[("linux", "6.1.129-1")])]);
    let mut inventory = host("debian:12", vec![image("29", "6.1.123-1"), image("31", "6.1.129-1")]);
    assert!(found(&index, &inventory).is_empty());
    inventory.facts.running_kernel = Some("6.1.0-29-amd64".to_owned());
    assert_eq!(match_running_kernel(&index, &inventory).len(), 1);
    inventory.facts.running_kernel = Some("6.1.0-31-amd64".to_owned());
    assert!(match_running_kernel(&index, &inventory).is_empty());
}

#[test]
fn package_of_two_architectures_is_reported_once() {
    let index = Index::new([advisory("A-1", "AlmaLinux:9", "t", &[("glibc", "2.34-100.el9")])]);
    let of = |arch: &str, version: &str| InstalledPackage {
        arch: Some(arch.to_owned()),
        ..InstalledPackage::new("glibc", version)
    };
    let inventory = host("almalinux:9", vec![of("x86_64", "2.34-60.el9"), of("i686", "2.34-50.el9")]);
    let matches = match_host(&index, &inventory);
    assert_eq!((matches.len(), matches[0].installed()), (1, "2.34-50.el9"));
}
