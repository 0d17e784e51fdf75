//! A zip of thousands of small files, read one after the other: the `all.zip` of an OSV ecosystem, or a vendor's folder of
//! CSAF documents.

use std::io::{Read, Seek, SeekFrom};

use zip::ZipArchive;

use crate::feed::{FeedError, FeedKind, Limits, ReadReport, RecordError, csaf, recognise};

use super::{Converted, Sink, deliver, hand_over, parse_record};

/// Reads every `.json` entry. Memory is bounded by one entry plus the archive's directory, and the bytes unpacked by
/// the archive's own size, so that neither a large entry nor a zip bomb can exhaust memory.
pub fn read_archive(
    mut source: impl Read + Seek,
    limits: &Limits,
    sink: Sink<'_>,
) -> Result<ReadReport, FeedError> {
    let packed = source.seek(SeekFrom::End(0)).map_err(FeedError::Input)?;
    source.rewind().map_err(FeedError::Input)?;
    let unpacked_limit = packed.saturating_mul(limits.archive_ratio).max(limits.archive_floor_bytes);
    let mut archive = ZipArchive::new(source).map_err(|error| FeedError::Archive(error.to_string()))?;
    if archive.len() > limits.archive_entries {
        return Err(FeedError::TooManyEntries { entries: archive.len(), limit: limits.archive_entries });
    }

    let mut report = ReadReport::default();
    let mut unpacked = 0;
    let mut buffer = Vec::new();
    for position in 0..archive.len() {
        let (name, outcome) = read_entry(&mut archive, position, limits, &mut buffer);
        unpacked += buffer.len() as u64;
        if unpacked > unpacked_limit {
            return Err(FeedError::UnpacksTooLarge { limit: unpacked_limit });
        }
        let flow = match outcome {
            Ok(Entry::Record) => {
                deliver(parse_entry(&buffer, &name, limits), &name, limits, &mut report, sink)
            }
            Ok(Entry::Folder | Entry::Companion) => continue,
            Ok(Entry::Other) => {
                report.warn(limits, &name, "it is not a `.json` file and was skipped".to_owned());
                continue;
            }
            Err(reason) => hand_over(Err(RecordError::new(name, reason)), &mut report, sink),
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(report)
}

pub(super) fn parse_entry(bytes: &[u8], name: &str, limits: &Limits) -> Result<Converted, RecordError> {
    match recognise(bytes) {
        Some(FeedKind::Csaf) => csaf::parse_document(bytes, name, limits),
        _ => parse_record(bytes, name, limits),
    }
}

pub(super) enum Entry {
    Record,
    Folder,
    /// What vendors put next to their documents: signatures, checksums, lists of files.
    Companion,
    Other,
}

impl Entry {
    /// What an entry of this name is.
    pub(super) fn named(name: &str) -> Self {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending {
            "json" => Self::Record,
            "asc" | "sig" | "sha256" | "sha512" | "csv" => Self::Companion,
            _ => Self::Other,
        }
    }
}

fn read_entry(
    archive: &mut ZipArchive<impl Read + Seek>,
    position: usize,
    limits: &Limits,
    buffer: &mut Vec<u8>,
) -> (String, Result<Entry, String>) {
    buffer.clear();
    let mut entry = match archive.by_index(position) {
        Ok(entry) => entry,
        Err(error) => return (format!("entry {position}"), Err(error.to_string())),
    };
    let name: String = entry.name().chars().filter(|c| !c.is_control()).take(200).collect();
    if entry.is_dir() {
        return (name, Ok(Entry::Folder));
    }
    match Entry::named(&name) {
        Entry::Record => {}
        other => return (name, Ok(other)),
    }
    // The size in the directory may be wrong, so the bytes themselves are counted.
    let outcome = match entry.by_ref().take(limits.record_bytes + 1).read_to_end(buffer) {
        Ok(_) if buffer.len() as u64 > limits.record_bytes => {
            Err(format!("it unpacks to more than {} bytes", limits.record_bytes))
        }
        Ok(_) => Ok(Entry::Record),
        Err(error) => Err(format!("it cannot be unpacked: {error}")),
    };
    (name, outcome)
}
