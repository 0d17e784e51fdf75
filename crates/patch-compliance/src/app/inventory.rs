//! Package inventories, pushed or scanned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use advisories::{Inventory, Month};
use api_types::patch::{Inventory as PushedInventory, InventoryReport, RefusedInventory};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{compliance::ComplianceStatus, ids::CiId};
use service_kit::{ApiError, ApiResult, Caller, audit};
use sqlx::PgConnection;

use super::{
    criteria_cache::{CriteriaCache, Revision},
    host_os, hosts,
    observation::{Observation, observe},
    package_set_matching::AdvisoryIndex,
    package_sets::{digest, store_sets},
    policy_results::{self, DEFAULT_SCAN_AGE_HOURS},
    remediation_stats::{self, RemediatedHost},
};
use crate::{
    App,
    store::{
        self,
        affected::PairChanges,
        hosts::{Host, HostScan, Touch},
    },
};

/// Attempts for a transaction that other transactions prevent.
const MAX_ATTEMPTS: u32 = 5;
/// Maximum number of refusals in one report.
const MAX_REFUSALS_SHOWN: usize = 1000;

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
            && host.stale_services.0 == observation.stale_services
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
    let inventories: BTreeMap<&Vec<u8>, &Inventory> =
        changed_hosts.iter().map(|one| (&one.digest, &one.observation.inventory)).collect();
    let (numbers, mut findings) = store_sets(conn, criteria, revision, inventories).await?;
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
        stale_services: observation.stale_services.clone(),
        boot_id: observation.boot_id.clone(),
        returnable: observation.returnable.clone(),
        text_digest: observation.text.map(|text| text.to_vec()),
    }
}

/// An agent speaks for its own host only. The answer says nothing about the other one.
pub(crate) fn refuse_other_host(caller: &Caller, ci_id: &CiId) -> ApiResult<()> {
    match &caller.ci {
        Some(own) if own != ci_id.as_str() => Err(ApiError::forbidden(format!(
            "`{}` is the agent of `{own}` and cannot push the inventory of another host",
            caller.subject
        ))),
        _ => Ok(()),
    }
}

/// An agent has one inventory.
pub(crate) fn refuse_many(caller: &Caller) -> ApiResult<()> {
    match &caller.ci {
        Some(own) => Err(ApiError::forbidden(format!(
            "`{}` is the agent of `{own}`; it pushes one inventory as `application/json`",
            caller.subject
        ))),
        None => Ok(()),
    }
}

/// Takes one pushed inventory. An invalid one is refused as a whole.
pub(crate) async fn push_inventory(
    app: &App,
    caller: &Caller,
    pushed: PushedInventory,
) -> ApiResult<InventoryReport> {
    refuse_other_host(caller, &pushed.ci_id)?;
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
    observations.retain(|one| ingested.unknown.contains(&one.ci_id));
    let releases = observations.iter().map(|one| (one.ci_id.clone(), one.inventory.facts.os.clone()));
    let releases: Vec<_> = releases.collect();
    if host_os::learn_releases(app, &releases).await? {
        hosts::try_synchronise(app).await;
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
