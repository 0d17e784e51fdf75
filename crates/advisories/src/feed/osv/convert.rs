//! From the shape of the feed to the product's own advisory.

use std::collections::BTreeSet;

use crate::advisory::{Advisory, Reference};
use crate::feed::rating::{cvss_vectors, severity_of};
use crate::feed::text::{MAX_ID_BYTES, check_id, clean, instant, is_url, warn_of_future};
use crate::feed::vendor::{kind_from_word, source_and_kind};
use crate::feed::{Limits, is_cve_id};
use crate::module_stream::streams_in_title;

use super::Converted;
use super::affected::AffectedReader;
use super::record::{DatabaseSpecific, Record, ReferenceEntry, SeverityEntry, lenient};

pub(super) fn convert(record: Record, limits: &Limits) -> Result<Converted, String> {
    let mut warnings = Vec::new();
    check_id(&record.id)?;
    let modified = instant("modified", &record.modified)?;
    let published = record.published.as_deref().map(|text| instant("published", text)).transpose()?;
    let published = published.unwrap_or(modified);
    let withdrawn = record.withdrawn.as_deref().map(|text| instant("withdrawn", text)).transpose()?;
    warn_of_future(published, modified, limits, &mut warnings);

    let summary = clean(record.summary.unwrap_or_default(), "summary", &mut warnings);
    let details = clean(record.details.unwrap_or_default(), "details", &mut warnings);
    let database: DatabaseSpecific = lenient(record.database_specific.as_deref());
    let vectors = record.severity.0.iter().filter(|entry| entry.r#type.starts_with("CVSS"));
    let cvss = cvss_vectors(vectors.map(|entry| entry.score.as_str()), &mut warnings);
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
    let severity = severity_of(kind, vendor_word.as_deref(), &summary, &cvss);
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
        superseded_by: database.superseded_by.filter(|id| check_id(id).is_ok()),
        exploited: false,
        references: record.references.0.into_iter().filter_map(reference).collect(),
        affected: reader.packages,
        ..Advisory::new(String::new(), modified)
    };
    Ok(Converted { advisory, warnings })
}

/// Vendors state their own rating as a severity of another type, for example `Ubuntu`.
fn vendor_severity(entries: &[SeverityEntry]) -> Option<String> {
    entries.iter().find(|entry| !entry.r#type.starts_with("CVSS")).map(|entry| entry.score.clone())
}

/// Moves the CVEs out of the lists, wherever a vendor puts them, and keeps the other ids.
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
    (is_url(&entry.url) && is_url(&entry.r#type))
        .then(|| Reference { kind: entry.r#type.to_ascii_lowercase(), url: entry.url })
}
