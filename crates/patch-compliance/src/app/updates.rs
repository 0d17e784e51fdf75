//! From missing fixes to the exact versions that a plan installs.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
};

use advisories::InstalledPackage;
use chrono::{DateTime, Utc};
use domain::{
    compliance::{PatchStateOfPackage, Severity},
    ids::CiId,
    package::{OmitCause, OmittedUpdate, PackageUpdate, Packaging},
    plan::{Plan, Target},
    time::PatchLevel,
};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use crate::store::{self, compliance::PendingFix};

/// Which of the missing fixes to install.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// All, or those published by the end of a month.
    Level(Option<PatchLevel>),
    /// Those of one advisory, or of all advisories for one CVE.
    Advisory(String),
}

impl Wanted {
    fn includes(&self, row: &PendingFix) -> bool {
        match self {
            Self::Level(level) => level.is_none_or(|level| level.covers(row.published)),
            Self::Advisory(id) => row.advisory_id == *id || row.cves.contains(id),
        }
    }
}

/// What hosts install, and what they miss without installing it.
#[derive(Debug, Default)]
pub struct PendingUpdates {
    pub updates: BTreeMap<CiId, Vec<PackageUpdate>>,
    pub omitted: BTreeMap<CiId, Vec<OmittedUpdate>>,
}

/// The updates of each host: every package once, at the highest fixed version among the wanted fixes, and no newer.
/// Leaves out held and excepted packages, fixes that only wait for a reboot, and fixes that the host's repositories do
/// not offer, and says so. Hosts without updates are absent.
pub async fn pending_updates(
    conn: &mut PgConnection,
    hosts: &[CiId],
    wanted: &Wanted,
) -> ApiResult<PendingUpdates> {
    let mut omitted: BTreeMap<CiId, BTreeSet<OmittedUpdate>> = BTreeMap::new();
    let mut updates: BTreeMap<CiId, BTreeMap<String, PackageUpdate>> = BTreeMap::new();
    for row in list_pending(conn, hosts).await? {
        if !wanted.includes(&row) {
            continue;
        }
        let packaging = packaging_of(&row)?;
        let to = match (row.state, version_to_install(&row, packaging)) {
            (PatchStateOfPackage::Missing, Some(to)) => Ok(to),
            (PatchStateOfPackage::Missing, None) => Err(OmitCause::NotOffered),
            (PatchStateOfPackage::Held, _) => Err(OmitCause::Held),
            (PatchStateOfPackage::Excepted, _) => Err(OmitCause::Excepted),
            (PatchStateOfPackage::PendingReboot, _) => continue,
        };
        let to = match to {
            Ok(to) => to,
            Err(cause) => {
                let update = OmittedUpdate { package: row.package, cause };
                omitted.entry(ci_id(&row.ci_id)?).or_default().insert(update);
                continue;
            }
        };
        match updates.entry(ci_id(&row.ci_id)?).or_default().entry(row.package.clone()) {
            Entry::Vacant(place) => {
                place.insert(PackageUpdate {
                    package: row.package,
                    from: row.installed,
                    to,
                    advisories: vec![row.advisory_id],
                    cves: row.cves,
                });
            }
            Entry::Occupied(mut place) => {
                let update = place.get_mut();
                if compare(packaging, &to, &update.to) == Ordering::Greater {
                    update.to = to;
                }
                update.advisories.push(row.advisory_id);
                update.cves.extend(row.cves);
            }
        }
    }
    let in_order = |mut update: PackageUpdate| {
        update.advisories.sort();
        update.advisories.dedup();
        update.cves.sort();
        update.cves.dedup();
        update
    };
    let updates = updates.into_iter();
    Ok(PendingUpdates {
        updates: updates
            .map(|(host, packages)| (host, packages.into_values().map(in_order).collect()))
            .collect(),
        omitted: omitted.into_iter().map(|(host, all)| (host, all.into_iter().collect())).collect(),
    })
}

/// Debian archives keep only the newest version: if the archive of a real host offers a newer one, the fixed version is
/// no longer available.
fn version_to_install(row: &PendingFix, packaging: Packaging) -> Option<String> {
    match &row.candidate {
        Some(candidate) if packaging == Packaging::Dpkg && row.driver != "model" => {
            row.target.as_ref().map(|_| candidate.clone())
        }
        _ => row.target.clone(),
    }
}

