//! Fixes whose package changed between `noarch` and an architecture.

use std::ops::ControlFlow;

use super::*;
use crate::feed::{csaf, updateinfo};

/// The builds of one notice in updateinfo.
fn updateinfo_of(builds: &[(&str, &str)]) -> Advisory {
    let packages: String = builds
        .iter()
        .map(|(name, arch)| {
            format!(r#"<package name="{name}" version="3.1" release="2.el9" epoch="0" arch="{arch}"/>"#)
        })
        .collect();
    let text = format!(
        r#"<updates><update type="security"><id>RLSA-2026:1</id><title>t</title><issued date="2026-02-03"/>
        <pkglist><collection>{packages}</collection></pkglist></update></updates>"#
    );
    let mut read = Vec::new();
    let report = updateinfo::read(text.as_bytes(), &Limits::default(), &mut |record| {
        read.push(record.unwrap());
        ControlFlow::Continue(())
    });
    assert_eq!(report.unwrap().warnings, []);
    read.remove(0)
}

/// The same as an advisory in CSAF.
fn csaf_of(builds: &[(&str, &str)]) -> Advisory {
    let products: Vec<serde_json::Value> = builds
        .iter()
        .map(|(name, arch)| {
            let id = format!("{name}-3.1-2.el9.{arch}");
            serde_json::json!({"product": {"name": id, "product_id": id, "product_identification_helper":
                {"purl": format!("pkg:rpm/rocky/{name}@3.1-2.el9?arch={arch}")}}})
        })
        .collect();
    let ids: Vec<String> = builds.iter().map(|(name, arch)| format!("R:{name}-3.1-2.el9.{arch}")).collect();
    let relationships: Vec<serde_json::Value> = ids
        .iter()
        .map(|id| {
            serde_json::json!({"product_reference": &id[2..], "relates_to_product_reference": "R",
                "full_product_name": {"product_id": id}})
        })
        .collect();
    let document = serde_json::json!({
        "document": {"csaf_version": "2.0", "tracking": {"id": "RLSA-2026:1", "initial_release_date": "2026-02-03T00:00:00Z"}},
        "product_tree": {
            "branches": [{"product": {"product_id": "R", "name": "Rocky Linux 9"}}, {"branches": products}],
            "relationships": relationships,
        },
        "vulnerabilities": [{"cve": "CVE-2026-90001", "product_status": {"fixed": ids}}],
    });
    csaf::parse_document(document.to_string().as_bytes(), "x", &Limits::default()).unwrap().advisory
}

fn build(name: &str, arch: &str) -> InstalledPackage {
    InstalledPackage { arch: Some(arch.to_owned()), ..InstalledPackage::new(name, "3.0-1.el9") }
}

fn lacks(builds: &[(&str, &str)], packages: &[InstalledPackage]) -> bool {
    let answers = [updateinfo_of(builds), csaf_of(builds)]
        .map(|advisory| !found(&Index::new([advisory]), &host("rocky:9", packages.to_vec())).is_empty());
    assert_eq!(answers[0], answers[1], "updateinfo and CSAF differ");
    answers[0]
}

#[test]
fn fix_goes_from_noarch_to_an_architecture_and_back() {
    for arch in ["x86_64", "aarch64", "s390x", "ppc64le"] {
        let libc = build("glibc", arch);
        assert!(lacks(&[("tool", arch)], &[build("tool", "noarch"), libc.clone()]), "noarch to {arch}");
        assert!(lacks(&[("tool", "noarch")], &[build("tool", arch), libc]), "{arch} to noarch");
    }
}

#[test]
fn builds_of_two_architectures_do_not_replace_each_other() {
    for (fixed, installed) in [("x86_64", "i686"), ("i686", "x86_64"), ("aarch64", "x86_64")] {
        let packages = [build("tool", installed), build("glibc", installed)];
        assert!(!lacks(&[("tool", fixed)], &packages), "{installed} by {fixed}");
    }
}

#[test]
fn fix_that_exists_only_for_other_architectures_does_not_apply_to_noarch() {
    let of_x86 = [build("tool", "noarch"), build("glibc", "x86_64"), build("bash", "x86_64")];
    assert!(!lacks(&[("tool", "s390x"), ("tool", "aarch64")], &of_x86));
    assert!(lacks(&[("tool", "s390x"), ("tool", "x86_64")], &of_x86));
    // Nothing shows the architecture: a missed fix is worse than a false alarm.
    assert!(lacks(&[("tool", "s390x")], &[build("tool", "noarch")]));
}

#[test]
fn architecture_of_the_libc_decides_where_several_are_installed() {
    let packages = [build("tool", "noarch"), build("glibc", "x86_64"), build("wine", "i686")];
    assert!(!lacks(&[("tool", "i686")], &packages));
}
