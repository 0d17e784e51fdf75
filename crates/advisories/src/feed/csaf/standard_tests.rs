//! The parts of the standard that only some vendors use: lists of fixed builds, groups, ranges, nested relationships, and
//! documents that break its rules.

use serde_json::{Value, json};

use super::*;
use crate::advisory::Advisory;
use crate::matching::{Index, match_host};
use crate::{HostFacts, InstalledPackage, Inventory};

/// A document about builds `tool-<version>.x86_64` of Rocky Linux 9, and of one CVE.
fn document(builds: &[&str], vulnerability: Value) -> Value {
    let products: Vec<Value> = builds
        .iter()
        .map(|build| json!({"category": "product_version", "name": build, "product": {"name": build, "product_id": build}}))
        .collect();
    let relationships: Vec<Value> = builds
        .iter()
        .map(|build| {
            json!({"category": "default_component_of", "product_reference": build, "relates_to_product_reference": "R9",
                "full_product_name": {"name": build, "product_id": format!("R9:{build}")}})
        })
        .collect();
    json!({
        "document": {"csaf_version": "2.0", "category": "csaf_security_advisory", "publisher": {"name": "Rocky"},
            "tracking": {"id": "RLSA-2026:1", "initial_release_date": "2026-02-03T00:00:00Z"}},
        "product_tree": {
            "branches": [{"category": "vendor", "name": "Rocky", "branches": [
                {"category": "product_name", "name": "Rocky Linux 9", "product": {"name": "Rocky Linux 9", "product_id": "R9"}},
                {"category": "architecture", "name": "x86_64", "branches": products}]}],
            "relationships": relationships,
        },
        "vulnerabilities": [vulnerability],
    })
}

fn read(document: &Value) -> (Advisory, Vec<String>) {
    let read = parse_document(document.to_string().as_bytes(), "x.json", &Limits::default()).unwrap();
    (read.advisory, read.warnings)
}

fn lacks(advisory: &Advisory, os: &str, name: &str, version: &str) -> bool {
    let index = Index::new([advisory.clone()]);
    let package =
        InstalledPackage { arch: Some("x86_64".to_owned()), ..InstalledPackage::new(name, version) };
    let facts = HostFacts::new(os.parse().unwrap());
    !match_host(&index, &Inventory { facts, packages: vec![package], unread: Vec::new() }).is_empty()
}

#[test]
fn each_list_of_fixed_builds_is_read() {
    for list in ["fixed", "first_fixed", "recommended"] {
        let (advisory, warnings) = read(&document(
            &["tool-2.1-4.el9.x86_64"],
            json!({"product_status": {list: ["R9:tool-2.1-4.el9.x86_64"]}}),
        ));
        assert_eq!(warnings, Vec::<String>::new(), "{list}");
        assert!(lacks(&advisory, "rocky:9", "tool", "2.1-3.el9"), "{list}");
        assert!(!lacks(&advisory, "rocky:9", "tool", "2.1-4.el9"), "{list}");
    }
}

#[test]
fn oldest_build_with_the_fix_of_a_vulnerability_is_enough() {
    let builds = ["tool-2.1-4.el9.x86_64", "tool-2.1-6.el9.x86_64", "tool-2.1-9.el9.x86_64"];
    let id = |at: usize| format!("R9:{}", builds[at]);
    for status in [
        json!({"first_fixed": [id(0)], "recommended": [id(2)]}),
        json!({"recommended": [id(2)], "fixed": [id(1), id(0)]}),
        json!({"fixed": [id(0), id(1), id(2)], "first_fixed": [id(0)]}),
    ] {
        let (advisory, _) = read(&document(&builds, json!({"product_status": status})));
        assert!(lacks(&advisory, "rocky:9", "tool", "2.1-3.el9"), "{status}");
        assert!(!lacks(&advisory, "rocky:9", "tool", "2.1-5.el9"), "{status}");
    }
    // Another vulnerability of the same document may need a newer one.
    let mut two = document(&builds, json!({"product_status": {"fixed": [id(0)]}}));
    two["vulnerabilities"].as_array_mut().unwrap().push(json!({"product_status": {"recommended": [id(1)]}}));
    assert!(lacks(&read(&two).0, "rocky:9", "tool", "2.1-5.el9"));
}

/// A product `tool` of a range, as a component of Rocky Linux 9.
fn with_range(range: &str, status: &str) -> Value {
    let mut document = document(&[], json!({"product_status": {status: ["R9:tool"]}}));
    document["product_tree"]["branches"].as_array_mut().unwrap().push(json!({"category": "product_name", "name": "tool",
        "branches": [{"category": "product_version_range", "name": range, "product": {"name": "tool", "product_id": "tool"}}]}));
    document["product_tree"]["relationships"] = json!([{"category": "default_component_of", "product_reference": "tool",
        "relates_to_product_reference": "R9", "full_product_name": {"name": "tool", "product_id": "R9:tool"}}]);
    document
}

#[test]
fn ranges_state_what_is_affected_and_what_is_fixed() {
    let (advisory, warnings) = read(&with_range("vers:rpm/>=2.0-1.el9|<2.1-4.el9", "known_affected"));
    assert_eq!(warnings, Vec::<String>::new());
    for (version, expected) in
        [("1.9-1.el9", false), ("2.0-1.el9", true), ("2.1-3.el9", true), ("2.1-4.el9", false)]
    {
        assert_eq!(lacks(&advisory, "rocky:9", "tool", version), expected, "{version}");
    }
    let (advisory, warnings) = read(&with_range("vers:rpm/>=2.1-4.el9", "fixed"));
    assert_eq!(warnings, Vec::<String>::new());
    assert!(
        lacks(&advisory, "rocky:9", "tool", "2.1-3.el9") && !lacks(&advisory, "rocky:9", "tool", "2.1-4.el9")
    );
    // Its end is affected: the vendor has no fix yet.
    let (advisory, _) = read(&with_range("vers:rpm/<=2.1-4.el9", "known_affected"));
    assert!(advisory.affected.iter().all(|one| one.fixed.is_none() && one.no_fix.is_some()));
    assert!(!advisory.affected.is_empty());
}