/// Severity of the worst missing fix of each host, on the CVSS scale. Hosts without missing fixes are absent.
pub async fn severities(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<BTreeMap<CiId, f64>> {
    let mut worst: BTreeMap<CiId, f64> = BTreeMap::new();
    for row in list_pending(conn, hosts).await? {
        let known = worst.entry(ci_id(&row.ci_id)?).or_default();
        *known = known.max(score(row.severity));
    }
    Ok(worst)
}

/// The same for the fixes in a plan, independent of the current state of its hosts.
pub async fn severities_of_plan(conn: &mut PgConnection, plan: &Plan) -> ApiResult<BTreeMap<CiId, f64>> {
    let advisories_of =
        |target: &Target| target.updates.iter().flat_map(|update| update.advisories.clone()).collect();
    let of_hosts: Vec<(&CiId, BTreeSet<String>)> =
        plan.targets.iter().map(|(host, target)| (host, advisories_of(target))).collect();
    let ids: BTreeSet<String> = of_hosts.iter().flat_map(|(_, ids)| ids.iter().cloned()).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let known: BTreeMap<String, Severity> =
        store::advisories::list_severities(conn, &ids).await?.into_iter().collect();
    let worst = |ids: &BTreeSet<String>| {
        ids.iter().filter_map(|id| known.get(id)).map(|one| score(*one)).reduce(f64::max)
    };
    Ok(of_hosts.iter().filter_map(|(host, ids)| Some(((*host).clone(), worst(ids)?))).collect())
}

/// Middles of the ranges of CVSS 3.1.
fn score(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 9.5,
        Severity::High => 8.0,
        Severity::Medium => 5.5,
        Severity::Low => 2.0,
        Severity::None => 0.0,
    }
}

/// Newest installed version of every package of these hosts, by the last scan.
pub async fn installed_versions(
    conn: &mut PgConnection,
    hosts: &[CiId],
) -> ApiResult<BTreeMap<CiId, BTreeMap<String, String>>> {
    let sets = store::package_sets::list_sets_of(conn, &names(hosts)).await?;
    let numbers: BTreeSet<i32> = sets.iter().flat_map(|(.., numbers)| numbers.iter().copied()).collect();
    let numbers: Vec<i32> = numbers.into_iter().collect();
    let packages: BTreeMap<i32, InstalledPackage> =
        store::dictionary::load_packages(conn, &numbers).await?.into_iter().collect();
    let mut installed = BTreeMap::new();
    for (host, facts, numbers) in sets {
        let packaging = facts.packaging();
        let mut versions: BTreeMap<String, String> = BTreeMap::new();
        for package in numbers.iter().filter_map(|no| packages.get(no)).cloned() {
            match versions.entry(package.name) {
                Entry::Vacant(place) => {
                    place.insert(package.version);
                }
                Entry::Occupied(mut place) => {
                    if compare(packaging, &package.version, place.get()) == Ordering::Greater {
                        place.insert(package.version);
                    }
                }
            }
        }
        installed.insert(ci_id(&host)?, versions);
    }
    Ok(installed)
}

/// Whether a version is `wanted` or newer, in the order of its package system.
pub fn is_at_least(packaging: Packaging, version: &str, wanted: &str) -> bool {
    compare(packaging, version, wanted) != Ordering::Less
}

/// Invalid versions are refused when an inventory is pushed; here they would count as the lowest.
fn compare(packaging: Packaging, a: &str, b: &str) -> Ordering {
    advisories::compare(packaging, a, b).unwrap_or(Ordering::Less)
}

fn packaging_of(row: &PendingFix) -> ApiResult<Packaging> {
    let os: advisories::OsRelease = row.os.parse().map_err(ApiError::internal)?;
    Ok(os.packaging())
}

async fn list_pending(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<Vec<PendingFix>> {
    let now: DateTime<Utc> = store::database_now(conn).await?;
    store::compliance::list_pending(conn, &names(hosts), now).await
}

fn names(hosts: &[CiId]) -> Vec<String> {
    hosts.iter().map(ToString::to_string).collect()
}

fn ci_id(text: &str) -> ApiResult<CiId> {
    CiId::new(text).map_err(ApiError::internal)
}

#[cfg(test)]
mod tests;
