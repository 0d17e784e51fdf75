//! From a CSAF document to the product's own advisory.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::compliance::NoFix;

use crate::advisory::{Advisory, AffectedPackage, NotAffected, PackageKind, Reference};
use crate::feed::osv::Converted;
use crate::feed::rating::{cvss_vectors, severity_of};
use crate::feed::text::{check_id, clean, instant, is_package_name, is_url, shown, warn_of_future};
use crate::feed::vendor::{publisher_of_document, source_and_kind};
use crate::feed::{Limits, is_cve_id};
use crate::module_stream::{ModuleStream, is_modular, streams_in_title};
use crate::version::{Packaging, Version};

use super::document::{Document, Link, Meta, Note, ProductStatus, Vulnerability};
use super::products::{Component, Products};

/// Most warnings of one document; most repeat for each product.
const MAX_WARNINGS: usize = 100;

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
        None => severity_of(None, &advisory.summary, &advisory.cvss),
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

struct PackageReader {
    products: Products,
    /// Streams in the title, for builds whose module is not named elsewhere.
    streams: Vec<ModuleStream>,
    affected: BTreeMap<PlaceOfFix, Vec<ModuleStream>>,
    /// What the vendor says instead of a fix.
    unfixed: BTreeMap<PlaceOfFix, NoFix>,
    not_affected: Vec<NotAffected>,
    seen: BTreeSet<(String, String, Option<String>)>,
    said: BTreeSet<String>,
}

/// OS release, package, whether it is a source, fixed version, architecture.
type PlaceOfFix = (crate::os::OsRelease, String, PackageKind, Option<String>, Option<String>);

impl PackageReader {
    fn new(products: Products, title: &str) -> Self {
        Self {
            products,
            streams: streams_in_title(title),
            affected: BTreeMap::new(),
            unfixed: BTreeMap::new(),
            not_affected: Vec::new(),
            seen: BTreeSet::new(),
            said: BTreeSet::new(),
        }
    }

    fn read(&mut self, vulnerability: Vulnerability) {
        let Some(status) = vulnerability.product_status else { return };
        let reasons: BTreeMap<&str, &str> = vulnerability
            .flags
            .0
            .iter()
            .filter_map(|flag| Some((flag.label.as_deref()?, flag)))
            .flat_map(|(label, flag)| flag.product_ids.0.iter().map(move |id| (id.as_str(), label)))
            .collect();
        let plans: BTreeMap<&str, NoFix> = vulnerability
            .remediations
            .0
            .iter()
            .filter_map(|remediation| Some((plan(remediation.category.as_deref()?)?, remediation)))
            .flat_map(|(plan, remediation)| {
                remediation.product_ids.0.iter().map(move |id| (id.as_str(), plan))
            })
            .collect();
        let ProductStatus {
            first_fixed,
            fixed,
            first_affected,
            known_affected,
            known_not_affected,
            under_investigation,
        } = status;
        for id in fixed.0.iter().chain(&first_fixed.0) {
            if let Some(component) = self.component(id) {
                self.add_fixed(component);
            }
        }
        for id in known_affected.0.iter().chain(&first_affected.0) {
            if let Some(component) = self.component(id) {
                self.add_affected(component, plans.get(id.as_str()).copied().unwrap_or(NoFix::Open));
            }
        }
        for id in &under_investigation.0 {
            if let Some(component) = self.component(id) {
                self.add_affected(component, NoFix::UnderInvestigation);
            }
        }
        for id in &known_not_affected.0 {
            if let Some(component) = self.component(id) {
                self.add_not_affected(component, reasons.get(id.as_str()).copied());
            }
        }
    }

    fn component(&mut self, product_id: &str) -> Option<Component> {
        let component = self.products.resolve(product_id);
        if component.is_none() {
            self.warn(format!("its product tree has no {:?}", shown(product_id)));
        }
        // Ids and package URLs may contain anything, and they are stored.
        let is_fit = |text: &Option<String>| text.as_deref().is_none_or(is_package_name);
        component.filter(|component| is_fit(&component.arch) && is_fit(&component.version))
    }

