//! Readers of advisory feeds.
//!
//! Every reader works record by record with bounded memory and passes each record, or the reason why it was refused, to a
//! callback; one bad record never loses the others. A reader itself fails only if the whole input is unreadable.

mod any;
mod budget;
mod content;
mod limits;
pub(crate) mod lines;
pub(crate) mod list;
mod packed;
mod rating;
mod text;
mod vendor;

pub mod csaf;
pub mod debian;
pub mod epss;
pub mod kev;
pub mod nvd;
pub mod osv;
pub mod updateinfo;

pub use any::{FeedRecord, read_feed, recognise_feed};
pub(crate) use content::without_byte_order_mark;
pub use content::{FeedKind, PREFIX_BYTES, recognise};
pub use limits::Limits;
pub use packed::Packing;
pub use vendor::is_of;

/// A record that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct RecordError {
    /// Its place: file, archive entry or line number.
    pub name: String,
    pub reason: String,
}

impl RecordError {
    pub(crate) fn new(name: impl Into<String>, reason: impl ToString) -> Self {
        Self { name: name.into(), reason: reason.to_string() }
    }
}

/// A warning about an accepted record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub name: String,
    pub text: String,
}

/// The counts of a reader. `read` is always `accepted + refused`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    pub read: u64,
    pub accepted: u64,
    pub refused: u64,
    /// Accepted records that their vendor has withdrawn.
    pub withdrawn: u64,
    /// Accepted records that another one supersedes.
    pub superseded: u64,
    /// All warnings, also those beyond the kept ones.
    pub warning_count: u64,
    /// The first [`Limits::warnings_kept`] warnings.
    pub warnings: Vec<Warning>,
    /// The callback stopped the reading before the input ended.
    pub stopped: bool,
}

impl ReadReport {
    pub(crate) fn warn(&mut self, limits: &Limits, name: &str, text: String) {
        self.warning_count += 1;
        if self.warnings.len() < limits.warnings_kept {
            self.warnings.push(Warning { name: name.to_owned(), text });
        }
    }

    pub(crate) fn count<T>(&mut self, outcome: &Result<T, RecordError>) {
        self.read += 1;
        match outcome {
            Ok(_) => self.accepted += 1,
            Err(_) => self.refused += 1,
        }
    }
}

/// The input as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("cannot read the input")]
    Input(#[source] std::io::Error),
    #[error("cannot read the archive: {0}")]
    Archive(String),
    #[error("the input is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the archive unpacks to more than {limit} bytes, more than any real feed; the rest was not read")]
    UnpacksTooLarge { limit: u64 },
    #[error("the archive has {entries} entries, more than the {limit} that are read")]
    TooManyEntries { entries: usize, limit: usize },
    #[error("{0}")]
    Malformed(String),
}

/// A valid CVE id: `CVE-`, four digits of the year, and four to nineteen digits.
pub fn is_cve_id(text: &str) -> bool {
    let Some((year, number)) = text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    year.len() == 4 && (4..=19).contains(&number.len()) && digits(year) && digits(number)
}
