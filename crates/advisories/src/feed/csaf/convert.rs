//! From a CSAF document to the product's own advisory.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::advisory::{Advisory, Reference};
use crate::feed::osv::Converted;
use crate::feed::rating::{cvss_vectors, severity_of};
use crate::feed::text::{check_id, clean, instant, is_url, shown, warn_of_future};
use crate::feed::vendor::{publisher_of_document, source_and_kind};
use crate::feed::{Limits, is_cve_id};

use super::document::{Document, Link, Meta, Note, Vulnerability};
use super::packages::PackageReader;
use super::products::Products;

pub(super) fn convert(document: Document, limits: &Limits) -> Result<Converted, String> {
    let Document { document: meta, product_tree, vulnerabilities } = document;
    check_id(&meta.tracking.id)?;
    let mut warnings = Vec::new();
    let mut advisory = frame(&meta, limits, &mut warnings)?;

    let mut cves: BTreeSet<String> = BTreeSet::new();
    if is_cve_id(&meta.tracking.id) {
        cves.insert(meta.tracking.id.clone());
    }
    let mut vectors: Vec<String> = Vec::new();
    let mut impacts: Vec<String> = Vec::new();
    let mut details = description(&meta.notes.0);
    let mut packages =
        PackageReader::new(product_tree.map(Products::new).unwrap_or_default(), &advisory.summary);
    for mut vulnerability in vulnerabilities.0 {
        match vulnerability.cve.take() {
            Some(cve) if is_cve_id(&cve) => drop(cves.insert(cve)),
            Some(other) => warnings.push(format!("{:?} is not a CVE id; it was left out", shown(&other))),
            None => {}
        }
        vectors.append(&mut vectors_of(&mut vulnerability));
        for threat in vulnerability.threats.0.iter_mut() {
            if threat.category.as_deref() == Some("impact") {
                impacts.extend(threat.details.take());
            }
        }
        if details.is_empty() {
            details = description(&vulnerability.notes.0);
        }
        if advisory.summary.is_empty() {
            advisory.summary = vulnerability.title.take().unwrap_or_default();
        }
        advisory.related.extend(fixing_advisories(&vulnerability));
        packages.read(vulnerability);
    }
    let (affected, not_affected) = packages.finish(&mut warnings);

    advisory.cvss = cvss_vectors(vectors.iter().map(String::as_str), &mut warnings);
    let word = meta.aggregate_severity.as_ref().and_then(|severity| severity.text.as_deref());
    let worst = impacts.iter().filter_map(|word| word.parse().ok()).max();
    advisory.severity = match word.and_then(|word| word.parse().ok()).or(worst) {
        Some(severity) => severity,
        None => severity_of(advisory.kind, None, &advisory.summary, &advisory.cvss),
    };
    advisory.cves = cves.into_iter().collect();
    advisory.related.sort_unstable();
    advisory.related.dedup();
    advisory.related.retain(|id| *id != advisory.id);
    advisory.summary = clean(advisory.summary, "title", &mut warnings);
    advisory.details = clean(details, "notes", &mut warnings);
    advisory.affected = affected;
    advisory.not_affected = not_affected;
    Ok(Converted { advisory, warnings })
}

