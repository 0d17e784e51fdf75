use domain::compliance::NoFix;

use std::ops::ControlFlow;

use super::*;
use crate::advisory::Advisory;
use crate::feed::{FeedError, Limits, ReadReport, RecordError};
use crate::severity::Severity;

type Met = Vec<Result<Advisory, RecordError>>;

macro_rules! read_all {
    ($reader:path, $text:expr) => {{
        let mut met: Met = Vec::new();
        let report: Result<ReadReport, FeedError> =
            $reader($text.as_bytes(), &Limits::default(), &mut |outcome| {
                met.push(outcome);
                ControlFlow::Continue(())
            });
        (report, met)
    }};
}

fn fixes(advisory: &Advisory) -> Vec<String> {
    let told =
        |one: &AffectedPackage| format!("{} {} {}", one.os, one.package, one.fixed.as_deref().unwrap_or("-"));
    advisory.affected.iter().map(told).collect()
}

#[test]
fn notices_are_read_from_the_list() {
    let text = "[05 Sep 2026] DSA-9001-1 examplepkg - security update\n\
        \t{CVE-2026-90001 CVE-2026-90002}\n\
        \t[bookworm] - examplepkg 1.2-3+deb12u1\n\
        \t[trixie] - examplepkg 1.3-1~deb13u1\n\
        \t[sid] - examplepkg 2\n\
        \t[bullseye] - examplepkg <not-affected>\n\
        \t[buster] - examplepkg <end-of-life>\n\
        \tNOTE: something\n\
        nonsense\n\
        [31 Feb 2026] DSA-9002-1 other - x\n\
        [06 Sep 2026] DLA-9003-1 other - security update\n\
        \t[bullseye] - other 1.0-\n";
    let (report, met) = read_all!(read_lists, text);
    let report = report.unwrap();
    assert_eq!((report.read, report.accepted, report.refused), (4, 2, 2));
    let first = met[0].as_ref().unwrap();
    assert_eq!((first.id.as_str(), first.source.as_str(), first.cves.len()), ("DSA-9001-1", "debian", 2));
    assert_eq!(first.published.to_rfc3339(), "2026-09-05T00:00:00+00:00");
    assert_eq!(
        fixes(first),
        [
            "debian:12 examplepkg 1.2-3+deb12u1",
            "debian:13 examplepkg 1.3-1~deb13u1",
            "debian:10 examplepkg -"
        ]
    );
    assert_eq!(first.affected[2].no_fix, Some(NoFix::EndOfLife));
    assert_eq!(first.not_affected[0].os.to_string(), "debian:11");
    assert!(met[1].as_ref().unwrap_err().to_string().contains("is not the head of a notice"));
    assert_eq!(report.warnings.len(), 2, "sid, and a version that is none: {:?}", report.warnings);
}

#[test]
fn newest_versions_are_read_from_the_index_of_sources() {
    let text = "Package: aom\nBinary: libaom3\nVersion: 3.6.0-1+deb12u3\nDirectory: pool/a\n\n\
        Package: apt\nVersion: 2.6.2\n\nPackage: broken\nVersion: 1.0-\n\nVersion: 1\n\n\nPackage: last\nVersion: 1-1+deb12u1";
    let (report, met) = read_all!(read_sources, text);
    let report = report.unwrap();
    assert_eq!((report.read, report.accepted, report.refused), (5, 3, 2));
    let first = met[0].as_ref().unwrap();
    assert_eq!(first.id, "DEBIAN-SECURITY-12-aom-3.6.0-1__deb12u3");
    assert_eq!(fixes(first), ["debian:12 aom 3.6.0-1+deb12u3"]);
    assert_eq!(fixes(met[1].as_ref().unwrap()), ["debian:12 apt 2.6.2"]);
    assert!(read_all!(read_sources, "Package: apt\nVersion: 2.6.2\n").0.is_err());
}

#[test]
fn tables_contain_the_same_notice() {
    let newest = "#source\tlatest_version_in_bookworm_security\tbinaries\naom\t3.6.0-1+deb12u3\taom-tools\nbad name\t1\t\n";
    let (report, met) = read_all!(read_table, newest);
    assert_eq!((report.as_ref().unwrap().accepted, report.unwrap().refused), (1, 1));
    let changelog = "#source\tversion\tdistribution\turgency\tdate\tcves   (a remark)\n\
        aom\t3.6.0-1+deb12u3\tbookworm-security\tmedium\tSat, 05 Sep 2026 19:08:11 +0200\tCVE-2026-90001 CVE-2026-90002\n\
        aom\t3.6.0-1+deb12u2\tbookworm\tmedium\tSat, 31 May 2025 20:29:11 -0400\t\n\
        apt\t2.6.2\tskipped-large-or-native\n\
        x\t1\tbookworm-security\tmedium\tlater\t\n";
    let (report, told) = read_all!(read_table, changelog);
    assert_eq!((report.as_ref().unwrap().accepted, report.unwrap().refused), (1, 1));
    let mut whole = met[0].clone().unwrap();
    let dated = told[0].clone().unwrap();
    assert_eq!((whole.id.as_str(), dated.cves.len()), (dated.id.as_str(), 2));
    let (published, modified) = (dated.published, dated.modified);
    for read_at in [published - chrono::TimeDelta::days(1), published + chrono::TimeDelta::days(1)] {
        (whole.published, whole.modified) = (read_at, read_at);
        let (mut first, mut last) = (whole.clone(), dated.clone());
        first.absorb(dated.clone());
        last.absorb(whole.clone());
        for merged in [first, last] {
            assert_eq!((merged.published, merged.modified, merged.is_undated), (published, modified, false));
        }
    }
    whole.absorb(dated);
    assert_eq!((whole.cves.len(), fixes(&whole).len()), (2, 1));
    assert!(read_all!(read_table, "#source\tx\n").0.is_err());
}

#[test]
fn tracker_is_read_source_by_source() {
    let text = r#"{"aom":{"CVE-2026-90001":{"description":"A hole.","scope":"local","releases":{
            "bookworm":{"status":"resolved","repositories":{"bookworm":"3.6.0-1"},"fixed_version":"3.6.0-1+deb12u3","urgency":"high**"},
            "bullseye":{"status":"open","urgency":"not yet assigned","nodsa":"Minor issue","nodsa_reason":"ignored"},
            "buster":{"status":"undetermined","urgency":"unimportant"},
            "trixie":{"status":"resolved","fixed_version":"0","urgency":"unimportant"},
            "sid":{"status":"resolved","fixed_version":"3.7","urgency":"low"}}},
          "TEMP-1-2":{"releases":{}},"x":{"releases":{}},"CVE-2026-90002":17},
        "bad name":{}, "list":[]}"#;
    let (report, met) = read_all!(read_tracker, text);
    let report = report.unwrap();
    assert_eq!((report.read, report.accepted, report.refused), (5, 1, 4));
    let issue = met.iter().find_map(|one| one.as_ref().ok()).unwrap();
    assert_eq!((issue.id.as_str(), issue.severity), ("DEBIAN-CVE-2026-90001", Severity::High));
    assert_eq!(fixes(issue), ["debian:12 aom 3.6.0-1+deb12u3", "debian:11 aom -", "debian:10 aom -"]);
    let said: Vec<_> = issue.affected.iter().map(|one| one.no_fix).collect();
    assert_eq!(said, [None, Some(NoFix::NotPlanned), Some(NoFix::UnderInvestigation)]);
    assert_eq!(issue.not_affected[0].os.to_string(), "debian:13");
    assert!(read_all!(read_tracker, r#"{"aom":{"CVE-2026-90001":"#).0.is_err());
}
