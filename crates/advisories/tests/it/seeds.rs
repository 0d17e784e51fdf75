use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use advisories::feed::{FeedKind, Limits, is_cve_id, kev, recognise};
use advisories::{
    Advisory, AdvisoryKind, HostFacts, Index, InstalledPackage, Inventory, Month, OsRelease, Severity,
    compare, match_host,
};
use serde::Deserialize;

use crate::shared::{files, read_osv, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeededPackage {
    base_version: String,
    fixed_versions: Vec<String>,
    source: String,
}

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../seeds/advisories")
}

fn packages() -> BTreeMap<OsRelease, BTreeMap<String, SeededPackage>> {
    serde_json::from_str(&text(&seeds().join("packages.json"))).unwrap()
}

fn advisories() -> Vec<Advisory> {
    let mut all = Vec::new();
    for file in files(&seeds()) {
        if recognise(&fs::read(&file).unwrap()) == Some(FeedKind::Osv) {
            let (advisories, refused, report) = read_osv(&file);
            assert_eq!(
                (refused.len(), report.warning_count),
                (0, 0),
                "{}: {:?}",
                file.display(),
                report.warnings
            );
            all.extend(advisories);
        }
    }
    all
}

fn base_host(os: &OsRelease, packages: &BTreeMap<String, SeededPackage>) -> Inventory {
    let installed = packages.iter().map(|(name, seeded)| InstalledPackage {
        source_name: Some(seeded.source.clone()),
        ..InstalledPackage::new(name, &seeded.base_version)
    });
    Inventory { facts: HostFacts::new(os.clone()), packages: installed.collect(), unread: Vec::new() }
}

#[test]
fn seeded_advisories_are_whole() {
    let advisories = advisories();
    assert_eq!(advisories.len(), 22);
    let (first, last) = (Month::new(2025, 11).unwrap(), Month::new(2026, 3).unwrap());
    let mut cves = BTreeSet::new();
    for advisory in &advisories {
        assert!((first..=last).contains(&Month::of(advisory.published)), "{}", advisory.id);
        let systems: BTreeSet<String> =
            advisory.affected.iter().map(|package| package.os.to_string()).collect();
        assert_eq!(
            systems.into_iter().collect::<Vec<_>>(),
            ["debian:12", "rhel:9", "rocky:9", "ubuntu:22.04"],
            "{}",
            advisory.id
        );
        let security = advisory.kind == AdvisoryKind::Security;
        assert_eq!(security, advisory.severity != Severity::None, "{}", advisory.id);
        assert_ne!(advisory.severity, Severity::Unknown, "{}", advisory.id);
        assert_eq!(security, !advisory.cves.is_empty(), "{}", advisory.id);
        for vector in &advisory.cvss {
            assert_eq!(vector.severity(), advisory.severity, "{} {}", advisory.id, vector.score);
        }
        for cve in &advisory.cves {
            assert!(is_cve_id(cve) && cves.insert(cve.clone()), "{}: {cve}", advisory.id);
        }
    }
}

#[test]
fn fixed_versions_ascend_from_the_base_version() {
    for (os, packages) in packages() {
        for (name, seeded) in packages {
            let mut previous = &seeded.base_version;
            for fixed in &seeded.fixed_versions {
                let order = compare(os.packaging(), previous, fixed);
                assert_eq!(order, Ok(std::cmp::Ordering::Less), "{os} {name}: {previous} and {fixed}");
                previous = fixed;
            }
        }
    }
}

#[test]
fn host_of_base_versions_misses_every_advisory_and_every_fix_is_seeded() {
    let index = Index::new(advisories());
    for (os, packages) in packages() {
        let inventory = base_host(&os, &packages);
        let matches = match_host(&index, &inventory);
        let missed: BTreeSet<&str> = matches.iter().map(|found| found.advisory.id.as_str()).collect();
        assert_eq!(missed.len(), 22, "{os}");
        for (name, seeded) in &packages {
            let fixes: BTreeSet<&str> = matches
                .iter()
                .filter(|found| found.package_name() == name)
                .map(|found| found.fixed())
                .collect();
            let told: BTreeSet<&str> = seeded.fixed_versions.iter().map(String::as_str).collect();
            assert_eq!(fixes, told, "{os} {name}");
        }
    }
}

#[test]
fn host_of_last_versions_misses_nothing() {
    let index = Index::new(advisories());
    for (os, mut packages) in packages() {
        for seeded in packages.values_mut() {
            seeded.base_version = seeded.fixed_versions.last().unwrap().clone();
        }
        let inventory = base_host(&os, &packages);
        assert_eq!(match_host(&index, &inventory).len(), 0, "{os}");
    }
}

#[test]
fn exploited_vulnerabilities_are_those_of_seeded_advisories() {
    let advisories = advisories();
    let mut exploited = Vec::new();
    for folder in [seeds(), seeds().join("incoming")] {
        let file = fs::File::open(folder.join("known-exploited.json")).unwrap();
        kev::read(file, &Limits::default(), &mut |entry| exploited.push(entry.unwrap().cve)).unwrap();
    }
    assert_eq!(exploited, ["CVE-2026-90011", "CVE-2026-90100"]);
    let known = exploited.into_iter().collect();
    let marked = advisories.into_iter().filter_map(|mut advisory| {
        advisory.mark_exploited(&known);
        advisory.exploited.then_some((advisory.id, advisory.severity))
    });
    let expected = ["DCOS-2026-0011", "DCOS-2026-0100"].map(|id| (id.to_owned(), Severity::Critical));
    assert_eq!(marked.collect::<Vec<_>>(), expected);
}
