use std::fs;
use std::ops::ControlFlow;

use advisories::feed::{
    FeedKind, FeedRecord, Limits, ReadReport, RecordError, epss, kev, read_feed, recognise, recognise_feed,
};
use advisories::{Advisory, AdvisoryKind, AffectedPackage, PackageKind, Severity};

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
        let rated = advisories.iter().filter(|advisory| advisory.severity > Severity::None);
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
        // Ubuntu's records also name the packages of each source.
        let may_be = |package: &AffectedPackage| package.package_kind == kind || advisory.source == "ubuntu";
        assert!(advisory.affected.iter().all(may_be), "{}", file.display());
        let has_kind =
            advisory.affected.is_empty() || advisory.affected.iter().any(|one| one.package_kind == kind);
        assert!(has_kind, "{}", file.display());
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

/// Records and warnings of any feed, packed or not.
fn read_any(path: &std::path::Path) -> (FeedKind, Vec<FeedRecord>, Vec<RecordError>, ReadReport) {
    let limits = Limits { now: Some("2026-11-01T00:00:00Z".parse().unwrap()), ..Limits::default() };
    let (mut records, mut refused) = (Vec::new(), Vec::new());
    let mut file = fs::File::open(path).unwrap();
    let kind = recognise_feed(&mut file, &limits).unwrap();
    let kind = kind.unwrap_or_else(|| panic!("{} was not recognised", path.display()));
    let report = read_feed(kind, file, &path.display().to_string(), &limits, &mut |outcome| {
        match outcome {
            Ok(record) => records.push(record),
            Err(error) => refused.push(error),
        }
        ControlFlow::Continue(())
    });
    (kind, records, refused, report.unwrap())
}

fn advisories(records: Vec<FeedRecord>) -> Vec<Advisory> {
    let advisory = |record| match record {
        FeedRecord::Advisory(advisory) => *advisory,
        other => panic!("{other:?} is not an advisory"),
    };
    records.into_iter().map(advisory).collect()
}

#[test]
fn csaf_documents_of_two_vendors_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("advisories/csaf")) else { return };
    let (mut read, mut withdrawn, mut with_fixes, mut spared) = (0, 0, 0, 0);
    for file in files(&folder) {
        let (kind, records, refused, report) = read_any(&file);
        assert_eq!((kind, refused.len()), (FeedKind::Csaf, 0), "{}: {refused:?}", file.display());
        for advisory in advisories(records) {
            read += 1;
            withdrawn += report.withdrawn;
            with_fixes += usize::from(advisory.affected.iter().any(|one| one.fixed.is_some()));
            spared += usize::from(!advisory.not_affected.is_empty());
        }
    }
    assert_eq!((read, withdrawn, with_fixes, spared), (52, 3, 19, 6));
}

#[test]
fn updateinfo_of_rebuilds_is_read() {
    let Some(folder) = folder().map(|folder| folder.join("advisories/updateinfo")) else { return };
    for file in files(&folder) {
        let (kind, records, refused, report) = read_any(&file);
        assert_eq!((kind, refused.len(), report.warning_count), (FeedKind::UpdateInfo, 0, 0), "{report:?}");
        for advisory in advisories(records) {
            assert!(!advisory.affected.is_empty());
        }
    }
}

#[test]
fn tables_of_debian_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("advisories")) else { return };
    for (file, count) in [("bookworm-security-sources.tsv", 627), ("debian12-security-changelog.tsv", 77)] {
        let (kind, records, refused, report) = read_any(&folder.join(file));
        assert_eq!((kind, refused.len(), report.warning_count), (FeedKind::DebianTable, 0, 0), "{refused:?}");
        assert_eq!(records.len(), count, "{file}");
    }
}
