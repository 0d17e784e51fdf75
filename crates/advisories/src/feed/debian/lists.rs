//! `DSA/list` and `DLA/list` of the security tracker:
//!
//! ```text
//! [05 Sep 2026] DSA-9001-1 examplepkg - security update
//!     {CVE-2026-90001 CVE-2026-90002}
//!     [bookworm] - examplepkg 1.2-3+deb12u1
//! ```

use std::io::BufRead;

use chrono::{DateTime, NaiveDate, Utc};

use domain::compliance::NoFix;

use crate::advisory::{Advisory, NotAffected};
use crate::feed::osv::{Converted, Sink, deliver};
use crate::feed::text::{check_id, cves_in, is_package_name, shown, warn_of_future};
use crate::feed::vendor::source_and_kind;
use crate::feed::{FeedError, Limits, ReadReport, RecordError};
use crate::version::{Packaging, Version};

use super::{TextLines, release, source_fix};

/// Lines of one notice; real ones have a dozen.
const MAX_LINES: usize = 10_000;

pub fn read(source: impl BufRead, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let mut report = ReadReport::default();
    let mut lines = TextLines::new(source);
    let mut notice: Option<Notice> = None;
    loop {
        let line = lines.next()?.map(|line| line.map(str::to_owned));
        let number = lines.number;
        let is_new =
            matches!(&line, None | Some(Ok(_))) && !matches!(&line, Some(Ok(text)) if is_inner(text));
        if is_new && let Some(complete) = notice.take() {
            let name = complete.name.clone();
            let outcome = complete.convert(limits).map_err(|reason| RecordError::new(name.as_str(), reason));
            if deliver(outcome, &name, limits, &mut report, sink).is_break() {
                return Ok(report);
            }
        }
        match line {
            None => return Ok(report),
            Some(Ok(text)) if text.is_empty() => {}
            Some(Ok(text)) if !is_inner(&text) => notice = Some(Notice::new(number, text)),
            // A line without a head above it belongs to nothing.
            Some(text) => {
                if let Some(notice) = &mut notice {
                    notice.inner.push(text.map_err(|reason| format!("line {number}: {reason}")));
                    notice.inner.truncate(MAX_LINES);
                }
            }
        }
    }
}

fn is_inner(text: &str) -> bool {
    text.starts_with([' ', '\t'])
}

struct Notice {
    name: String,
    head: String,
    inner: Vec<Result<String, String>>,
}

impl Notice {
    fn new(number: u64, head: String) -> Self {
        let id = head.split_once(']').and_then(|(_, rest)| rest.split_whitespace().next());
        let name =
            id.filter(|id| check_id(id).is_ok()).map_or_else(|| format!("line {number}"), str::to_owned);
        Self { name, head, inner: Vec::new() }
    }

    fn convert(self, limits: &Limits) -> Result<Converted, String> {
        let (published, id, summary) = head(&self.head).ok_or_else(|| {
            format!(
                "{:?} is not the head of a notice, write it as `[05 Sep 2026] DSA-1-1 package - text`",
                shown(&self.head)
            )
        })?;
        let mut warnings = Vec::new();
        warn_of_future(published, published, limits, &mut warnings);
        let (source, kind) = source_and_kind(id);
        let mut advisory =
            Advisory { source, kind, summary: summary.to_owned(), ..Advisory::new(id.to_owned(), published) };
        for line in self.inner {
            match line {
                Err(reason) => warnings.push(reason),
                Ok(line) => read_inner(line.trim(), &mut advisory, &mut warnings),
            }
        }
        Ok(Converted { advisory, warnings })
    }
}

/// Day, id and text.
fn head(text: &str) -> Option<(DateTime<Utc>, &str, &str)> {
    let (date, rest) = text.strip_prefix('[')?.split_once(']')?;
    let day = NaiveDate::parse_from_str(date.trim(), "%d %b %Y").ok()?.and_hms_opt(0, 0, 0)?;
    let (id, summary) = rest.trim().split_once(' ')?;
    let is_notice = ["DSA-", "DLA-", "DTSA-", "ELA-"].iter().any(|prefix| id.starts_with(prefix));
    (is_notice && check_id(id).is_ok()).then(|| (day.and_utc(), id, summary.trim()))
}

fn read_inner(line: &str, advisory: &mut Advisory, warnings: &mut Vec<String>) {
    if line.starts_with('{') {
        advisory.cves.extend(cves_in(line));
        advisory.cves.sort_unstable();
        advisory.cves.dedup();
        return;
    }
    let Some((suite, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return };
    let Some(rest) = rest.trim().strip_prefix("- ") else { return };
    let mut words = rest.split_whitespace();
    let (Some(package), fixed) = (words.next(), words.next()) else { return };
    let Some(os) = release(suite) else {
        return warnings.push(format!("`{}` is not a known release, its fix is not matched", shown(suite)));
    };
    if !is_package_name(package) {
        return;
    }
    let fixed = match fixed {
        Some("<not-affected>") => {
            let package = package.to_owned();
            return advisory.not_affected.push(NotAffected { os, package, version: None, reason: None });
        }
        Some(mark) if mark.starts_with('<') => Err(no_fix(mark)),
        Some(fixed) => Ok(fixed),
        None => Err(NoFix::Open),
    };
    if let Ok(Err(error)) = fixed.map(|fixed| Version::parse(Packaging::Dpkg, fixed)) {
        return warnings.push(format!("{error}; this fix of `{package}` is not matched"));
    }
    advisory.affected.push(source_fix(os, package, fixed));
}

/// The tracker's marks for a release without a fixed version.
fn no_fix(mark: &str) -> NoFix {
    match mark {
        "<no-dsa>" => NoFix::Minor,
        "<postponed>" => NoFix::Postponed,
        "<ignored>" => NoFix::NotPlanned,
        "<end-of-life>" => NoFix::EndOfLife,
        "<undetermined>" => NoFix::UnderInvestigation,
        _ => NoFix::Open,
    }
}
