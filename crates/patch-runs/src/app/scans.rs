//! Scans: Ansible inspects hosts, and the result becomes their inventory.
//!
//! A scan is a row that one process owns through a lease. Its hosts are fixed when it starts, and their results are stored
//! chunk by chunk, so a process that takes over the scan continues with the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ansible::{Event, Playbook, RunningPlaybook, StopGraces, Variables};
use api_types::patch::{Scan, ScanState, StartScan};
use axum::http::StatusCode;
use chrono::TimeDelta;
use domain::{
    ids::{CiId, ScanId},
    plan::Target,
    preflight::PreflightCheck,
    selector::Selector,
};
use leases::{Lease, LeasedTable, Wakeups};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    error::chain,
    idempotency::{self, Begun},
    problem_types,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    keys::{self, Keys},
    playbooks,
    scan_output::read_result,
    scan_targets::{learns_os, scan_targets},
};
use crate::{
    App,
    store::{self, runs::RunRow, scans::HostResult},
};
use patch_compliance::app::{host_os, hosts, inventory, observation::Observation};

const CHANNEL: &str = "patch_scans";
const SCANS: LeasedTable =
    LeasedTable { table: "patch.scans", key: "id", claimable: "finished_at is null", order_by: "created_at" };
/// Scans that one process works on at once.
const MAX_CONCURRENT_SCANS: u32 = 2;
/// A scan that takes longer ends with the results it has.
const SCAN_TIMEOUT: TimeDelta = TimeDelta::hours(6);
/// Hosts of one playbook; also how much is repeated after a crash.
pub(super) const CHUNK: usize = 200;
/// Time limit of the playbook over one chunk.
pub(crate) const CHUNK_TIMEOUT: Duration = Duration::from_secs(1800);
/// Wait after the CMDB or the database failed to answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Failures in a row, other than an unavailable dependency, after which a scan is aborted.
const MAX_REFUSALS: u32 = 5;
const NOT_MANAGED: &str = "is not managed yet, because it has no tag `os` and the scan could not read it";
const NO_HOST: &str = "the selection has no active host or VM, so nothing was scanned";

pub(crate) async fn start_scan(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: StartScan,
) -> ApiResult<Scan> {
    let selector = request.selector.clone().unwrap_or_else(|| Selector { all: true, ..Selector::default() });
    if selector == Selector::default() {
        return Err(ApiError::invalid("/selector", "selects nothing; set `tags`, `ids` or `all`"));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "start_scan", key, &request).await? {
        Begun::Replay(scan) => return Ok(scan),
        Begun::New(ticket) => ticket,
    };
    let scan = Scan {
        id: ScanId(Uuid::now_v7()),
        state: ScanState::Queued,
        requested_by: caller.subject.clone(),
        selector,
        total: 0,
        scanned: 0,
        failed: 0,
        failures: Vec::new(),
        error: None,
        created_at: now,
        started_at: None,
        finished_at: None,
    };
    store::scans::insert_scan(&mut transaction, &scan, now + SCAN_TIMEOUT).await?;
    let record = audit::Record::new("start_scan", format!("scan/{}", scan.id)).after(&scan.selector);
    audit::record(&mut transaction, caller, record).await?;
    leases::notify(&mut transaction, CHANNEL, "").await?;
    ticket.finish(&mut transaction, &scan).await?;
    transaction.commit().await?;
    Ok(scan)
}

pub(crate) async fn get_scan(app: &App, id: ScanId) -> ApiResult<Scan> {
    let mut conn = app.pool.acquire().await?;
    store::scans::get_scan(&mut conn, id).await
}

/// Starts the work on scans in the background.
pub(crate) fn start_worker(app: &App) {
    app.tasks.spawn(claim_scans(app.clone()));
}

async fn claim_scans(app: App) {
    let mut wakeups = Wakeups::listen(&app.pool, CHANNEL);
    let places = Arc::new(Semaphore::new(MAX_CONCURRENT_SCANS as usize));
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            _ = wakeups.next() => {}
        }
        let free = places.available_permits() as u32;
        if free == 0 {
            continue;
        }
        let leases = match app.worker.claim::<Uuid>(&SCANS, free).await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!("cannot claim scans now: {}", chain(&error));
                continue;
            }
        };
        for lease in leases {
            let Ok(place) = places.clone().try_acquire_owned() else { break };
            let app = app.clone();
            app.tasks.clone().spawn(async move {
                let (lapsed, stop) = (lease.lapsed(), app.shutdown.clone());
                tokio::select! {
                    () = run_scan(&app, lease) => {}
                    () = lapsed.cancelled() => tracing::warn!("the lease of a scan has lapsed; another process will continue it"),
                    () = stop.cancelled() => {}
                }
                drop(place);
            });
        }
    }
}

