//! Package inventories, pushed or scanned: each distinct package set is stored and matched once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use advisories::{InstalledPackage, Inventory, Month, OsRelease};
use api_types::patch::{Inventory as PushedInventory, InventoryReport, RefusedInventory};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{compliance::ComplianceStatus, ids::CiId};
use rustc_hash::FxHashMap;
use service_kit::{ApiError, ApiResult, Caller, audit};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{
    criteria_cache::{CriteriaCache, Revision},
    hosts,
    observation::{Observation, observe},
    package_set_matching::{self, AdvisoryIndex},
    policy_results::{self, DEFAULT_SCAN_AGE_HOURS},
    remediation_stats::{self, RemediatedHost},
};
use crate::{
    App,
    store::{
        self,
        affected::PairChanges,
        dictionary::{ContentDigest, NewPackage, by_digest},
        hosts::{Host, HostScan, Touch},
        package_sets::{MatchedSet, NewSet, SetKnowledge},
    },
};

/// Attempts for a transaction that other transactions prevent.
const MAX_ATTEMPTS: u32 = 5;
/// Maximum number of refusals in one report.
const MAX_REFUSALS_SHOWN: usize = 1000;
/// Maximum number of unread packages that are kept of one host; all are counted.
const MAX_UNREAD_SHOWN: usize = 100;

/// Result of storing observations.
#[derive(Debug, Default)]
pub struct Ingested {
    pub changed: u64,
    /// Seen before, or older than the stored scan.
    pub unchanged: u64,
    /// CIs that are not active hosts of the CMDB.
    pub unknown: BTreeSet<CiId>,
}

/// Stores observations and their consequences. The caller holds [`store::lock_results_shared`].
///
/// Unchanged hosts only get the time of the scan. Changed hosts are locked and matched, and only differences are written.
pub(crate) async fn store_observations(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    observations: &[Observation],
    now: DateTime<Utc>,
) -> ApiResult<Ingested> {
    let mut report = Ingested::default();
    let revision = criteria.current(conn).await?;
    let mut ids: Vec<String> = observations.iter().map(|one| one.ci_id.to_string()).collect();
    // Sorted, so that neighbours are read together.
    ids.sort_unstable();
    ids.dedup();
    let known: HashMap<String, Host> = store::hosts::find_hosts(conn, &ids)
        .await?
        .into_iter()
        .map(|host| (host.ci_id.clone(), host))
        .collect();
    let newest = newest_of_each(observations, &known, &mut report);
    let (mut same, mut changed_hosts) = (Vec::new(), Vec::new());
    for (observation, host) in newest.into_values() {
        let digest = digest(&observation.inventory);
        let is_same = host.digest.as_deref() == Some(digest.as_slice())
            && host.reboot_pending == observation.reboot_pending
            && host.boot_id == observation.boot_id
            && host.returnable.0 == observation.returnable;
        if is_same {
            same.push((observation, host));
        } else {
            changed_hosts.push(ChangedHost { observation, host, digest });
        }
    }
    report.unchanged += same.len() as u64;
    let refreshable: Vec<i32> = same
        .iter()
        .filter(|(_, host)| needs_recompute(&revision, host.status, host.last_scanned, now))
        .map(|(_, host)| host.id)
        .collect();
    let mut to_recompute: Vec<i32> = changed_hosts.iter().map(|one| one.host.id).chain(refreshable).collect();
    to_recompute.sort_unstable();
    store::hosts::lock_hosts(conn, &to_recompute).await?;
    let touch = |(observation, host): &(&Observation, &Host)| Touch {
        at: observation.collected_at,
        scan_id: observation.scan_id.clone(),
        host_id: host.id,
    };
    store::hosts::touch(conn, same.iter().map(touch).collect()).await?;
    let new_texts = same.iter().filter_map(|(observation, host)| Some((host, observation.text?.to_vec())));
    let new_texts = new_texts.filter(|(host, text)| host.text_digest.as_ref() != Some(text));
    store::hosts::update_text_digests(conn, new_texts.map(|(host, text)| (host.id, text)).collect()).await?;
    let changes = store_changed(conn, criteria, &revision, changed_hosts, now).await?;
    report.changed += changes.changed;
    report.unchanged += changes.unchanged;
    policy_results::recompute(conn, &revision, &to_recompute, now).await?;
    Ok(report)
}