    fn add_fixed(&mut self, component: Component) {
        let Component { os, package, version, arch, module } = component;
        let (Some(os), Some(package), Some(version)) = (os, package, version) else {
            return self
                .warn("products that are not packages of a known OS release are not matched".to_owned());
        };
        if !is_package_name(&package) {
            return self.warn(format!("{:?} is not a package name, it is not matched", shown(&package)));
        }
        if let Err(error) = Version::parse(os.packaging(), &version) {
            return self.warn(format!("{error}; this fix of `{package}` is not matched"));
        }
        let modules = match module {
            Some(module) => vec![module],
            None if is_modular(&version) => self.streams.clone(),
            None => Vec::new(),
        };
        let kind = kind_of(os.packaging(), arch.as_deref());
        let arch = arch.filter(|_| kind == PackageKind::Binary && os.packaging() == Packaging::Rpm);
        let place = (os, package, kind, Some(version), arch);
        let streams = self.affected.entry(place).or_default();
        streams.extend(modules);
        streams.sort_unstable();
        streams.dedup();
    }

    /// Without a fix: kept, but not matched, because nothing can be installed.
    fn add_affected(&mut self, component: Component, no_fix: NoFix) {
        let Component { os: Some(os), package: Some(package), arch, .. } = component else { return };
        if is_package_name(&package) {
            let arch = arch.filter(|arch| arch != "src" && os.packaging() == Packaging::Rpm);
            let place = (os, package, PackageKind::Source, None, arch);
            self.unfixed.entry(place.clone()).or_insert(no_fix);
            self.affected.entry(place).or_default();
        }
    }

    fn add_not_affected(&mut self, component: Component, reason: Option<&str>) {
        let Component { os: Some(os), package: Some(package), version, .. } = component else { return };
        if is_package_name(&package) && self.seen.insert((os.to_string(), package.clone(), version.clone())) {
            self.not_affected.push(NotAffected {
                os,
                package,
                version,
                reason: reason.filter(|reason| is_package_name(reason)).map(str::to_owned),
            });
        }
    }

    fn warn(&mut self, text: String) {
        if self.said.len() < MAX_WARNINGS {
            self.said.insert(text);
        }
    }

    fn finish(self, warnings: &mut Vec<String>) -> (Vec<AffectedPackage>, Vec<NotAffected>) {
        warnings.extend(self.said);
        let builds: BTreeSet<_> = self
            .affected
            .keys()
            .filter(|(_, _, kind, ..)| *kind == PackageKind::Binary)
            .map(|(os, _, _, fixed, _)| (os.clone(), fixed.clone()))
            .collect();
        // The source repeats its builds, and is needed if they are left out.
        let told = self.affected.into_iter().filter(|((os, _, kind, fixed, _), _)| {
            *kind == PackageKind::Binary || fixed.is_none() || !builds.contains(&(os.clone(), fixed.clone()))
        });
        let affected = told.map(|(place, modules)| {
            let no_fix = self.unfixed.get(&place).copied();
            let (os, package, package_kind, fixed, arch) = place;
            AffectedPackage { os, package, package_kind, introduced: None, fixed, arch, modules, no_fix }
        });
        (affected.collect(), self.not_affected)
    }
}

/// What a remediation without a fix says.
fn plan(category: &str) -> Option<NoFix> {
    match category {
        "none_available" => Some(NoFix::Open),
        "fix_planned" => Some(NoFix::Postponed),
        "no_fix_planned" => Some(NoFix::NotPlanned),
        _ => None,
    }
}

/// Names without an architecture are also those of sources.
fn kind_of(packaging: Packaging, arch: Option<&str>) -> PackageKind {
    match (packaging, arch) {
        (_, None) | (Packaging::Rpm, Some("src")) | (Packaging::Dpkg, Some("source")) => PackageKind::Source,
        _ => PackageKind::Binary,
    }
}
