//! From missing fixes to the exact versions that a plan installs.

mod metapackages;
mod wanted;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
};

use advisories::{HostFacts, InstalledPackage, matching::offer};
use chrono::{DateTime, Utc};
use domain::{
    baseline::{BaselineRule, Exclusion},
    compliance::{PatchStateOfPackage, Severity},
    ids::CiId,
    package::{OmitCause, OmittedUpdate, PackageUpdate, Packaging},
    plan::{Plan, Target},
};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

pub use self::wanted::Wanted;
use self::wanted::WantedFixes;
use crate::store::{self, compliance::PendingFix};

/// What hosts install, and what they miss without installing it.
#[derive(Debug, Default)]
pub struct PendingUpdates {
    pub updates: BTreeMap<CiId, Vec<PackageUpdate>>,
    pub omitted: BTreeMap<CiId, Vec<OmittedUpdate>>,
}

/// The updates of each host: every package once, at the highest fixed version among the wanted fixes, and no newer.
/// Leaves out what does not belong to the baseline, held and excepted packages, fixes that only wait for a reboot, and fixes that
/// the host's repositories do not offer under that name, and says so. Hosts without updates are absent.
pub async fn pending_updates(
    conn: &mut PgConnection,
    hosts: &[CiId],
    wanted: &Wanted,
) -> ApiResult<PendingUpdates> {
    let facts: HashMap<String, HostFacts> =
        store::package_sets::list_facts_of(conn, &names(hosts)).await?.into_iter().collect();
    let mut chosen: BTreeMap<CiId, Chosen> = BTreeMap::new();
    let wanted = WantedFixes::load(conn, wanted, hosts).await?;
    for row in list_pending(conn, hosts).await? {
        let Some(facts) = facts.get(&row.ci_id).filter(|_| wanted.asks_for(&row)) else { continue };
        let chosen = chosen.entry(ci_id(&row.ci_id)?).or_default();
        match wanted.why_left_out(&row) {
            None => chosen.choose(facts, row),
            Some(exclusion) => chosen.leave_out(&row.package, exclusion),
        }
    }
    metapackages::choose(conn, &wanted, &mut chosen).await?;
    let mut pending = PendingUpdates::default();
    for (host, chosen) in chosen {
        let (updates, omitted) = chosen.finish();
        if !updates.is_empty() {
            pending.updates.insert(host.clone(), updates);
        }
        if !omitted.is_empty() {
            pending.omitted.insert(host, omitted);
        }
    }
    Ok(pending)
}

/// What is chosen for one host.
#[derive(Default)]
struct Chosen {
    updates: BTreeMap<String, PackageUpdate>,
    omitted: BTreeSet<(String, OmitCause)>,
    /// Why fixes of packages do not belong to the baseline, once for each package and rule.
    left_out: BTreeMap<(String, BaselineRule), String>,
    /// Missing fixes of packages whose names contain the version: another package brings them.
    renamed: Vec<PendingFix>,
}

impl Chosen {
    fn choose(&mut self, facts: &HostFacts, row: PendingFix) {
        let packaging = facts.packaging();
        let cause = match (row.state, version_to_install(&row, packaging)) {
            (PatchStateOfPackage::Missing, Some(to)) => return self.update(packaging, &row, to),
            (PatchStateOfPackage::Missing, None) => {
                offer::why_none(facts, &row.package, row.candidate.as_deref())
            }
            (PatchStateOfPackage::Held, _) => OmitCause::Held,
            (PatchStateOfPackage::Excepted, _) => OmitCause::Excepted,
            (PatchStateOfPackage::PendingReboot, _) => return,
        };
        self.omitted.insert((row.package.clone(), cause));
        if cause == OmitCause::NewName {
            self.renamed.push(row);
        }
    }

    fn leave_out(&mut self, package: &str, exclusion: Exclusion<'_>) {
        let place = self.left_out.entry((package.to_owned(), exclusion.rule()));
        place.or_insert_with(|| exclusion.explanation());
    }

    fn update(&mut self, packaging: Packaging, row: &PendingFix, to: String) {
        match self.updates.entry(row.package.clone()) {
            Entry::Vacant(place) => {
                place.insert(PackageUpdate {
                    package: row.package.clone(),
                    from: row.installed.clone(),
                    to,
                    advisories: vec![row.advisory_id.clone()],
                    cves: row.cves.clone(),
                });
            }
            Entry::Occupied(mut place) => {
                let update = place.get_mut();
                if compare(packaging, &to, &update.to) == Ordering::Greater {
                    update.to = to;
                }
                update.advisories.push(row.advisory_id.clone());
                update.cves.extend(row.cves.iter().cloned());
            }
        }
    }

    fn finish(self) -> (Vec<PackageUpdate>, Vec<OmittedUpdate>) {
        let in_order = |mut update: PackageUpdate| {
            update.advisories.sort();
            update.advisories.dedup();
            update.cves.sort();
            update.cves.dedup();
            update
        };
        let omitted = self.omitted.iter().map(|(package, cause)| OmittedUpdate {
            brought_by: self.brings(package).filter(|_| *cause == OmitCause::NewName),
            ..OmittedUpdate::new(package, *cause)
        });
        let left_out = self.left_out.iter().map(|((package, _), reason)| OmittedUpdate {
            reason: Some(reason.clone()),
            ..OmittedUpdate::new(package, OmitCause::NotInBaseline)
        });
        let mut omitted: Vec<OmittedUpdate> = omitted.chain(left_out).collect();
        omitted.sort();
        (self.updates.into_values().map(in_order).collect(), omitted)
    }

    /// The planned package that brings every fix of this one; an image rather than headers.
    fn brings(&self, package: &str) -> Option<String> {
        let wanted: Vec<&str> = self
            .renamed
            .iter()
            .filter(|row| row.package == package)
            .map(|row| row.advisory_id.as_str())
            .collect();
        let brings_all = |update: &&PackageUpdate| {
            update.package.starts_with("linux-")
                && wanted.iter().all(|id| update.advisories.iter().any(|one| one == id))
        };
        let found = self.updates.values().filter(brings_all);
        found
            .min_by_key(|update| !update.package.starts_with("linux-image-"))
            .map(|update| update.package.clone())
    }
}

/// The hosts among these whose repositories nobody asked what they offer.
pub async fn list_not_asked(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<BTreeSet<CiId>> {
    let facts = store::package_sets::list_facts_of(conn, &names(hosts)).await?;
    let not_asked = facts.into_iter().filter(|(_, facts)| facts.repositories.is_not_asked());
    not_asked.map(|(host, _)| ci_id(&host)).collect()
}

/// The hosts whose package manager cannot install anything, with the reason.
pub async fn list_unresolved(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<BTreeMap<CiId, String>> {
    let facts = store::package_sets::list_facts_of(conn, &names(hosts)).await?;
    let problems = facts.into_iter().filter_map(|(host, facts)| Some((host, facts.repositories.problem()?)));
    problems.map(|(host, problem)| Ok((ci_id(&host)?, problem))).collect()
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

/// Middles of the ranges of CVSS 3.1. A severity that nobody knows counts as medium: as none, its fix would seem worth nothing.
fn score(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 9.5,
        Severity::High => 8.0,
        Severity::Medium | Severity::Unknown => 5.5,
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
