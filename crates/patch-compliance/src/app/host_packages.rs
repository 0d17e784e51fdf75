//! What a host is missing, by package.

use std::collections::{BTreeMap, BTreeSet};

use advisories::{OsRelease, Packaging, compare};
use api_types::{
    page::Page,
    patch::{PatchStateOfPackage, PendingPackage, PendingPatch},
};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{
    ApiResult,
    page::{PageRequest, page},
};

use super::{compliance, pending_patch::PatchJson};
use crate::App;

/// The place of a package in the list: exploited and severe ones first, then by due date, those without one last.
type Place = (bool, i32, bool, Option<DateTime<Utc>>, String, String);

pub(crate) async fn list_pending_packages(
    app: &App,
    ci_id: &CiId,
    request: &PageRequest,
) -> ApiResult<Page<PendingPackage>> {
    let (limit, after) = (request.limit()?, request.after::<Place>()?);
    let compliance = compliance::get_ci_compliance(app, ci_id).await?;
    let packaging =
        compliance.os_type.parse::<OsRelease>().map_or(Packaging::Rpm, |release| release.packaging());
    let patches: Vec<PendingPatch> = compliance.pending_patches.iter().map(PatchJson::patch).collect();
    let mut packages = by_package(&patches, packaging);
    packages.sort_by_cached_key(place);
    packages.retain(|package| after.as_ref().is_none_or(|after| place(package) > *after));
    packages.truncate(usize::try_from(limit + 1).unwrap_or(usize::MAX));
    Ok(page(packages, limit, place))
}

fn place(package: &PendingPackage) -> Place {
    (
        !package.exploited,
        -(package.severity as i32),
        package.due.is_none(),
        package.due,
        package.package.clone(),
        package.installed.clone(),
    )
}

fn by_package(patches: &[PendingPatch], packaging: Packaging) -> Vec<PendingPackage> {
    let mut groups: BTreeMap<(&str, &str), Vec<&PendingPatch>> = BTreeMap::new();
    for patch in patches {
        groups.entry((&patch.package, &patch.installed)).or_default().push(patch);
    }
    groups.into_values().filter_map(|patches| group(&patches, packaging)).collect()
}

/// `None` for no patches.
fn group(patches: &[&PendingPatch], packaging: Packaging) -> Option<PendingPackage> {
    let first = patches.first()?;
    let newest = patches
        .iter()
        .max_by(|a, b| compare(packaging, &a.fixed, &b.fixed).unwrap_or_else(|_| a.fixed.cmp(&b.fixed)))?;
    let advisories: BTreeSet<&str> = patches.iter().map(|patch| patch.advisory_id.as_str()).collect();
    let excepted: BTreeSet<&str> = patches
        .iter()
        .filter(|patch| patch.state == PatchStateOfPackage::Excepted)
        .map(|patch| patch.advisory_id.as_str())
        .collect();
    let cves: BTreeSet<&str> = patches.iter().flat_map(|patch| &patch.cve_ids).map(String::as_str).collect();
    Some(PendingPackage {
        package: first.package.clone(),
        installed: first.installed.clone(),
        newest_fix: newest.fixed.clone(),
        installable: first.installable.clone(),
        advisories: advisories.len() as i64,
        cves: cves.len() as i64,
        excepted: excepted.len() as i64,
        severity: patches.iter().map(|patch| patch.severity).max()?,
        exploited: patches.iter().any(|patch| patch.exploited),
        due: patches.iter().filter_map(|patch| patch.due).min(),
        state: patches.iter().map(|patch| patch.state).max_by_key(|state| urgency(*state))?,
    })
}

/// The state of several fixes is the one that asks for the most work.
fn urgency(state: PatchStateOfPackage) -> u8 {
    match state {
        PatchStateOfPackage::Excepted => 0,
        PatchStateOfPackage::PendingReboot => 1,
        PatchStateOfPackage::Held => 2,
        PatchStateOfPackage::Missing => 3,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(package: &str, fixed: &str, advisory: &str, cves: &[&str], severity: &str) -> PendingPatch {
        serde_json::from_value(json!({ "package": package, "installed": "1.0-1", "fixed": fixed, "installable": null,
            "advisory_id": advisory, "cve_ids": cves, "severity": severity, "exploited": advisory == "X-2",
            "published": "2026-01-01T00:00:00Z", "due": "2026-02-01T00:00:00Z", "state": "missing", "rule": "rpm-version" }))
        .unwrap()
    }

    #[test]
    fn newest_fix_and_number_of_cves_are_shown_per_package() {
        let patches = [
            patch("curl", "1.0-9", "X-1", &["CVE-2026-1", "CVE-2026-2"], "low"),
            patch("curl", "1.0-10", "X-2", &["CVE-2026-2", "CVE-2026-3"], "high"),
            patch("zlib", "1.0-2", "X-3", &[], "critical"),
        ];
        let mut packages = by_package(&patches, Packaging::Rpm);
        packages.sort_by_cached_key(place);
        let curl = &packages[0];
        assert_eq!(
            (curl.package.as_str(), curl.newest_fix.as_str()),
            ("curl", "1.0-10"),
            "exploited ones are first"
        );
        assert_eq!((curl.advisories, curl.cves, curl.severity.name()), (2, 3, "high"));
        assert_eq!(packages[1].package, "zlib");
    }
}
