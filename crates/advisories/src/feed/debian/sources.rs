//! The `Sources` index of a security suite. The newest version of a source there includes all earlier fixes, so a host
//! with a lower one lacks some.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::advisory::Advisory;
use crate::feed::osv::{Converted, Sink, deliver};
use crate::feed::text::{check_id, is_package_name, shown};
use crate::feed::{FeedError, Limits, ReadReport, RecordError};
use crate::os::OsRelease;
use crate::version::{Packaging, Version};

use super::{TextLines, release_of_version, source_fix};

/// The number of bytes of the index that are searched for its release.
const LOOKED_THROUGH: usize = 64 * 1024;

/// The index does not name its release, but its versions do: `...+deb12u3`.
pub fn read(mut source: impl BufRead, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let beginning = source.fill_buf().map_err(FeedError::Input)?;
    let beginning = String::from_utf8_lossy(&beginning[..beginning.len().min(LOOKED_THROUGH)]);
    let versions = beginning.lines().filter_map(|line| line.strip_prefix("Version:"));
    let os = most_frequent(versions.filter_map(release_of_version)).ok_or_else(|| {
        FeedError::Malformed(
            "the index of sources does not name its release: no version ends like `+deb12u1`".to_owned(),
        )
    })?;

    let mut report = ReadReport::default();
    let mut lines = TextLines::new(source);
    let mut entry = Entry::default();
    loop {
        let line = lines.next()?;
        let is_end = matches!(line, None | Some(Ok("")));
        let is_last = line.is_none();
        match line {
            Some(Ok(text)) if !is_end => entry.take(text),
            Some(Err(reason)) => entry.fault = Some(reason),
            _ => {}
        }
        if is_end && !entry.is_empty() {
            let name = entry.package.clone().unwrap_or_else(|| format!("line {}", lines.number));
            let complete = std::mem::take(&mut entry);
            let outcome =
                complete.convert(&os, limits).map_err(|reason| RecordError::new(name.as_str(), reason));
            if deliver(outcome, &name, limits, &mut report, sink).is_break() {
                return Ok(report);
            }
        }
        if is_last {
            return Ok(report);
        }
    }
}

pub(super) fn most_frequent(found: impl Iterator<Item = OsRelease>) -> Option<OsRelease> {
    let mut counts: BTreeMap<OsRelease, usize> = BTreeMap::new();
    for os in found {
        *counts.entry(os).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(os, _)| os)
}

#[derive(Default)]
struct Entry {
    package: Option<String>,
    version: Option<String>,
    fault: Option<&'static str>,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.package.is_none() && self.version.is_none() && self.fault.is_none()
    }

    fn take(&mut self, line: &str) {
        let value = |name: &str| line.strip_prefix(name).map(|value| value.trim().to_owned());
        if let Some(package) = value("Package:") {
            self.package = Some(package);
        } else if let Some(version) = value("Version:") {
            self.version = Some(version);
        }
    }

    fn convert(self, os: &OsRelease, limits: &Limits) -> Result<Converted, String> {
        if let Some(fault) = self.fault {
            return Err(format!("one of its lines cannot be read: {fault}"));
        }
        let package = self.package.ok_or("it has no `Package`")?;
        let version = self.version.ok_or("it has no `Version`")?;
        newest_in_suite(os, &package, &version, limits)
    }
}

/// The notice for a source's newest version in a security suite. Its time and reason are not known.
pub(super) fn newest_in_suite(
    os: &OsRelease,
    source: &str,
    version: &str,
    limits: &Limits,
) -> Result<Converted, String> {
    if !is_package_name(source) {
        return Err(format!("{:?} is not a package name", shown(source)));
    }
    Version::parse(Packaging::Dpkg, version).map_err(|error| error.to_string())?;
    let id = suite_id(os, source, version);
    check_id(&id)?;
    let read_at = limits.now.unwrap_or_default();
    let advisory = Advisory {
        source: "debian".to_owned(),
        summary: format!("security update of {source}"),
        affected: vec![source_fix(os.clone(), source, Ok(version))],
        is_part: true,
        is_undated: true,
        ..Advisory::new(id, read_at)
    };
    Ok(Converted { advisory, warnings: Vec::new() })
}

/// Debian has no id for it: the same version in the same suite is the same notice, whichever file it is from. Ids are parts
/// of URLs, so characters with a meaning there are replaced by an underscore, which no version contains.
fn suite_id(os: &OsRelease, source: &str, version: &str) -> String {
    let (source, version) = (source.replace('+', "__"), version.replace('~', "_").replace('+', "__"));
    format!("DEBIAN-SECURITY-{}-{source}-{version}", os.version())
}
