//! Package sets: each distinct one is stored and matched once, however many hosts have it.

use std::collections::{BTreeMap, HashMap};

use advisories::{InstalledPackage, Inventory, OsRelease};
use rustc_hash::FxHashMap;
use service_kit::ApiResult;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{
    criteria_cache::{CriteriaCache, Revision},
    package_set_matching,
};
use crate::store::{
    self,
    dictionary::{ContentDigest, NewPackage, by_digest},
    package_sets::{MatchedSet, NewSet, SetKnowledge},
};

/// Maximum number of unread packages that are kept of one set; all are counted.
const MAX_UNREAD_SHOWN: usize = 100;

/// Stores and matches the new sets among these, by digest. Returns the numbers of all sets by digest, and their findings.
pub(crate) async fn store_sets(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    revision: &Revision,
    wanted: BTreeMap<&Vec<u8>, &Inventory>,
) -> ApiResult<(HashMap<Vec<u8>, i32>, HashMap<i32, Vec<i32>>)> {
    let digests: Vec<Vec<u8>> = wanted.keys().map(|digest| (*digest).clone()).collect();
    let mut numbers: HashMap<Vec<u8>, i32> =
        store::package_sets::find_sets(conn, &digests).await?.into_iter().collect();
    let known: Vec<i32> = numbers.values().copied().collect();
    let mut findings: HashMap<i32, Vec<i32>> =
        store::package_sets::list_findings(conn, &known).await?.into_iter().collect();
    let new: Vec<(&Vec<u8>, &Inventory)> =
        wanted.into_iter().filter(|(digest, _)| !numbers.contains_key(*digest)).collect();
    if new.is_empty() {
        return Ok((numbers, findings));
    }
    let inventories: Vec<&Inventory> = new.iter().map(|(_, inventory)| *inventory).collect();
    let packages = number_packages(conn, criteria, &inventories).await?;
    let sets: Vec<NewSet> = new
        .iter()
        .zip(packages)
        .map(|((digest, inventory), packages)| NewSet {
            digest: (*digest).clone(),
            facts: inventory.facts.clone(),
            packages,
            unread: inventory.unread.iter().take(MAX_UNREAD_SHOWN).cloned().collect(),
        })
        .collect();
    let inserted: HashMap<Vec<u8>, i32> =
        store::package_sets::insert_sets(conn, &sets).await?.into_iter().collect();
    let (mut fresh, mut inventories) = (Vec::new(), Vec::new());
    for (digest, inventory) in new {
        if let Some(&no) = inserted.get(digest) {
            fresh.push(no);
            inventories.push(inventory);
        }
    }
    let missing_fixes = package_set_matching::match_new_sets(conn, criteria, revision, &inventories).await?;
    let matched: Vec<MatchedSet> = fresh
        .into_iter()
        .zip(inventories)
        .zip(missing_fixes)
        .map(|((no, inventory), findings)| MatchedSet {
            no,
            package_digest: package_digest(inventory),
            findings,
            knowledge: knowledge(inventory),
        })
        .collect();
    store::package_sets::insert_findings(conn, &matched).await?;
    findings.extend(matched.into_iter().map(|set| (set.no, set.findings)));
    numbers.extend(inserted);
    // Another transaction has stored the same sets, together with their findings.
    let rest: Vec<Vec<u8>> = digests.into_iter().filter(|digest| !numbers.contains_key(digest)).collect();
    if !rest.is_empty() {
        let others = store::package_sets::find_sets(conn, &rest).await?;
        let nos: Vec<i32> = others.iter().map(|(_, no)| *no).collect();
        findings.extend(store::package_sets::list_findings(conn, &nos).await?);
        numbers.extend(others);
    }
    Ok((numbers, findings))
}

fn knowledge(inventory: &Inventory) -> SetKnowledge {
    let Inventory { facts, packages, unread } = inventory;
    let count = |wanted: Option<bool>| {
        packages.iter().filter(|package| package.is_third_party(&facts.os) == wanted).count() as i32
    };
    SetKnowledge {
        releases: facts.releases().map(ToString::to_string).collect(),
        packages: packages.len() as i32,
        third_party: count(Some(true)),
        unknown_vendor: count(None),
        unread: unread.len() as i32,
    }
}

