//! From the shape of the feed to the product's own advisory.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::advisory::{Advisory, Reference};
use crate::cvss::CvssVector;
use crate::feed::{Limits, is_cve_id};
use crate::module_stream::streams_in_title;
use crate::severity::Severity;

use super::Converted;
use super::affected::AffectedReader;
use super::record::{DatabaseSpecific, Record, ReferenceEntry, SeverityEntry, lenient};
use super::vendor::{kind_from_word, source_and_kind};

const MAX_ID_BYTES: usize = 256;

pub(super) fn convert(record: Record, limits: &Limits) -> Result<Converted, String> {
    let mut warnings = Vec::new();
    check_id(&record.id)?;
    let modified = instant("modified", &record.modified)?;
    let published = record.published.as_deref().map(|text| instant("published", text)).transpose()?;
    let published = published.unwrap_or(modified);
    let withdrawn = record.withdrawn.as_deref().map(|text| instant("withdrawn", text)).transpose()?;
    if limits.now.is_some_and(|now| published > now) {
        warnings.push(format!("it was published in the future, at {}", published.to_rfc3339()));
    }

    let summary = clean(record.summary.unwrap_or_default(), "summary", &mut warnings);
    let details = clean(record.details.unwrap_or_default(), "details", &mut warnings);
    let database: DatabaseSpecific = lenient(record.database_specific.as_deref());
    let cvss = cvss_vectors(&record.severity.0, &mut warnings);
    let (source, kind) = source_and_kind(&record.id);
    let kind = database.kind.as_deref().and_then(kind_from_word).unwrap_or(kind);

    let mut reader = AffectedReader::new(streams_in_title(&summary));
    for entry in record.affected.0 {
        reader.read(entry);
    }
    let vendor_word = database
        .severity
        .or_else(|| vendor_severity(&record.severity.0))
        .or_else(|| reader.vendor_priority.take());
    let severity = severity_of(vendor_word.as_deref(), &summary, &cvss);
    warnings.append(&mut reader.warnings);

    let (cves, others) = cves_and_others(&record.id, [record.aliases.0, record.related.0, record.upstream.0]);
    let [aliases, related, upstream] = others;
    let advisory = Advisory {
        id: record.id,
        source,
        kind,
        cves,
        aliases,
        related: related.into_iter().chain(upstream).collect(),
        summary,
        details,
        severity,
        cvss,
        published,
        modified,
        withdrawn,
        superseded_by: None,
        exploited: false,
        references: record.references.0.into_iter().filter_map(reference).collect(),
        affected: reader.packages,
    };
    Ok(Converted { advisory, warnings })
}

fn check_id(id: &str) -> Result<(), String> {
    if id.trim().is_empty() {
        return Err("its id is empty".to_owned());
    }
    if id.len() > MAX_ID_BYTES {
        return Err(format!("its id is longer than {MAX_ID_BYTES} bytes"));
    }
    // Real feeds have ids with inner spaces, so only what breaks lines and terminals is refused.
    if id.trim() != id || id.chars().any(char::is_control) {
        return Err(format!("its id {id:?} has a control character or outer space"));
    }
    Ok(())
}

fn instant(field: &str, text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        format!("`{field}` is {shown:?}, which is no RFC 3339 time")
    })
}

/// NUL cannot be stored by PostgreSQL and means nothing in a text.
fn clean(text: String, field: &str, warnings: &mut Vec<String>) -> String {
    if !text.contains('\0') {
        return text;
    }
    warnings.push(format!("`{field}` contained NUL characters, which were replaced"));
    text.replace('\0', "\u{FFFD}")
}

fn cvss_vectors(entries: &[SeverityEntry], warnings: &mut Vec<String>) -> Vec<CvssVector> {
    let mut vectors = Vec::new();
    for entry in entries.iter().filter(|entry| entry.r#type.starts_with("CVSS")) {
        match entry.score.parse() {
            Ok(vector) => vectors.push(vector),
            Err(error) => warnings.push(format!("{error}; it was left out")),
        }
    }
    vectors
}

/// Vendors state their own rating as a severity of another type, `Ubuntu` for one.
fn vendor_severity(entries: &[SeverityEntry]) -> Option<String> {
    entries.iter().find(|entry| !entry.r#type.starts_with("CVSS")).map(|entry| entry.score.clone())
}

/// The vendor's word goes before the title's (`Important: ...`, `... (Important)`), and both before a computed score.
fn severity_of(vendor_word: Option<&str>, summary: &str, cvss: &[CvssVector]) -> Severity {
    let in_front = || summary.split_once(':').and_then(|(word, _)| word.parse().ok());
    let at_end = || summary.trim_end().strip_suffix(')')?.rsplit_once('(')?.1.parse().ok();
    let computed = || cvss.iter().map(CvssVector::severity).max();
    let from_word = vendor_word.and_then(|word| word.parse().ok());
    from_word.or_else(in_front).or_else(at_end).or_else(computed).unwrap_or_default()
}

/// Takes the CVEs out of the lists, wherever a vendor puts them, and leaves the other ids.
fn cves_and_others<const N: usize>(id: &str, lists: [Vec<String>; N]) -> (Vec<String>, [Vec<String>; N]) {
    let mut cves = BTreeSet::new();
    if is_cve_id(id) {
        cves.insert(id.to_owned());
    }
    let others = lists.map(|list| {
        let mut rest = Vec::new();
        for other in list {
            if is_cve_id(&other) {
                cves.insert(other);
            } else if !other.is_empty() && other.len() <= MAX_ID_BYTES && !other.chars().any(char::is_control)
            {
                rest.push(other);
            }
        }
        rest
    });
    (cves.into_iter().collect(), others)
}

fn reference(entry: ReferenceEntry) -> Option<Reference> {
    let printable =
        |text: &str| !text.is_empty() && text.len() <= 2048 && !text.chars().any(char::is_control);
    (printable(&entry.url) && printable(&entry.r#type))
        .then(|| Reference { kind: entry.r#type.to_ascii_lowercase(), url: entry.url })
}