#[test]
fn range_that_cannot_be_read_is_reported_and_means_nothing() {
    for range in ["vls/<2.1", "vers:semver/<2.1", "vers:rpm/", "< 2.1"] {
        let (advisory, warnings) = read(&with_range(range, "known_affected"));
        assert_eq!(advisory.affected, [], "{range}");
        assert!(warnings.iter().any(|text| text.contains("is not a range")), "{range}: {warnings:?}");
    }
    let (advisory, warnings) = read(&with_range("vers:deb/<2.1", "known_affected"));
    assert_eq!(advisory.affected, []);
    assert!(warnings[0].contains("another packaging system"), "{warnings:?}");
}

#[test]
fn groups_stand_for_their_products() {
    let mut document = document(
        &["tool-2.1-4.el9.x86_64", "lib-1-1.el9.x86_64"],
        json!({"product_status": {"known_affected": ["R9:tool-2.1-4.el9.x86_64"], "known_not_affected": ["R9:lib-1-1.el9.x86_64"]},
            "flags": [{"label": "vulnerable_code_not_present", "group_ids": ["G2"]}],
            "remediations": [{"category": "no_fix_planned", "group_ids": ["G1", "G9"]}]}),
    );
    document["product_tree"]["product_groups"] = json!([
        {"group_id": "G1", "product_ids": ["R9:tool-2.1-4.el9.x86_64"]}, {"group_id": "G2", "product_ids": ["R9:lib-1-1.el9.x86_64"]}]);
    let (advisory, warnings) = read(&document);
    assert_eq!(advisory.affected[0].no_fix, Some(domain::compliance::NoFix::NotPlanned));
    assert_eq!(advisory.not_affected[0].reason.as_deref(), Some("vulnerable_code_not_present"));
    assert_eq!(warnings, ["its product tree has no group \"G9\" (CSAF 6.1.4)"]);
}

#[test]
fn components_of_components_are_found() {
    let mut document =
        document(&["tool-2.1-4.el9.x86_64"], json!({"product_status": {"fixed": ["S:M:tool"]}}));
    let tree = &mut document["product_tree"];
    tree["full_product_names"] =
        json!([{"product_id": "M", "name": "a module"}, {"product_id": "S", "name": "a repository"}]);
    let relationships = [
        ("tool-2.1-4.el9.x86_64", "M", "M:tool"),
        ("M:tool", "S", "S:M:tool.part"),
        ("S:M:tool.part", "R9", "S:M:tool"),
    ];
    tree["relationships"] = relationships
        .map(|(part, whole, id)| {
            json!({"product_reference": part, "relates_to_product_reference": whole, "full_product_name": {"product_id": id}})
        })
        .into();
    let (advisory, warnings) = read(&document);
    assert_eq!(warnings, Vec::<String>::new());
    assert!(lacks(&advisory, "rocky:9", "tool", "2.1-3.el9"));
}

#[test]
fn package_url_states_the_release_by_itself() {
    for (purl, os, version) in [
        ("pkg:rpm/rocky/tool@2.1-4.el9?arch=x86_64&distro=rocky-9.4", "rocky:9", "2.1-3.el9"),
        ("pkg:deb/debian/tool@2.1-4?arch=amd64&distro=bookworm", "debian:12", "2.1-3"),
    ] {
        let mut document = document(&[], json!({"product_status": {"recommended": ["P"]}}));
        document["product_tree"]["full_product_names"] =
            json!([{"product_id": "P", "name": "tool", "product_identification_helper": {"purl": purl}}]);
        let (advisory, warnings) = read(&document);
        assert_eq!(warnings, Vec::<String>::new(), "{purl}");
        assert!(lacks(&advisory, os, "tool", version), "{purl}");
    }
}

#[test]
fn document_that_breaks_the_rules_says_so() {
    let build = "tool-2.1-4.el9.x86_64";
    let id = format!("R9:{build}");
    let contradicting = json!({"product_status": {"fixed": [id], "known_affected": [id], "best": [id]},
        "remediations": [{"category": "prayer", "product_ids": [id]}]});
    let mut document = document(&[build], contradicting);
    let twice = document["product_tree"]["relationships"][0].clone();
    document["product_tree"]["relationships"].as_array_mut().unwrap().push(twice);
    let (advisory, warnings) = read(&document);
    let told = warnings.join("\n");
    for said in
        ["(CSAF 6.1.2)", "(CSAF 6.1.6)", "has \"best\", which is not read", "\"prayer\", which is not read"]
    {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(lacks(&advisory, "rocky:9", "tool", "2.1-3.el9"));
}

#[test]
fn id_of_another_publisher_does_not_make_a_document_that_ones() {
    let mut document = document(&[], json!({}));
    document["document"]["publisher"] = json!({"name": "Acme Errata Team"});
    assert_eq!(read(&document).0.source, "acmeerratateam");
    document["document"]["publisher"] = json!({"name": "SUSE Product Security Team"});
    assert_eq!(read(&document).0.source, "suse");
}
