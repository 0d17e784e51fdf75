//! Limits that keep hostile input from costing more than real input.

use chrono::{DateTime, Utc};

#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest single record in bytes, unpacked. Real advisories stay below 5 MB.
    pub record_bytes: u64,
    /// Largest CSAF document, and largest entry of a source in Debian's tracker: kernels have by far the largest.
    pub csaf_bytes: u64,
    /// Largest file that is read as a whole (KEV).
    pub document_bytes: u64,
    /// Most entries of an archive; the largest ecosystems have some 60,000.
    pub archive_entries: usize,
    /// An archive may unpack to this many times its own size; JSON packs about ten to one.
    pub archive_ratio: u64,
    /// An archive may always unpack to this many bytes, so that small ones are not refused for their ratio.
    pub archive_floor_bytes: u64,
    /// Warnings kept in the report; all are counted.
    pub warnings_kept: usize,
    /// Records published after this instant are kept with a warning.
    pub now: Option<DateTime<Utc>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 16 << 20,
            csaf_bytes: 32 << 20,
            document_bytes: 64 << 20,
            archive_entries: 500_000,
            archive_ratio: 100,
            archive_floor_bytes: 64 << 20,
            warnings_kept: 1000,
            now: None,
        }
    }
}
