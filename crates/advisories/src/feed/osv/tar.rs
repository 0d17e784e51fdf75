//! A tar of many documents, read from beginning to end: SUSE's `csaf.tar.bz2`, Red Hat's archives of VEX.

use std::io::Read;

use crate::feed::{FeedError, Limits, ReadReport, RecordError};

use super::archive::{Entry, parse_entry};
use super::{Sink, deliver, hand_over};

/// Reads every `.json` entry. Only one is in memory at a time; the source itself limits what it unpacks to. Links and devices are
/// not followed: they are warned of.
pub fn read_tar(source: impl Read, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let mut archive = tar::Archive::new(source);
    let broken = |error: std::io::Error| FeedError::Archive(error.to_string());
    let mut report = ReadReport::default();
    let mut buffer = Vec::new();
    for (position, entry) in archive.entries().map_err(broken)?.enumerate() {
        if position == limits.archive_entries {
            return Err(FeedError::TooManyEntries { entries: position + 1, limit: limits.archive_entries });
        }
        let entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        match Entry::named(&name) {
            Entry::Record if kind.is_file() => {}
            Entry::Companion => continue,
            _ => {
                report.warn(limits, &name, "it is not a `.json` file and was skipped".to_owned());
                continue;
            }
        }
        buffer.clear();
        entry.take(limits.csaf_bytes + 1).read_to_end(&mut buffer).map_err(broken)?;
        let flow = if buffer.len() as u64 > limits.csaf_bytes {
            let reason = format!("it is larger than {} bytes", limits.csaf_bytes);
            hand_over(Err(RecordError::new(name, reason)), &mut report, sink)
        } else {
            deliver(parse_entry(&buffer, &name, limits), &name, limits, &mut report, sink)
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::ops::ControlFlow;

    use super::*;
    use crate::feed::{FeedKind, FeedRecord, read_feed, recognise_feed};

    fn tar_of(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read_all(bytes: &[u8]) -> (Option<FeedKind>, Result<ReadReport, FeedError>, Vec<String>) {
        let limits = Limits::default();
        let kind = recognise_feed(Cursor::new(bytes), &limits).unwrap();
        let mut ids = Vec::new();
        let report = read_feed(kind.unwrap(), Cursor::new(bytes), "x", &limits, &mut |record| {
            match record {
                Ok(FeedRecord::Advisory(advisory)) => ids.push(advisory.id),
                Ok(other) => panic!("{other:?}"),
                Err(error) => ids.push(error.to_string()),
            }
            ControlFlow::Continue(())
        });
        (kind, report, ids)
    }

    const CSAF: &str = r#"{"document":{"csaf_version":"2.0","tracking":{"id":"SUSE-SU-2026:1-1","initial_release_date":"2026-01-06T09:00:00Z"}}}"#;
    const OSV: &str = r#"{"id":"RLSA-2026:7","modified":"2026-01-06T09:00:00Z"}"#;

    #[test]
    fn tar_is_read_packed_or_not() {
        let tar = tar_of(&[
            ("csaf/a.json", CSAF),
            ("csaf/a.json.asc", "-----BEGIN"),
            ("csaf/a.json.sha256", "00"),
            ("changes.csv", "x"),
            ("csaf/b.json", "{"),
            ("picture.png", "x"),
            ("osv/c.json", OSV),
        ]);
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&tar).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        for bytes in [tar, bzip2.finish().unwrap(), gzip.finish().unwrap()] {
            let (kind, report, ids) = read_all(&bytes);
            let report = report.unwrap();
            assert_eq!(kind, Some(FeedKind::Tar));
            assert_eq!((report.read, report.accepted, report.refused), (3, 2, 1));
            assert_eq!(report.warning_count, 1, "{:?}", report.warnings);
            assert_eq!((ids[0].as_str(), ids[2].as_str()), ("SUSE-SU-2026:1-1", "RLSA-2026:7"));
            assert!(ids[1].starts_with("csaf/b.json:"), "{}", ids[1]);
        }
    }

    #[test]
    fn damaged_tar_keeps_what_was_read() {
        let tar = tar_of(&[("a.json", CSAF), ("b.json", OSV)]);
        let (_, report, ids) = read_all(&tar[..tar.len() - 1800]);
        assert!(report.is_err());
        assert_eq!(ids, ["SUSE-SU-2026:1-1"]);
    }
}
