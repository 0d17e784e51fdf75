//! Every reader against hostile inputs: the project's own samples, changed in thousands of reproducible ways. No input may
//! make a reader panic, run long, or count wrongly; and the store must be able to keep what a reader accepts.
//!
//! `PATCH_FUZZ_ROUNDS` sets the number of changed inputs per sample; the default is 400.

use std::fs;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use advisories::feed::{FeedError, FeedRecord, Limits, ReadReport, read_feed, recognise_feed};
use advisories::inventory::{InventoryFormat, read_inventory};
use advisories::{Advisory, Index, Version, match_host};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::shared::files;

/// SplitMix64: the same inputs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Fragments that have broken other readers.
const WORDS: [&[u8]; 34] = [
    b"\0",
    b"\\u0000",
    b"\xFF\xFE",
    b"\xEF\xBB\xBF",
    b"\xED\xA0\x80",
    b"\\ud800",
    b"null",
    b"[[[[[[[[",
    b"{\"a\":",
    b"]]]",
    b"}}}",
    b"1e999",
    b"-1",
    b"99999999999999999999",
    b"9999-12-31T23:59:59Z",
    b"0000-00-00",
    b"\"\"",
    b"<!DOCTYPE x [<!ENTITY a \"b\">]>",
    b"&a;",
    b"&#0;",
    b"<![CDATA[",
    b"]]>",
    b"<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
    b"pkg:rpm/%00@%",
    b"cpe:/::::",
    b":",
    b"-",
    b"1:",
    b"~~^^",
    b"\n",
    b"\t",
    b"CVE-2026-1",
    b"../../..",
    b"\x1b[2J",
];

fn change(input: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut output = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(output.len() + 1);
        let end = (at + 1 + random.below(64)).min(output.len());
        match random.below(10) {
            0 if at < output.len() => output[at] ^= 1 << random.below(8),
            1 => output.truncate(at),
            2 => drop(output.drain(at..end)),
            3 => {
                let part = output[at..end].to_vec();
                let copies = part.repeat(1 + random.below(200));
                output.splice(at..at, copies);
            }
            4 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len());
                let to = (from + random.below(400)).min(other.len());
                output.splice(at..at, other[from..to].iter().copied());
            }
            5 => drop(output.splice(at..end, WORDS[random.below(WORDS.len())].repeat(1 + random.below(300)))),
            6 => {
                // A line twice: ids that come again with other content.
                let line =
                    output.split(|byte| *byte == b'\n').nth(random.below(20)).unwrap_or_default().to_vec();
                output.extend_from_slice(b"\n");
                output.extend(line);
            }
            7 if at < output.len() => output[at] = random.next().to_le_bytes()[0],
            8 => {
                // A digit somewhere else: other versions, dates and numbers.
                if let Some(digit) = output[at..].iter().position(u8::is_ascii_digit) {
                    output[at + digit] = b"0123456789~:-."[random.below(14)];
                }
            }
            _ => drop(output.splice(at..at, WORDS[random.below(WORDS.len())].to_vec())),
        }
    }
    output.truncate(1 << 20);
    output
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../seeds/feeds")
}

fn rounds() -> usize {
    std::env::var("PATCH_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

fn limits() -> Limits {
    Limits {
        record_bytes: 64 << 10,
        csaf_bytes: 256 << 10,
        document_bytes: 256 << 10,
        archive_floor_bytes: 1 << 20,
        warnings_kept: 20,
        now: Some("2026-06-01T00:00:00Z".parse().unwrap()),
        ..Limits::default()
    }
}

/// Reads any feed; `None` if it is not a feed.
fn read(input: &[u8]) -> Option<(Vec<FeedRecord>, Result<ReadReport, FeedError>)> {
    let limits = limits();
    let kind = recognise_feed(Cursor::new(input), &limits).unwrap()?;
    let (mut records, mut refused) = (Vec::new(), 0);
    let report = read_feed(kind, Cursor::new(input), "x", &limits, &mut |outcome| {
        match outcome {
            Ok(record) => records.push(record),
            Err(error) => {
                refused += 1;
                assert!(!error.reason.is_empty());
            }
        }
        ControlFlow::Continue(())
    });
    if let Ok(report) = &report {
        assert_eq!((report.accepted, report.refused), (records.len() as u64, refused), "{kind:?}");
        assert_eq!(report.read, report.accepted + report.refused);
        assert!(report.warnings.len() <= limits.warnings_kept);
    }
    Some((records, report))
}

/// The properties that the store relies on.
fn check(record: &FeedRecord) {
    let value = match record {
        FeedRecord::Advisory(advisory) => {
            check_advisory(advisory);
            serde_json::to_value(advisory)
        }
        FeedRecord::Exploited(entry) => serde_json::to_value(entry),
        FeedRecord::Prediction(entry) => serde_json::to_value(entry),
        FeedRecord::Note(note) => serde_json::to_value(note),
    };
    check_texts(&value.unwrap());
}

fn check_texts(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.contains('\0'), "NUL cannot be stored: {text:?}"),
        Value::Array(items) => items.iter().for_each(check_texts),
        Value::Object(fields) => fields.values().for_each(check_texts),
        _ => {}
    }
}