/// The newest observation of each host.
fn newest_of_each<'a>(
    observations: &'a [Observation],
    known: &'a HashMap<String, Host>,
    report: &mut Ingested,
) -> BTreeMap<i32, (&'a Observation, &'a Host)> {
    let mut newest: BTreeMap<i32, (&Observation, &Host)> = BTreeMap::new();
    for observation in observations {
        let Some(host) = known.get(observation.ci_id.as_str()) else {
            report.unknown.insert(observation.ci_id.clone());
            continue;
        };
        let is_repeated = observation.scan_id.is_some() && observation.scan_id == host.scan_id;
        if is_repeated || host.last_scanned.is_some_and(|last| observation.collected_at < last) {
            report.unchanged += 1;
            continue;
        }
        match newest.get(&host.id) {
            Some((other, _)) if other.collected_at > observation.collected_at => report.unchanged += 1,
            Some(_) => {
                report.unchanged += 1;
                newest.insert(host.id, (observation, host));
            }
            None => {
                newest.insert(host.id, (observation, host));
            }
        }
    }
    newest
}

/// Whether the results of a host can change although its packages did not: a result may be unknown because of the age of
/// the last scan, or a new month has begun since.
pub(crate) fn needs_recompute(
    revision: &Revision,
    status: ComplianceStatus,
    last_scanned: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    let Some(scanned) = last_scanned else { return true };
    let shortest = revision.policies.iter().map(|policy| policy.max_scan_age_hours);
    let shortest = shortest.min().unwrap_or(DEFAULT_SCAN_AGE_HOURS).min(DEFAULT_SCAN_AGE_HOURS);
    status == ComplianceStatus::Unknown
        || scanned < now - TimeDelta::hours(i64::from(shortest))
        || Month::of(scanned) != Month::of(now)
}

/// An observation that differs from the stored scan of its host.
struct ChangedHost<'a> {
    observation: &'a Observation,
    host: &'a Host,
    digest: Vec<u8>,
}

/// Stores changed hosts. They are locked.
async fn store_changed(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    revision: &Revision,
    mut changed_hosts: Vec<ChangedHost<'_>>,
    now: DateTime<Utc>,
) -> ApiResult<Ingested> {
    let mut report = Ingested::default();
    if changed_hosts.is_empty() {
        return Ok(report);
    }
    let ids: Vec<i32> = changed_hosts.iter().map(|one| one.host.id).collect();
    let scans_before: HashMap<i32, (Option<i32>, Option<DateTime<Utc>>)> =
        store::hosts::list_scans(conn, &ids)
            .await?
            .into_iter()
            .map(|(host, set_no, scanned)| (host, (set_no, scanned)))
            .collect();
    // A newer scan may have been stored between the read and the lock.
    changed_hosts.retain(|one| {
        let (_, scanned) = scans_before.get(&one.host.id).copied().unwrap_or_default();
        scanned.is_none_or(|last| last <= one.observation.collected_at)
    });
    report.unchanged = (ids.len() - changed_hosts.len()) as u64;
    let (numbers, mut findings) = store_sets(conn, criteria, revision, &changed_hosts).await?;
    let before: BTreeSet<i32> = scans_before.values().filter_map(|(set_no, _)| *set_no).collect();
    let before: Vec<i32> = before.into_iter().filter(|no| !findings.contains_key(no)).collect();
    findings.extend(store::package_sets::list_findings(conn, &before).await?);
    let all: Vec<i32> = findings.values().flatten().copied().collect();
    let advisory_index = AdvisoryIndex::load(conn, criteria, &all).await?;

    let (mut changes, mut scans, mut left) = (PairChanges::default(), Vec::new(), Vec::new());
    let mut remediated = Vec::new();
    for one in &changed_hosts {
        let Some(&set_no) = numbers.get(&one.digest) else {
            return Err(ApiError::internal("a package set was not stored"));
        };
        scans.push(host_scan(one, set_no));
        let (stored, _) = scans_before.get(&one.host.id).copied().unwrap_or_default();
        if stored == Some(set_no) {
            report.unchanged += 1;
            continue;
        }
        report.changed += 1;
        left.extend(stored);
        let findings_of = |set_no: i32| findings.get(&set_no).map(Vec::as_slice).unwrap_or_default();
        let (had, has) = (stored.map(findings_of).unwrap_or_default(), findings_of(set_no));
        let (before, after) = (advisory_index.missing(had), advisory_index.missing(has));
        changes.add(one.host.id, &before, &after);
        let gone: Vec<i32> = before.without(&after).collect();
        if !gone.is_empty() {
            remediated.push(RemediatedHost {
                host_id: one.host.id,
                had,
                gone,
                at: one.observation.collected_at,
            });
        }
    }
    store::affected::change_pairs(conn, changes).await?;
    remediation_stats::count(conn, revision, &remediated, now).await?;
    store::hosts::record_scans(conn, &scans).await?;
    if !left.is_empty() {
        store::package_sets::insert_left_sets(conn, &left).await?;
    }
    Ok(report)
}

