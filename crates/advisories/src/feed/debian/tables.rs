//! Tables of a security suite, tab-separated, with a first line that names the columns: `#source`, and either
//! `latest_version_in_bookworm_security`, or `version`, `distribution`, `date` and `cves` from the changelogs.

use std::io::BufRead;

use chrono::DateTime;

use crate::feed::osv::{Converted, Sink, deliver};
use crate::feed::text::{cves_in, shown, warn_of_future};
use crate::feed::{FeedError, Limits, ReadReport, RecordError};
use crate::os::OsRelease;

use super::sources::newest_in_suite;
use super::{TextLines, release};

pub fn read(source: impl BufRead, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    let mut report = ReadReport::default();
    let mut lines = TextLines::new(source);
    let header = lines.next()?.and_then(Result::ok).unwrap_or_default();
    let columns = Columns::of(header).ok_or_else(|| {
        FeedError::Malformed(
            "the table's first line must name `#source` and `latest_version_in_<release>_security`, or `version`, `distribution`, `date` and `cves`"
                .to_owned(),
        )
    })?;
    loop {
        let Some(line) = lines.next()? else { return Ok(report) };
        let outcome = match line {
            Ok(text) if text.is_empty() || text.starts_with('#') => continue,
            Ok(text) => columns.convert(text, limits),
            Err(reason) => Err(reason.to_owned()),
        };
        let outcome = match outcome.transpose() {
            Some(outcome) => outcome,
            None => continue,
        };
        let name = format!("line {}", lines.number);
        let outcome = outcome.map_err(|reason| RecordError::new(name.as_str(), reason));
        if deliver(outcome, &name, limits, &mut report, sink).is_break() {
            return Ok(report);
        }
    }
}

struct Columns {
    version: usize,
    kind: Kind,
}

enum Kind {
    Newest { os: OsRelease },
    Changelog { distribution: usize, date: usize, cves: usize },
}

impl Columns {
    fn of(header: &str) -> Option<Self> {
        let names: Vec<&str> =
            header.split('\t').map(|name| name.split_whitespace().next().unwrap_or("")).collect();
        if names.first() != Some(&"#source") {
            return None;
        }
        let find = |wanted: &str| names.iter().position(|name| *name == wanted);
        let newest = names.iter().enumerate().find_map(|(at, name)| {
            let suite = name.strip_prefix("latest_version_in_")?;
            release(suite.split('_').next()?).map(|os| (at, os))
        });
        if let Some((version, os)) = newest {
            return Some(Self { version, kind: Kind::Newest { os } });
        }
        Some(Self {
            version: find("version")?,
            kind: Kind::Changelog {
                distribution: find("distribution")?,
                date: find("date")?,
                cves: find("cves")?,
            },
        })
    }

    /// `None` for versions that never were in the security suite.
    fn convert(&self, line: &str, limits: &Limits) -> Result<Option<Converted>, String> {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let (source, version) = (field(0), field(self.version));
        match &self.kind {
            Kind::Newest { os } => newest_in_suite(os, source, version, limits).map(Some),
            Kind::Changelog { distribution, date, cves } => {
                let suite = field(*distribution);
                if !suite.ends_with("-security") {
                    return Ok(None);
                }
                let os =
                    release(suite).ok_or_else(|| format!("`{}` is not a known release", shown(suite)))?;
                let mut converted = newest_in_suite(&os, source, version, limits)?;
                let published = DateTime::parse_from_rfc2822(field(*date))
                    .map_err(|_| format!("its date {:?} is not a changelog date", shown(field(*date))))?
                    .to_utc();
                warn_of_future(published, published, limits, &mut converted.warnings);
                let advisory = &mut converted.advisory;
                (advisory.published, advisory.modified, advisory.is_undated) = (published, published, false);
                advisory.cves = cves_in(field(*cves));
                Ok(Some(converted))
            }
        }
    }
}