fn check_advisory(advisory: &Advisory) {
    assert!(!advisory.id.trim().is_empty() && advisory.id.len() <= 300, "{:?}", advisory.id);
    assert!(!advisory.id.chars().any(char::is_control), "{:?}", advisory.id);
    let again: Advisory = serde_json::from_str(&serde_json::to_string(advisory).unwrap()).unwrap();
    assert_eq!(again, *advisory, "what is stored is what was read");
    for affected in &advisory.affected {
        assert!(!affected.package.is_empty());
        for version in [&affected.introduced, &affected.fixed].into_iter().flatten() {
            assert!(Version::parse(affected.os.packaging(), version).is_ok(), "{version:?}");
        }
    }
}

fn feeds() -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(&samples()).into_iter().filter(|file| file.parent() == Some(&samples()));
    let files = files.filter(|file| file.extension().is_none_or(|ending| ending != "md"));
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(entries: &[&[u8]]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (number, entry) in entries.iter().enumerate() {
        archive.start_file(format!("{number}.json"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(entry).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn tar(entries: &[&[u8]]) -> Vec<u8> {
    let mut archive = tar::Builder::new(bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast()));
    for (number, entry) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.len() as u64);
        archive.append_data(&mut header, format!("{number}.json"), *entry).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn samples_of_every_format_are_read_whole() {
    let mut kinds = std::collections::BTreeSet::new();
    for (file, content) in feeds() {
        kinds.insert(recognise_feed(Cursor::new(&content), &limits()).unwrap().unwrap().as_str());
        let (records, report) = read(&content).unwrap();
        let report = report.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!((report.refused, report.warning_count), (0, 0), "{}: {report:?}", file.display());
        assert!(!records.is_empty(), "{}", file.display());
        records.iter().for_each(check);
        let (packed, _) = read(&gzip(&content)).unwrap();
        assert_eq!(packed, records, "{} reads the same when it is packed", file.display());
    }
    assert_eq!(kinds.len(), 11, "every format but the archives has a sample: {kinds:?}");
}

#[test]
fn changed_feeds_break_no_reader() {
    let feeds = feeds();
    let contents: Vec<Vec<u8>> = feeds.iter().map(|(_, content)| content.clone()).collect();
    let mut random = Random(0x70_61_74_63_68);
    let (mut read_at_all, mut accepted) = (0, 0);
    for (_, content) in &feeds {
        for _ in 0..rounds() {
            if let Some((records, _)) = read(&change(content, &contents, &mut random)) {
                read_at_all += 1;
                accepted += records.len();
                records.iter().for_each(check);
            }
        }
    }
    assert!(read_at_all > 0 && accepted > 0);
}

#[test]
fn changed_packings_break_no_reader() {
    let feeds = feeds();
    let jsons: Vec<&[u8]> =
        feeds.iter().filter(|(_, text)| text.starts_with(b"{")).map(|(_, text)| &text[..]).collect();
    let packed: Vec<Vec<u8>> =
        feeds.iter().map(|(_, text)| gzip(text)).chain([zip(&jsons), tar(&jsons)]).collect();
    let mut random = Random(0x70_61_63_6B);
    for content in &packed {
        for _ in 0..rounds() / 2 {
            if let Some((records, _)) = read(&change(content, &packed, &mut random)) {
                records.iter().for_each(check);
            }
        }
    }
}

const FORMATS: [InventoryFormat; 6] = [
    InventoryFormat::Tsv,
    InventoryFormat::CycloneDx,
    InventoryFormat::CycloneDxXml,
    InventoryFormat::Spdx,
    InventoryFormat::SpdxTagValue,
    InventoryFormat::Spdx3,
];

#[test]
fn changed_inventories_break_no_reader() {
    let contents: Vec<Vec<u8>> =
        files(&samples().join("inventories")).into_iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(contents.len(), 7);
    let advisories = feeds().into_iter().filter_map(|(_, text)| read(&text)).flat_map(|(records, _)| records);
    let advisories = advisories.filter_map(|record| match record {
        FeedRecord::Advisory(advisory) => Some(*advisory),
        _ => None,
    });
    let index = Index::new(advisories);
    let releases = ["almalinux:9".parse().unwrap(), "debian:12".parse().unwrap()];
    let mut random = Random(0x69_6E_76);
    for content in &contents {
        for _ in 0..rounds() {
            let changed = change(content, &contents, &mut random);
            for format in FORMATS {
                for os in &releases {
                    let Ok(read) = read_inventory(&changed, format, Some(os)) else { continue };
                    let facts = advisories::HostFacts::new(os.clone());
                    let inventory =
                        advisories::Inventory { facts, packages: read.packages, unread: Vec::new() };
                    for package in &inventory.packages {
                        assert!(Version::parse(os.packaging(), &package.version).is_ok(), "{package:?}");
                    }
                    for found in match_host(&index, &inventory) {
                        assert!(found.explain().contains(&found.advisory.id));
                    }
                }
            }
        }
    }
}