/// The dictionary's numbers of the packages of each inventory. New packages get a number.
async fn number_packages(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    inventories: &[&Inventory],
) -> ApiResult<Vec<Vec<i32>>> {
    let digests: Vec<Vec<ContentDigest>> = inventories
        .iter()
        .map(|inventory| {
            let os = inventory.facts.os.to_string();
            inventory.packages.iter().map(|package| content_digest(&os, package)).collect()
        })
        .collect();
    let known: Vec<Vec<Option<i32>>> =
        digests.iter().map(|digests| criteria.cached_packages(digests)).collect();
    let mut missing: BTreeMap<ContentDigest, (&OsRelease, &InstalledPackage)> = BTreeMap::new();
    for ((inventory, digests), known) in inventories.iter().zip(&digests).zip(&known) {
        let unknown = inventory.packages.iter().zip(digests).zip(known).filter(|(_, known)| known.is_none());
        missing.extend(unknown.map(|((package, digest), _)| (*digest, (&inventory.facts.os, package))));
    }
    let mut numbers: FxHashMap<ContentDigest, i32> = FxHashMap::default();
    if !missing.is_empty() {
        let wanted: Vec<Vec<u8>> = missing.keys().map(|digest| digest.to_vec()).collect();
        let stored = by_digest(store::dictionary::find_packages(conn, &wanted).await?);
        criteria.cache_packages(&stored);
        missing.retain(|digest, _| !stored.contains_key(digest));
        numbers.extend(stored);
    }
    if !missing.is_empty() {
        let new: Vec<(ContentDigest, NewPackage)> = missing
            .iter()
            .map(|(digest, (os, package))| {
                let names =
                    package_set_matching::advisory_names(package).into_iter().map(|name| name.into_owned());
                let new =
                    NewPackage { os: os.to_string(), names: names.collect(), package: (*package).clone() };
                (*digest, new)
            })
            .collect();
        let inserted = by_digest(store::dictionary::insert_packages(conn, &new).await?);
        missing.retain(|digest, _| !inserted.contains_key(digest));
        numbers.extend(inserted);
        let rest: Vec<Vec<u8>> = missing.keys().map(|digest| digest.to_vec()).collect();
        if !rest.is_empty() {
            numbers.extend(by_digest(store::dictionary::find_packages(conn, &rest).await?));
        }
    }
    let number =
        |(digest, known): (&ContentDigest, &Option<i32>)| known.or_else(|| numbers.get(digest).copied());
    Ok(digests
        .iter()
        .zip(&known)
        .map(|(digests, known)| digests.iter().zip(known).filter_map(number).collect())
        .collect())
}

/// Covers everything that decides which fixes a package is missing.
fn content_digest(os: &str, package: &InstalledPackage) -> ContentDigest {
    let mut hash = Sha256::new();
    let module = package.module.as_ref().map(ToString::to_string);
    hash.update(os);
    for text in [&package.name, &package.version] {
        hash.update([0]);
        hash.update(text);
    }
    for text in [&package.arch, &package.source_name, &package.source_version, &package.candidate, &module] {
        hash.update([0, u8::from(text.is_some())]);
        hash.update(text.as_deref().unwrap_or_default());
    }
    hash.update([u8::from(package.held)]);
    // Only where it is known, so that packages that were stored without a vendor keep their numbers.
    if let Some(vendor) = &package.vendor {
        hash.update([1]);
        hash.update(vendor);
    }
    for version in &package.offered {
        hash.update([2]);
        hash.update(version);
    }
    hash.finalize().into()
}

/// Covers everything that decides which fixes a host is missing. Packages are sorted, so that equal hosts have equal
/// digests.
pub(crate) fn digest(inventory: &Inventory) -> Vec<u8> {
    let json = serde_json::to_vec(inventory).unwrap_or_default();
    Sha256::digest(json).to_vec()
}

fn package_digest(inventory: &Inventory) -> Vec<u8> {
    let mut hash = Sha256::new();
    for package in &inventory.packages {
        for text in
            [&package.name, "\t", &package.version, "\t", package.arch.as_deref().unwrap_or_default(), "\n"]
        {
            hash.update(text);
        }
    }
    hash.finalize().to_vec()
}
