use std::fs;

use advisories::feed::{FeedKind, Limits, epss, kev, recognise};
use advisories::{AdvisoryKind, PackageKind, Severity};

use crate::shared::{files, folder, inventory, read_osv, rows};

#[test]
fn whole_ecosystems_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("advisories/osv")) else { return };
    for (file, count) in [("almalinux8-all.zip", 3237), ("almalinux9-all.zip", 1783)] {
        let (advisories, refused, report) = read_osv(&folder.join(file));
        assert!(refused.is_empty(), "{file}: {refused:?}");
        assert_eq!(
            (advisories.len(), report.read, report.warning_count),
            (count, count as u64, 0),
            "{file}: {:?}",
            report.warnings
        );
        let rated = advisories.iter().filter(|advisory| advisory.severity != Severity::Unknown);
        assert!(
            rated
                .clone()
                .all(|advisory| advisory.kind == AdvisoryKind::Security || advisory.id.starts_with("ALBA"))
        );
        let security = advisories.iter().filter(|advisory| advisory.kind == AdvisoryKind::Security);
        assert!(security.clone().all(|advisory| advisory.severity > Severity::None), "{file}");
    }
}

#[test]
fn samples_of_every_vendor_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("advisories/osv")) else { return };
    let mut withdrawn = 0;
    for file in files(&folder).into_iter().filter(|file| file.extension().is_some_and(|end| end == "json")) {
        let (advisories, refused, report) = read_osv(&file);
        assert_eq!((advisories.len(), refused.len()), (1, 0), "{}: {refused:?}", file.display());
        withdrawn += report.withdrawn;
        let advisory = &advisories[0];
        assert_ne!(advisory.source, "other");
        let kind = if ["debian", "ubuntu"].contains(&advisory.source.as_str()) {
            PackageKind::Source
        } else {
            PackageKind::Binary
        };
        assert!(advisory.affected.iter().all(|package| package.package_kind == kind), "{}", file.display());
    }
    assert_eq!(withdrawn, 5);
}

#[test]
fn both_forms_of_the_exploited_catalogue_have_the_same_entries() {
    let Some(folder) = folder().map(|folder| folder.join("advisories/kev")) else { return };
    let entries = |file: &str| {
        let mut entries = Vec::new();
        let report =
            kev::read(fs::File::open(folder.join(file)).unwrap(), &Limits::default(), &mut |entry| {
                entries.push(entry.unwrap())
            });
        assert_eq!(report.unwrap().accepted, 1404);
        entries.sort_by(|a, b| a.cve.cmp(&b.cve));
        entries
            .into_iter()
            .map(|entry| (entry.cve, entry.date_added, entry.due_date, entry.ransomware))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        entries("known_exploited_vulnerabilities.json"),
        entries("known_exploited_vulnerabilities.csv")
    );
}

#[test]
fn exploit_predictions_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("advisories/epss")) else { return };
    for file in files(&folder) {
        let bytes = fs::read(&file).unwrap();
        let outcome =
            epss::read(&bytes[..], &Limits::default(), &mut |score| assert!(score.is_ok(), "{score:?}"));
        assert_eq!(recognise(&bytes), Some(FeedKind::EpssCsv), "{}", file.display());
        let refused = file.ends_with("vunnel-invalid-header.csv");
        assert_eq!(outcome.is_err(), refused, "{}: {outcome:?}", file.display());
    }
}

#[test]
fn inventories_of_real_hosts_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("inventories")) else { return };
    let mut hosts = 0;
    for row in rows(&folder.join("INDEX.tsv")) {
        let os = format!("{}:{}", row[1], row[2]);
        let inventory = inventory(&folder.join(format!("{}.tsv", row[0])), &os);
        assert_eq!(inventory.packages.len().to_string(), row[5], "{}", row[0]);
        hosts += 1;
    }
    assert_eq!(hosts, 27);
    assert_eq!(inventory(&folder.join("this-debian12-vm.dpkg.tsv"), "debian:12").packages.len(), 790);
}