/// Works on a scan until it ends. Failures are retried until the deadline of the scan.
async fn run_scan(app: &App, lease: Lease) {
    let id = *lease.key();
    let mut refusals = 0;
    loop {
        match advance(app, &lease).await {
            Ok(true) => break,
            Ok(false) => refusals = 0,
            Err(error) => {
                tracing::warn!(scan.id = %id, "scan `{id}` cannot continue now: {}", chain(&error));
                // An unavailable dependency comes back; a repeated refusal is permanent.
                refusals += u32::from(error.status() != StatusCode::SERVICE_UNAVAILABLE);
                if refusals == MAX_REFUSALS && abort_scan(app, &lease, &error.to_string()).await.is_ok() {
                    break;
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
    if let Err(error) = lease.release().await {
        tracing::debug!(scan.id = %id, "the lease of an ended scan has lapsed already: {}", chain(&error));
    }
}

/// Does the next part of a scan; `true` if the scan has ended.
async fn advance(app: &App, lease: &Lease) -> ApiResult<bool> {
    let id = *lease.key();
    let mut conn = app.pool.acquire().await?;
    let scan = store::scans::get_open_scan(&mut conn, id).await?;
    drop(conn);
    let now = app.clock.now();
    if now >= scan.deadline {
        abort_scan(app, lease, "the scan took longer than its time limit").await?;
        return Ok(true);
    }
    if scan.state == ScanState::Queued {
        begin_scan(app, lease, &scan.selector).await?;
        return Ok(false);
    }
    let mut conn = app.pool.acquire().await?;
    let names = store::scans::list_unscanned(&mut conn, id, CHUNK as i64).await?;
    drop(conn);
    if names.is_empty() {
        let mut transaction = lease.begin().await.map_err(ApiError::internal)?;
        finish_scan(&mut transaction, id, None, now).await?;
        transaction.commit().await?;
        return Ok(true);
    }
    let ids = names.iter().map(CiId::new).collect::<Result<_, _>>().map_err(ApiError::internal)?;
    let (targets, mut refused) = scan_targets(app, &Selector { ids, ..Selector::default() }).await?;
    let learning: BTreeSet<&str> =
        targets.iter().filter(|(_, target)| learns_os(target)).map(|(id, _)| id.as_str()).collect();
    let work_dir = app.compliance.settings.work_dir.join("scans").join(id.to_string());
    let scanned = scan_hosts(app, None, &targets, &work_dir, CHUNK_TIMEOUT).await?;
    let results: Vec<HostResult> = names
        .into_iter()
        .map(|name| {
            let id = CiId::new(&name).ok();
            let result = id.and_then(|id| {
                let known = scanned.get(&id).cloned();
                known.or(refused.remove(&id).map(|reason| Err(Unscanned::because(reason))))
            });
            let reason = match result {
                Some(Ok(())) => None,
                Some(Err(unscanned)) => Some(unscanned.reason),
                None => Some("the CMDB no longer has it as a managed host".to_owned()),
            };
            let unmanaged = reason.is_some() && learning.contains(name.as_str());
            let reason =
                reason.map(|reason| if unmanaged { format!("{NOT_MANAGED}: {reason}") } else { reason });
            HostResult { ci_id: name, reason, unmanaged }
        })
        .collect();
    let mut transaction = lease.begin().await.map_err(ApiError::internal)?;
    store::scans::record_results(&mut transaction, id, &results).await?;
    transaction.commit().await?;
    Ok(false)
}

/// Ends a scan with the results it has; the remaining hosts fail for this reason.
async fn abort_scan(app: &App, lease: &Lease, reason: &str) -> ApiResult<()> {
    let mut transaction = lease.begin().await.map_err(ApiError::internal)?;
    store::scans::fail_unscanned(&mut transaction, *lease.key(), reason).await?;
    finish_scan(&mut transaction, *lease.key(), Some(reason), app.clock.now()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Fixes the hosts of the scan. One whose operating system is unknown is a host of the scan, too.
async fn begin_scan(app: &App, lease: &Lease, selector: &Selector) -> ApiResult<()> {
    hosts::synchronise(&app.compliance).await?;
    let (targets, refused) = scan_targets(app, selector).await?;
    let pending: Vec<String> = targets.keys().map(ToString::to_string).collect();
    let refused: Vec<_> = refused.into_iter().map(|(host, reason)| (host.to_string(), reason)).collect();
    let mut transaction = lease.begin().await.map_err(ApiError::internal)?;
    store::scans::begin_scan(&mut transaction, *lease.key(), &pending, &refused, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(())
}

async fn finish_scan(
    conn: &mut sqlx::PgConnection,
    id: Uuid,
    error: Option<&str>,
    now: chrono::DateTime<chrono::Utc>,
) -> ApiResult<()> {
    let counts = store::scans::count_hosts(conn, id).await?;
    let error = error.or((counts.total == 0).then_some(NO_HOST));
    let state = match (counts.scanned, counts.failed) {
        (0, 0) => ScanState::Failed,
        (_, 0) => ScanState::Succeeded,
        (0, _) => ScanState::Failed,
        _ => ScanState::Partial,
    };
    store::scans::finish_scan(conn, id, state, error, now).await?;
    tracing::info!(scan.id = %id, "scan `{id}` has ended: {} scanned, {} failed", counts.scanned, counts.failed);
    Ok(())
}

/// Why a host could not be scanned.
#[derive(Debug, Clone)]
pub(crate) struct Unscanned {
    pub reason: String,
    /// No connection to it could be made.
    pub unreachable: bool,
    /// Python cannot be started on it.
    pub lacks_python: bool,
}

impl Unscanned {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), unreachable: false, lacks_python: false }
    }
}

/// What a scan of hosts found out: nothing to report, or why it was not possible.
pub(crate) type ScanResults = BTreeMap<CiId, Result<(), Unscanned>>;

/// The most seconds that a scan of so many hosts may take.
pub(crate) fn longest_scan_seconds(hosts: usize) -> u32 {
    let of_host = CHUNK_TIMEOUT.as_secs().div_ceil(CHUNK as u64);
    u32::try_from(of_host.saturating_mul(hosts as u64)).unwrap_or(u32::MAX)
}

/// Scans these hosts now and records what is found, and which of them could not be reached.
pub(crate) async fn scan_hosts(
    app: &App,
    run: Option<&RunRow>,
    targets: &BTreeMap<CiId, Target>,
    work_dir: &Path,
    timeout: Duration,
) -> ApiResult<ScanResults> {
    let keys = Keys::load(app, run, keys::ssh_hosts(app, targets)).await;
    let mut results = BTreeMap::new();
    let (mut reachable, mut chunks) = (BTreeMap::new(), Vec::new());
    for (id, target) in targets {
        match playbooks::connection_to(app, id, target, &keys) {
            Ok(_) => drop(reachable.insert(id, target)),
            Err(error) => drop(results.insert(id.clone(), Err(Unscanned::because(error.to_string())))),
        }
        if reachable.len() == CHUNK {
            chunks.push(std::mem::take(&mut reachable));
        }
    }
    chunks.extend(Some(reachable).filter(|chunk| !chunk.is_empty()));
    for chunk in chunks {
        let scanned = scan_chunk(app, &chunk, &keys, work_dir, timeout).await?;
        record_contacts(app, &scanned).await?;
        results.extend(scanned);
    }
    Ok(results)
}

/// Records which hosts were reached. One that answered, but could not be read, was.
async fn record_contacts(app: &App, scanned: &ScanResults) -> ApiResult<()> {
    let (mut reached, mut unreachable) = (Vec::new(), Vec::new());
    for (host, result) in scanned {
        match result {
            Err(Unscanned { reason, unreachable: true, .. }) => {
                unreachable.push((host.to_string(), reason.clone()))
            }
            Ok(()) | Err(_) => reached.push(host.to_string()),
        }
    }
    let mut transaction = app.pool.begin().await?;
    store::host_states::record_contacts(&mut transaction, &reached, &unreachable, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(())
}

async fn scan_chunk(
    app: &App,
    chunk: &BTreeMap<&CiId, &Target>,
    keys: &Keys,
    work_dir: &Path,
    timeout: Duration,
) -> ApiResult<ScanResults> {
    let scan_id = Uuid::now_v7().to_string();
    let folder = work_dir.join(format!("scan-{scan_id}"));
    let results_dir = folder.join("results");
    create_folder(&results_dir).await?;
    let run_dir = folder.join("run");
    let variables = |_: &CiId, _: &Target| Variables::new();
    let targets = chunk.iter().map(|(id, target)| (*id, *target));
    let mut run =
        playbooks::playbook_run(app, Playbook::ScanCompliance, targets, keys, variables, run_dir, timeout)?;
    run.stop_graces = quick_stop();
    run.extra_vars.set("pm_run_id", scan_id.as_str());
    run.extra_vars.set("pm_results_dir", results_dir.to_string_lossy().into_owned());
    let failures = run_playbook(app, run).await?;

    let mut observations = Vec::new();
    let mut results = BTreeMap::new();
    for id in chunk.keys().map(|id| (*id).clone()) {
        let reason = failures.get(&id).cloned();
        match read_result(app, &results_dir, &id, &scan_id).await {
            Ok((observation, os)) if reason.is_none() => {
                let recorded = match chunk.get(&id) {
                    Some(target) if learns_os(target) => {
                        host_os::record_os(&app.compliance, &id, &os, "the first scan found")
                            .await
                            .map_err(Unscanned::because)
                    }
                    _ => Ok(()),
                };
                if recorded.is_ok() {
                    observations.push(observation);
                }
                results.insert(id, recorded);
            }
            Ok(_) => drop(results.insert(id, Err(reason.unwrap_or_else(|| Unscanned::because("it failed"))))),
            Err(error) => drop(results.insert(id, Err(reason.unwrap_or_else(|| Unscanned::because(error))))),
        }
    }
    record_observations(app, &observations, &mut results).await?;
    if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
        tracing::debug!("cannot delete the files of a scan in `{}`: {error}", folder.display());
    }
    Ok(results)
}

/// For a playbook that changes nothing, so that there is nothing to finish before a stop.
pub(super) fn quick_stop() -> StopGraces {
    StopGraces { finish: Duration::from_secs(5), terminate: Duration::from_secs(5) }
}

async fn record_observations(
    app: &App,
    observations: &[Observation],
    results: &mut ScanResults,
) -> ApiResult<()> {
    let mut unknown = try_record(app, observations).await?;
    if !unknown.is_empty() {
        hosts::synchronise(&app.compliance).await?;
        let rest: Vec<Observation> =
            observations.iter().filter(|one| unknown.contains(&one.ci_id)).cloned().collect();
        unknown = try_record(app, &rest).await?;
    }
    for id in unknown {
        results.insert(id, Err(Unscanned::because("the CMDB no longer has it as a managed host")));
    }
    Ok(())
}

async fn try_record(app: &App, observations: &[Observation]) -> ApiResult<std::collections::BTreeSet<CiId>> {
    let ingested = inventory::record_observations(&app.compliance, None, observations).await?;
    Ok(ingested.unknown)
}

/// Runs a playbook to its end. Returns the reasons of hosts that failed.
pub(super) async fn run_playbook(
    app: &App,
    run: ansible::PlaybookRun,
) -> ApiResult<BTreeMap<CiId, Unscanned>> {
    let mut running: RunningPlaybook = app.runner.start(run).await.map_err(|error| {
        ApiError::new(problem_types::ANSIBLE, format!("cannot start the scan: {}", chain(&error)))
    })?;
    let _kill_on_drop = running.kill_on_drop();
    let mut failures = BTreeMap::new();
    while let Some(event) = running.next_event().await {
        match event {
            Event::HostResult(result) if !result.ignored => {
                use ansible::HostStatus::{Failed, Unreachable};
                if matches!(result.status, Failed | Unreachable) {
                    let lacks_python = result.failed_check() == Some(PreflightCheck::Python);
                    let reason = result.message.unwrap_or_else(|| format!("`{}` failed", result.task));
                    let unreachable = result.status == Unreachable;
                    failures.insert(result.host, Unscanned { reason, unreachable, lacks_python });
                }
            }
            Event::HostKeyLearned { host, key } => playbooks::pin_host_key(app, &host, &key).await,
            Event::Ended(ended) => {
                for host in ended.unfinished {
                    failures.entry(host).or_insert_with(|| {
                        let end = format!("the scan ended before this host was done ({:?})", ended.end);
                        Unscanned::because(end)
                    });
                }
            }
            _ => {}
        }
    }
    Ok(failures)
}

pub(super) async fn create_folder(path: &PathBuf) -> ApiResult<()> {
    let failed = |error: std::io::Error| {
        ApiError::internal(format!("cannot create the folder `{}`: {error}", path.display()))
    };
    tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).await.map_err(failed)
}