/// The document's metadata.
fn frame(meta: &Meta, limits: &Limits, warnings: &mut Vec<String>) -> Result<Advisory, String> {
    let tracking = &meta.tracking;
    let category = meta.category.as_deref().unwrap_or_default();
    let is_withdrawn = category == "csaf_withdrawn" || tracking.status.as_deref() == Some("deleted");
    let published =
        tracking.initial_release_date.as_deref().map(|text| instant("initial_release_date", text));
    let modified = tracking.current_release_date.as_deref().map(|text| instant("current_release_date", text));
    let (published, modified) = (published.transpose()?, modified.transpose()?);
    let modified_or_published = modified.or(published);
    // The rest of a deleted document has no dates.
    let modified = match modified_or_published {
        Some(instant) => instant,
        None if is_withdrawn => limits.now.unwrap_or(DateTime::<Utc>::UNIX_EPOCH),
        None => return Err("it has neither `initial_release_date` nor `current_release_date`".to_owned()),
    };
    let published = published.unwrap_or(modified);
    warn_of_future(published, modified, limits, warnings);
    match meta.csaf_version.as_deref() {
        Some("2.0" | "2.1") => {}
        None if is_withdrawn => {}
        other => warnings
            .push(format!("its `csaf_version` is {:?} instead of 2.0", shown(other.unwrap_or_default()))),
    }

    let title = meta.title.as_deref().unwrap_or_default();
    let id = advisory_id(meta);
    let (_, kind) = source_and_kind(&id);
    let source =
        publisher_of_document(&id, meta.publisher.as_ref().and_then(|publisher| publisher.name.as_deref()));
    Ok(Advisory {
        source,
        kind,
        modified,
        summary: without_publisher(title).to_owned(),
        aliases: tracking.aliases.0.iter().filter(|id| check_id(id).is_ok()).cloned().collect(),
        withdrawn: is_withdrawn.then_some(modified),
        superseded_by: (category == "csaf_superseded").then(|| superseding(&meta.references.0)),
        references: meta.references.0.iter().filter_map(reference).collect(),
        is_undated: modified_or_published.is_none(),
        ..Advisory::new(id, published)
    })
}

/// Several vendors have a VEX document for each CVE, so the CVE is not a unique id: `REDHAT-CVE-2026-90001`.
fn advisory_id(meta: &Meta) -> String {
    let id = &meta.tracking.id;
    if !is_cve_id(id) {
        return id.clone();
    }
    // Red Hat's deleted documents have lost their publisher; no other vendor keeps such documents.
    let publisher =
        meta.publisher.as_ref().and_then(|publisher| publisher.name.as_deref()).unwrap_or("Red Hat");
    let publisher = publisher.trim_end_matches(" Team").trim_end_matches(" Product Security");
    let slug: String = publisher.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("{}-{id}", slug.to_ascii_uppercase())
}

/// `Red Hat Security Advisory: xz security update` without the part that the id already contains.
fn without_publisher(title: &str) -> &str {
    match title.split_once(": ") {
        Some((front, rest)) if front.ends_with("Advisory") => rest,
        _ => title,
    }
}

/// The id of the document that replaces this one, or the text about it.
fn superseding(references: &[Link]) -> String {
    let said =
        references.iter().find_map(|link| link.summary.as_deref()?.strip_prefix("Superseding Document"));
    let id = said.map(|rest| rest.trim_start_matches([':', ' ']).trim()).filter(|id| check_id(id).is_ok());
    id.unwrap_or("another document").to_owned()
}

fn reference(link: &Link) -> Option<Reference> {
    let url = link.url.as_deref().filter(|url| is_url(url))?;
    let kind = link.category.as_deref().filter(|kind| is_url(kind)).unwrap_or("web");
    Some(Reference { kind: kind.to_ascii_lowercase(), url: url.to_owned() })
}

fn description(notes: &[Note]) -> String {
    let of = |wanted: &str| {
        notes.iter().find(|note| note.category.as_deref() == Some(wanted)).and_then(|note| note.text.clone())
    };
    of("description").or_else(|| of("summary")).or_else(|| of("general")).unwrap_or_default()
}

fn vectors_of(vulnerability: &mut Vulnerability) -> Vec<String> {
    let metrics =
        std::mem::take(&mut vulnerability.metrics.0).into_iter().filter_map(|metric| metric.content);
    let scores = std::mem::take(&mut vulnerability.scores.0).into_iter().chain(metrics);
    let vectors = scores.flat_map(|score| [score.cvss_v4, score.cvss_v3, score.cvss_v2]);
    let vectors: BTreeSet<String> = vectors.flatten().filter_map(|cvss| cvss.vector).collect();
    vectors.into_iter().collect()
}

/// A VEX document links to the advisory that brought the fix: `https://.../errata/RHSA-2024:2447`.
fn fixing_advisories(vulnerability: &Vulnerability) -> impl Iterator<Item = String> {
    let fixes =
        vulnerability.remediations.0.iter().filter(|fix| fix.category.as_deref() == Some("vendor_fix"));
    let ids = fixes.filter_map(|fix| fix.url.as_deref()?.rsplit_once("/errata/").map(|(_, id)| id));
    ids.filter(|id| check_id(id).is_ok() && id.contains(':')).map(str::to_owned)
}
