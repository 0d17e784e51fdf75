use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;
use crate::feed::FeedError;
use crate::severity::Severity;

fn record(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-03-10T00:00:00Z","published":"2026-03-10T00:00:00Z","summary":"Important: nodejs:20 security update","related":["CVE-2026-90001"],"affected":[{{"package":{{"ecosystem":"AlmaLinux:9","name":"nodejs"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"1:20.1-1.module_el9.4.0+1+aa"}}]}}]}}]}}"#
    )
}

fn text(input: &[u8]) -> (ReadReport, Vec<Result<Advisory, RecordError>>) {
    let mut met = Vec::new();
    let report = read_text(input, "feed", &Limits::default(), &mut |outcome| {
        met.push(outcome);
        ControlFlow::Continue(())
    });
    (report.unwrap(), met)
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn unpack(
    bytes: &[u8],
    limits: &Limits,
) -> Result<(ReadReport, Vec<Result<Advisory, RecordError>>), FeedError> {
    let mut met = Vec::new();
    let report = read_archive(Cursor::new(bytes), limits, &mut |outcome| {
        met.push(outcome);
        ControlFlow::Continue(())
    })?;
    Ok((report, met))
}

#[test]
fn record_becomes_an_advisory() {
    let converted = parse_record(record("ALSA-2026:1").as_bytes(), "x", &Limits::default()).unwrap();
    let advisory = converted.advisory;
    assert_eq!((advisory.source.as_str(), advisory.severity), ("almalinux", Severity::High));
    assert_eq!(advisory.cves, ["CVE-2026-90001"]);
    let package = &advisory.affected[0];
    assert_eq!((package.os.to_string().as_str(), package.introduced.as_deref()), ("almalinux:9", None));
    assert_eq!(package.modules[0].to_string(), "nodejs:20");
    assert!(converted.warnings.is_empty());
}

#[test]
fn bad_lines_do_not_lose_the_others() {
    let lines =
        [record("A-1"), "{\"id\":".into(), "null".into(), String::new(), record("A-2"), "\u{0}".into()];
    let (report, met) = text(lines.join("\n").as_bytes());
    assert_eq!((report.read, report.accepted, report.refused), (5, 2, 3));
    assert_eq!(met[1].as_ref().unwrap_err().name, "feed:2");
    assert_eq!(met[3].as_ref().unwrap().id, "A-2");
}

#[test]
fn damaged_first_line_does_not_lose_the_second() {
    let (report, _) = text(format!("{}\n{}\n", &record("A-1")[..90], record("A-2")).as_bytes());
    assert_eq!((report.accepted, report.refused), (1, 1));
}

#[test]
fn record_over_many_lines_is_one_record() {
    let value: serde_json::Value = serde_json::from_str(&record("A-1")).unwrap();
    let pretty = format!("\u{FEFF}{}\n\n", serde_json::to_string_pretty(&value).unwrap());
    let (report, met) = text(pretty.as_bytes());
    assert_eq!((report.read, report.accepted), (1, 1), "{met:?}");
    let (report, _) = text(&pretty.as_bytes()[..200]);
    assert_eq!((report.read, report.refused), (1, 1));
}

#[test]
fn reading_stops_when_asked() {
    let input = [record("A-1"), record("A-2"), record("A-3")].join("\n");
    let report =
        read_text(input.as_bytes(), "x", &Limits::default(), &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!((report.read, report.stopped), (1, true));
}

#[test]
fn odd_parts_are_kept_with_a_warning() {
    let odd = record("A-1")
        .replace("AlmaLinux:9", "Plan 9:4")
        .replace("security update", "security \\u0000 update")
        .replace(
            "\"related\"",
            "\"severity\":[{\"type\":\"CVSS_V3\",\"score\":\"CVSS:3.1/AV:X\"}],\"related\"",
        );
    let limits = Limits { now: Some("2026-01-01T00:00:00Z".parse().unwrap()), ..Limits::default() };
    let converted = parse_record(odd.as_bytes(), "x", &limits).unwrap();
    assert_eq!(converted.warnings.len(), 4, "{:?}", converted.warnings);
    assert!(converted.advisory.affected.is_empty());
    assert!(!converted.advisory.summary.contains('\0'));
}

#[test]
fn hostile_records_are_refused_with_a_reason() {
    let deep = format!("{{\"id\":\"A\",\"modified\":\"x\",\"affected\":{}", "[".repeat(1_000_000));
    let many = format!(
        "{{\"id\":\"A-1\",\"modified\":\"2026-01-01T00:00:00Z\",\"severity\":[{}]}}",
        vec!["{\"type\":\"a\",\"score\":\"b\"}"; 101].join(",")
    );
    let cases: Vec<Vec<u8>> = vec![
        deep.into_bytes(),
        many.into_bytes(),
        vec![b'{'; 100_000],
        record("A\\u0000").into_bytes(),
        record("").into_bytes(),
        record(&"A".repeat(300)).into_bytes(),
        record("A-1").replace("2026-03-10T00:00:00Z", "2026-13-45").into_bytes(),
        record("A-1").replace("\"affected\":[", "\"affected\":[17,").into_bytes(),
        record("A-1").replace("{\"introduced\":\"0\"}", "{}").into_bytes(),
        b"{\"id\":\"A\",\"modified\":\"\xFF\xFE\"}".to_vec(),
        b"[]".to_vec(),
    ];
    for case in cases {
        let shown = String::from_utf8_lossy(&case[..case.len().min(120)]).into_owned();
        let error = parse_record(&case, "x", &Limits::default()).expect_err(&shown);
        assert!(!error.reason.is_empty());
    }
}

#[test]
fn free_text_nested_deeply_in_skipped_parts_is_harmless() {
    let nested = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let input = record("A-1")
        .replace("\"related\"", &format!("\"unknown\":{nested},\"database_specific\":{nested},\"related\""));
    assert!(parse_record(input.as_bytes(), "x", &Limits::default()).is_ok());
}

#[test]
fn archive_entries_are_independent() {
    let good = record("A-1");
    let bytes = archive(&[
        ("a.json", good.as_bytes()),
        ("b.json", b"{"),
        ("readme.txt", b"x"),
        ("c.json", good.as_bytes()),
    ]);
    let (report, met) = unpack(&bytes, &Limits::default()).unwrap();
    assert_eq!((report.read, report.accepted, report.refused, report.warning_count), (3, 2, 1, 1));
    assert_eq!(met[1].as_ref().unwrap_err().name, "b.json");
}

#[test]
fn bombs_are_stopped() {
    let zeros = vec![b' '; 4 << 20];
    let small = Limits { record_bytes: 1 << 20, archive_floor_bytes: 3 << 20, ..Limits::default() };
    let (report, _) = unpack(&archive(&[("a.json", &zeros)]), &small).unwrap();
    assert_eq!(report.refused, 1);
    let many: Vec<(String, &[u8])> = (0..8).map(|number| (format!("{number}.json"), &zeros[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    assert!(matches!(unpack(&archive(&many), &small), Err(FeedError::UnpacksTooLarge { .. })));
    let few = Limits { archive_entries: 7, ..Limits::default() };
    assert!(matches!(unpack(&archive(&many), &few), Err(FeedError::TooManyEntries { .. })));
}

#[test]
fn damaged_archives_are_errors_or_refused_records() {
    let good = record("A-1");
    let bytes = archive(&[("a.json", good.as_bytes()), ("b.json", good.as_bytes())]);
    for end in 0..bytes.len() {
        let _ = unpack(&bytes[..end], &Limits::default());
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xFF;
        let _ = unpack(&damaged, &Limits::default());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_handled(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_text(&input[..], "x", &Limits::default(), &mut |_| ControlFlow::Continue(()));
        let _ = unpack(&input, &Limits::default());
        let _ = crate::feed::recognise(&input);
        let _ = crate::feed::kev::read(&input[..], &Limits::default(), &mut |_| {});
        let _ = crate::feed::epss::read(&input[..], &Limits::default(), &mut |_| {});
    }

    #[test]
    fn damaged_records_are_handled(at in 0usize..300, with in any::<u8>(), cut in 0usize..400) {
        let mut bytes = record("A-1").into_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        bytes.truncate(cut.max(1));
        let _ = read_text(&bytes[..], "x", &Limits::default(), &mut |_| ControlFlow::Continue(()));
    }
}

#[test]
fn last_affected_version_ends_a_range_without_a_fix() {
    let text = r#"{"id":"CVE-2026-90001","modified":"2026-01-06T09:00:00Z","upstream":["CVE-2026-90002"],"affected":[
        {"package":{"ecosystem":"Debian:12","name":"tool"},"ranges":[{"type":"ECOSYSTEM","events":[
            {"introduced":"1.0"},{"last_affected":"1.4-2"},{"introduced":"2.0"},{"fixed":"2.1-1"}]}]},
        {"package":{"ecosystem":"AlmaLinux:9","name":"tool"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.1-1.el9"}]}]},
        {"package":{"ecosystem":"npm","name":"tool"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"2"}]}]}]}"#;
    let read = parse_record(text.as_bytes(), "x", &Limits::default()).unwrap();
    let told: Vec<_> = read
        .advisory
        .affected
        .iter()
        .map(|one| {
            (
                one.os.to_string(),
                one.introduced.as_deref(),
                one.last_affected.as_deref(),
                one.fixed.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("debian:12".to_owned(), Some("1.0"), Some("1.4-2"), None),
            ("debian:12".to_owned(), Some("2.0"), None, Some("2.1-1")),
            ("almalinux:9".to_owned(), None, None, Some("2.1-1.el9")),
        ]
    );
    assert_eq!(read.advisory.cves, ["CVE-2026-90001", "CVE-2026-90002"]);
    assert_eq!(read.warnings, ["ecosystem `npm` is not known, its packages are not matched"]);
    let range = crate::advisory::AffectedRange { introduced: Some("1.0"), last_affected: Some("1.4-2") };
    for (version, expected) in
        [("0.9-1", false), ("1.0-1", true), ("1.4-2", true), ("1.4-3", false), ("-", true)]
    {
        assert_eq!(range.includes(crate::Packaging::Dpkg, version), expected, "{version}");
    }
}
