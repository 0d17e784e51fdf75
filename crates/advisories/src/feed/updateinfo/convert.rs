//! From an `<update>` to the product's own advisory.

use std::collections::BTreeSet;

use crate::advisory::{Advisory, AdvisoryKind, AffectedPackage, PackageKind, Reference};
use crate::feed::Limits;
use crate::feed::osv::Converted;
use crate::feed::rating::{severity_of, unrated};
use crate::feed::text::{check_id, clean, is_package_name, is_url, loose_instant, shown, warn_of_future};
use crate::feed::vendor;
use crate::module_stream::{ModuleStream, is_modular, streams_in_title};
use crate::version::{Packaging, Version};

use super::release::os_of;
use super::update::{Collection, Update, UpdatePackage};

pub(super) fn convert(mut update: Update, limits: &Limits) -> Result<Converted, String> {
    let mut warnings = Vec::new();
    let id = update.id.take().ok_or("it has no id")?;
    check_id(&id)?;
    let issued = update.issued.as_deref().map(|text| loose_instant("issued", text)).transpose()?;
    let updated = update.updated.as_deref().filter(|text| !text.trim().is_empty());
    let updated = updated.map(|text| loose_instant("updated", text)).transpose()?;
    let (published, modified) = match (issued, updated) {
        (Some(issued), Some(updated)) => (issued, issued.max(updated)),
        (Some(one), None) | (None, Some(one)) => (one, one),
        (None, None) => return Err("it has neither `issued` nor `updated`".to_owned()),
    };
    warn_of_future(published, modified, limits, &mut warnings);

    let (_, kind) = vendor::source_and_kind(&id);
    let source = vendor::publisher(&id, update.from.as_deref());
    let kind = match update.kind.as_deref() {
        Some("security") => AdvisoryKind::Security,
        Some("bugfix" | "recommended") => AdvisoryKind::Bugfix,
        Some("enhancement" | "newpackage" | "feature" | "optional") => AdvisoryKind::Enhancement,
        _ => kind,
    };
    let title = update.title.take().or_else(|| update.summary.clone()).unwrap_or_default();
    let summary = clean(title, "title", &mut warnings);
    let word = update.severity.as_deref();
    let severity = match kind {
        AdvisoryKind::Security => severity_of(kind, word, &summary, &[]),
        _ => word.and_then(|word| word.parse().ok()).unwrap_or_else(|| unrated(kind)),
    };
    let withdrawn = matches!(update.status.as_deref(), Some("retracted" | "obsolete" | "unpushed"));
    let cves = update.cves();
    let references = update.references.iter().filter(|reference| is_url(&reference.href));
    let references = references.map(|reference| Reference {
        kind: if is_url(&reference.kind) { reference.kind.to_ascii_lowercase() } else { "web".to_owned() },
        url: reference.href.clone(),
    });
    let references = references.collect();
    let related = update.references.iter().filter(|reference| check_id(&reference.id).is_ok());
    let related =
        related.map(|reference| reference.id.clone()).filter(|other| *other != id && !cves.contains(other));
    let related: BTreeSet<String> = related.collect();

    let details = clean(update.description.take().unwrap_or_default(), "description", &mut warnings);
    let affected = packages(&id, &update, &summary, &mut warnings);
    let advisory = Advisory {
        source,
        kind,
        cves,
        related: related.into_iter().collect(),
        summary,
        details,
        severity,
        modified,
        withdrawn: withdrawn.then_some(modified),
        references,
        affected,
        is_part: true,
        ..Advisory::new(id, published)
    };
    Ok(Converted { advisory, warnings })
}

fn packages(id: &str, update: &Update, title: &str, warnings: &mut Vec<String>) -> Vec<AffectedPackage> {
    let streams = streams_in_title(title);
    let mut said: BTreeSet<String> = BTreeSet::new();
    let mut found: Vec<AffectedPackage> = Vec::new();
    for collection in &update.collections {
        for package in collection.packages.iter().filter(|package| package.arch != "src") {
            match affected(id, update, collection, package, &streams) {
                // If one file covers several architectures, each of them names the packages without an architecture.
                Ok(package) if found.contains(&package) => {}
                Ok(package) => found.push(package),
                Err(reason) => drop(said.insert(reason)),
            }
        }
    }
    warnings.extend(said.into_iter().take(100));
    found
}

fn affected(
    id: &str,
    update: &Update,
    collection: &Collection,
    package: &UpdatePackage,
    streams: &[ModuleStream],
) -> Result<AffectedPackage, String> {
    if !is_package_name(&package.name) {
        return Err(format!("{:?} is not a package name, it is not matched", shown(&package.name)));
    }
    let os = os_of(id, update, collection, package)?;
    if !package.arch.is_empty() && !is_package_name(&package.arch) {
        return Err(format!(
            "{:?} is not an architecture, `{}` is not matched",
            shown(&package.arch),
            package.name
        ));
    }
    if package.version.is_empty() {
        return Err(format!("`{}` has no version, it is not matched", shown(&package.name)));
    }
    let mut fixed = if package.release.is_empty() {
        package.version.clone()
    } else {
        format!("{}-{}", package.version, package.release)
    };
    if !package.epoch.trim_start_matches('0').is_empty() {
        fixed = format!("{}:{fixed}", package.epoch);
    }
    Version::parse(Packaging::Rpm, &fixed)
        .map_err(|error| format!("{error}; this fix of `{}` is not matched", package.name))?;
    let named = collection.module.as_ref().and_then(|(name, stream)| format!("{name}:{stream}").parse().ok());
    let modules = match named {
        Some(stream) if is_modular(&fixed) => vec![stream],
        None if is_modular(&fixed) => streams.to_vec(),
        _ => Vec::new(),
    };
    Ok(AffectedPackage {
        os,
        package: package.name.clone(),
        package_kind: PackageKind::Binary,
        introduced: None,
        fixed: Some(fixed),
        arch: (!package.arch.is_empty()).then(|| package.arch.clone()),
        modules,
        no_fix: None,
        last_affected: None,
    })
}