fn host_scan(one: &ChangedHost<'_>, set_no: i32) -> HostScan {
    let observation = one.observation;
    HostScan {
        host_id: one.host.id,
        set_no,
        scan_id: observation.scan_id.clone(),
        scanned_at: observation.collected_at,
        reboot_pending: observation.reboot_pending,
        boot_id: observation.boot_id.clone(),
        returnable: observation.returnable.clone(),
        text_digest: observation.text.map(|text| text.to_vec()),
    }
}

/// Stores and matches the new sets. Returns the numbers of all sets by digest, and their findings.
async fn store_sets(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    revision: &Revision,
    changed_hosts: &[ChangedHost<'_>],
) -> ApiResult<(HashMap<Vec<u8>, i32>, HashMap<i32, Vec<i32>>)> {
    let wanted: BTreeMap<&Vec<u8>, &Inventory> =
        changed_hosts.iter().map(|one| (&one.digest, &one.observation.inventory)).collect();
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
    hash.finalize().into()
}

/// Covers everything that decides which fixes a host is missing. Packages are sorted, so that equal hosts have equal
/// digests.
fn digest(inventory: &Inventory) -> Vec<u8> {
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

/// Takes one pushed inventory. An invalid one is refused as a whole.
pub(crate) async fn push_inventory(
    app: &App,
    caller: &Caller,
    pushed: PushedInventory,
) -> ApiResult<InventoryReport> {
    let observation =
        observe(pushed, app.clock.now()).map_err(|(pointer, reason)| ApiError::invalid(pointer, reason))?;
    let ci_id = observation.ci_id.clone();
    let mut report = InventoryReport { read: 1, ..InventoryReport::default() };
    let unknown = push_inventories(app, caller, vec![(1, observation)], &mut report).await?;
    if unknown {
        return Err(ApiError::invalid("/ci_id", format!("there is no managed host `{ci_id}` in the CMDB")));
    }
    Ok(report)
}

/// Records one batch of checked inventories with their record numbers. Returns whether one of them is of an unknown host.
pub(crate) async fn push_inventories(
    app: &App,
    caller: &Caller,
    batch: Vec<(u64, Observation)>,
    report: &mut InventoryReport,
) -> ApiResult<bool> {
    let (records, mut observations): (Vec<u64>, Vec<Observation>) = batch.into_iter().unzip();
    report.unread += observations.iter().map(|one| one.inventory.unread.len() as u64).sum::<u64>();
    let hosts: Vec<CiId> = observations.iter().map(|one| one.ci_id.clone()).collect();
    let mut ingested = record_observations(app, Some(caller), &observations).await?;
    count(report, &ingested);
    if !ingested.unknown.is_empty() {
        // They may be new in the CMDB since the last synchronisation.
        hosts::try_synchronise(app).await;
        observations.retain(|one| ingested.unknown.contains(&one.ci_id));
        ingested = record_observations(app, Some(caller), &observations).await?;
        count(report, &ingested);
    }
    let unknown = ingested.unknown;
    for (record, ci_id) in records.into_iter().zip(hosts).filter(|(_, ci_id)| unknown.contains(ci_id)) {
        refuse(report, record, format!("there is no managed host `{ci_id}` in the CMDB"));
    }
    Ok(!unknown.is_empty())
}

/// [`store_observations`] in its own transaction; changes by a caller are audited.
pub async fn record_observations(
    app: &App,
    caller: Option<&Caller>,
    observations: &[Observation],
) -> ApiResult<Ingested> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut transaction = app.pool.begin().await?;
        store::lock_results_shared(&mut transaction).await?;
        let stored = store_observations(&mut transaction, &app.criteria, observations, app.clock.now()).await;
        match stored {
            Ok(ingested) => {
                if let Some(caller) = caller.filter(|_| ingested.changed > 0) {
                    let object = match observations {
                        [only] => format!("inventory/{}", only.ci_id),
                        many => format!("inventory/{} hosts", many.len()),
                    };
                    let record = audit::Record::new("push_inventory", object);
                    audit::record(&mut transaction, caller, record).await?;
                }
                transaction.commit().await?;
                return Ok(ingested);
            }
            // Two batches touched the same hosts in different order; the other one has won.
            Err(error) if attempts < MAX_ATTEMPTS && store::is_deadlock(&error) => {
                transaction.rollback().await?;
                tracing::debug!("two requests push inventories of the same hosts; retrying the later one");
            }
            Err(error) => return Err(error),
        }
    }
}

fn count(report: &mut InventoryReport, ingested: &Ingested) {
    report.changed += ingested.changed;
    report.unchanged += ingested.unchanged;
}

pub(crate) fn refuse(report: &mut InventoryReport, record: u64, reason: String) {
    if report.refused.len() < MAX_REFUSALS_SHOWN {
        report.refused.push(RefusedInventory { record, reason });
    }
}
