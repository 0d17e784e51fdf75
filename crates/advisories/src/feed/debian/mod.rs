//! Debian's data about fixes in its sources, in the formats that it publishes:
//!
//! - the security tracker's `data/json`: every CVE of every source, with the fixed version in each release;
//! - its `DSA/list` and `DLA/list`: the notices, with dates;
//! - the `Sources` index of a security suite: the newest version of each source there, which includes all earlier fixes;
//! - tables of the same data, tab-separated, with or without the CVEs from the changelogs.

mod lists;
mod sources;
mod tables;
mod tracker;

#[cfg(test)]
mod tests;

use std::io::BufRead;

use domain::compliance::NoFix;

use crate::advisory::{AffectedPackage, PackageKind};
use crate::os::{Distribution, OsRelease};

pub use lists::read as read_lists;
pub use sources::read as read_sources;
pub use tables::read as read_table;
pub use tracker::read as read_tracker;

/// Code names of releases; newer ones have no advisories yet.
const CODE_NAMES: [(&str, &str); 16] = [
    ("woody", "3.0"),
    ("sarge", "3.1"),
    ("etch", "4"),
    ("lenny", "5"),
    ("squeeze", "6"),
    ("wheezy", "7"),
    ("jessie", "8"),
    ("stretch", "9"),
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("duke", "15"),
    ("potato", "2.2"),
    ("slink", "2.1"),
];

/// `bookworm`, `bookworm-security` and `12` are release 12. `sid` is not a release: it has no advisories.
fn release(suite: &str) -> Option<OsRelease> {
    let name = suite.split('-').next().unwrap_or(suite);
    let number = CODE_NAMES.iter().find(|(code, _)| *code == name).map(|(_, number)| *number);
    let is_number = name.starts_with(|c: char| c.is_ascii_digit());
    OsRelease::new(Distribution::Debian, number.or(is_number.then_some(name))?).ok()
}

/// The release a version was made for: `3.6.0-1+deb12u3` and `1.22.1~deb12u1` for 12.
fn release_of_version(version: &str) -> Option<OsRelease> {
    let (_, rest) = version.rsplit_once("deb")?;
    let (number, _) = rest.split_once('u')?;
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| OsRelease::new(Distribution::Debian, number).ok())?
}

fn source_fix(os: OsRelease, source: &str, fixed: Result<&str, NoFix>) -> AffectedPackage {
    AffectedPackage {
        os,
        package: source.to_owned(),
        package_kind: PackageKind::Source,
        introduced: None,
        fixed: fixed.ok().map(str::to_owned),
        arch: None,
        modules: Vec::new(),
        no_fix: fixed.err(),
        last_affected: None,
    }
}

/// Lines of bounded length with their numbers; an unreadable line is an error.
struct TextLines<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> TextLines<R> {
    const LINE_BYTES: u64 = 256 * 1024;

    fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), number: 0 }
    }

    fn next(&mut self) -> Result<Option<Result<&str, &'static str>>, super::FeedError> {
        use super::lines::{Line, read_line};
        self.number += 1;
        let line = read_line(&mut self.source, &mut self.buffer, Self::LINE_BYTES);
        Ok(match line.map_err(super::FeedError::Input)? {
            Line::End => None,
            Line::TooLong => Some(Err("it is too long")),
            Line::Text => {
                Some(match std::str::from_utf8(super::content::without_byte_order_mark(&self.buffer)) {
                    Ok(text) if text.contains('\0') => Err("it contains a NUL character"),
                    Ok(text) => Ok(text.trim_end()),
                    Err(_) => Err("it is not UTF-8"),
                })
            }
        })
    }
}
