//! Makes plans: gathers what is known about the hosts, then calls planner and simulator.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use api_types::{cmdb::Graph, patch::Forecast};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{CiId, GivenService, RunId},
    package::Unverified,
    pin::Pin,
    plan::{Connection, Intent, Plan, Target},
    policy::Policy,
    selector::Selector,
    strategy::Strategy,
    transaction::Foreseen,
    workflow::{RollbackMode, RollbackPreference},
};
use futures::future::BoxFuture;
use planner::{PlanRequest, Schedule};
use serde_json::json;
use service_kit::{ApiError, ApiResult};
use simulator::DurationModel;

use super::{
    calendars,
    host_graph::host_graph,
    host_states, pins, preflight, scans, targets,
    transition::LogLines,
    ways_back::{WaysBack, find_ways_back},
};
use crate::{App, store::runs::RunRow, upstream_error};
use advisories::os_key;
use patch_compliance::app::{hosts, updates};

/// An older scan is repeated before a plan is made for execution.
const FRESH_FOR: TimeDelta = TimeDelta::minutes(15);
/// Simulations per prediction: enough to know its P95 to about one percent.
pub const PREDICTION_RUNS: u32 = 1000;
/// Fixed, so that the same plan gets the same prediction.
const PREDICTION_SEED: u64 = 0;

/// What is to be planned.
#[derive(Debug, Clone)]
pub struct PlanInput {
    pub policy: Policy,
    /// Whether the policy also selects the hosts, by its tags.
    pub by_policy: bool,
    pub advisory: Option<String>,
    pub selector: Option<Selector>,
    pub strategy: Option<Strategy>,
    /// The run whose snapshots the hosts are rolled back to.
    pub rollback_of: Option<RunId>,
    /// The run that is planned. What it does to hosts does not count as a reason for which they are down.
    pub run: Option<RunId>,
}

impl PlanInput {
    pub fn of_run(row: &RunRow) -> Self {
        Self {
            policy: row.policy.clone(),
            by_policy: row.policy_id.is_some(),
            advisory: row.advisory.clone(),
            selector: row.selector.clone(),
            strategy: row.strategy,
            run: Some(row.id),
            rollback_of: row.of_run.filter(|_| row.trigger == api_types::patch::RunTrigger::Rollback),
        }
    }
}

/// Whether hosts are scanned before the plan is made.
pub enum Freshness<'a> {
    /// Package managers are asked what they would do, too: with an approved plan, only about its packages.
    Rescan {
        run: &'a RunRow,
        run_dir: &'a Path,
        demand: Demand,
        approved: Option<&'a Plan>,
        announce: &'a Announce<'a>,
    },
    AsKnown,
}

/// What is planned, and what could not be found out for it.
pub struct Gathered {
    pub request: PlanRequest,
    pub remarks: LogLines,
}

/// Called before the scan with the seconds that it may take.
pub type Announce<'a> = dyn Fn(u32) -> BoxFuture<'a, ApiResult<()>> + Sync + 'a;

/// What is demanded of the scan of a host that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It is no older than the policy permits.
    AsPolicy,
    /// It was made for this plan, or right before: the host is patched next.
    Now,
}

/// The policy of a run without a policy: every field has its default.
pub fn ad_hoc_policy() -> ApiResult<Policy> {
    Ok(serde_json::from_value(json!({ "id": "ad-hoc", "name": "ad hoc", "target_ci_tags": {} }))?)
}

/// Gathers hosts, the updates each is missing, and the graph between them. Hosts that miss nothing are not targets.
pub async fn gather(app: &App, input: &PlanInput, freshness: Freshness<'_>) -> ApiResult<Gathered> {
    if let Some(of_run) = input.rollback_of {
        let request = gather_rollback(app, input, of_run).await?;
        return Ok(Gathered { request, remarks: LogLines::new() });
    }
    let (mut targets, staging) = select(app, input).await?;
    let os_of = |id: &CiId| Some((id.clone(), targets.get(id)?.os.clone()));
    let staging_systems: BTreeMap<CiId, String> = staging.iter().filter_map(os_of).collect();
    let by_policy = TimeDelta::hours(i64::from(input.policy.max_scan_age_hours));
    let oldest = match &freshness {
        Freshness::Rescan { demand: Demand::Now, .. } => FRESH_FOR.min(by_policy),
        _ => by_policy,
    };
    let since = app.clock.now() - oldest;
    let failures = match &freshness {
        Freshness::Rescan { run, run_dir, announce, .. } => {
            rescan(app, run, &targets, run_dir, announce).await?
        }
        Freshness::AsKnown => BTreeMap::new(),
    };
    let bootstraps = input.policy.workflow.bootstrap_python;
    let without_python: BTreeSet<CiId> =
        failures.iter().filter(|(_, why)| bootstraps && why.lacks_python).map(|(id, _)| id.clone()).collect();
    let mut unscanned = without_scan(app, since, oldest, &targets, failures).await?;
    let scanned: Vec<CiId> = targets.keys().filter(|id| !unscanned.contains_key(*id)).cloned().collect();
    unscanned.extend(updates::list_unresolved(&mut *app.pool.acquire().await?, &scanned).await?);
    // Nothing is known of the packages of these. They get Python, and their updates with a later run.
    let mut unknown: BTreeMap<CiId, String> = BTreeMap::new();
    for id in &without_python {
        unknown.extend(unscanned.remove_entry(id));
    }
    targets.retain(|id, _| !unscanned.contains_key(id));
    let selected = targets.len();
    let wanted = wanted(app, input);
    let ids: Vec<CiId> = targets.keys().cloned().collect();
    let mut conn = app.pool.acquire().await?;
    let mut pending = updates::pending_updates(&mut conn, &ids, &wanted).await?;
    let severities = updates::severities(&mut conn, &ids).await?;
    let reboots = hosts::list_reboot_pending(&mut conn, &ids).await?;
    let not_asked = updates::list_not_asked(&mut conn, &ids).await?;
    drop(conn);
    for (id, target) in &mut targets {
        target.reboot_pending = reboots.contains(id);
        // A model installs any version.
        let is_unverified = not_asked.contains(id) && target.connection != Connection::Model;
        target.unverified = is_unverified.then_some(Unverified::NotAsked);
        choose_services(&input.policy.workflow.services, target);
    }
    targets.retain(|id, target| {
        target.bootstrap_python = without_python.contains(id);
        if !unknown.contains_key(id) {
            target.updates = pending.updates.remove(id).unwrap_or_default();
            target.omitted = pending.omitted.remove(id).unwrap_or_default();
        }
        has_work(input, target)
    });
    let up_to_date = u32::try_from(selected - targets.len()).unwrap_or(u32::MAX);
    let mut excluded = preflight::Excluded::default();
    let proven_repositories: BTreeSet<CiId>;
    let mut asking = None;
    if let Freshness::Rescan { run, run_dir, approved, announce, .. } = freshness {
        keep_pinned(approved, &mut targets);
        let mut conn = app.pool.acquire().await?;
        let fresh = hosts::scanned_since(&mut conn, &ids, app.clock.now() - FRESH_FOR).await?;
        drop(conn);
        proven_repositories = fresh.difference(&not_asked).cloned().collect();
        let asked = asking.insert(preflight::Asking {
            run,
            run_dir,
            approved,
            policy: &input.policy,
            proven_repositories: &proven_repositories,
            announce,
        });
        excluded = preflight::ask_hosts(app, asked, &mut targets).await?;
        unscanned.extend(excluded.impossible);
    }
    // Python was found since the scan.
    unknown.retain(|id, _| targets.get(id).is_some_and(|target| !has_work(input, target)));
    targets.retain(|id, _| !unknown.contains_key(id));
    unscanned.extend(unknown);
    choose_rollback_modes(app, &input.policy, &mut targets).await?;
    let mut request = request(app, input, Intent::Patch, targets, staging, &severities).await?;
    let is_planned = asking.as_ref().is_some_and(|asking| asking.approved.is_some());
    if !input.policy.pin.is_none() && !is_planned {
        unscanned.extend(pins::limit_to_tested(app, asking.as_ref(), &staging_systems, &mut request).await?);
    }
    let request = PlanRequest { unscanned, not_ready: excluded.not_ready, up_to_date, ..request };
    Ok(Gathered { request, remarks: excluded.remarks })
}

/// The fixes that the rules of the baseline, or somebody who names an advisory, ask for.
fn wanted(app: &App, input: &PlanInput) -> updates::Wanted {
    let rules = input.policy.baseline_rules();
    match (input.by_policy, &input.advisory) {
        (true, None) => updates::Wanted::Baseline { rules, now: app.clock.now() },
        (true, Some(id)) => updates::Wanted::Advisory { id: id.clone(), rules },
        (false, advisory) => updates::Wanted::OfHosts { advisory: advisory.clone() },
    }
}

fn has_work(input: &PlanInput, target: &Target) -> bool {
    !target.updates.is_empty()
        || target.bootstrap_python
        || target.reboot_pending && input.policy.reboots_later()
}

/// If the approved plan pins content, what came after it waits for a run of its own.
fn keep_pinned(approved: Option<&Plan>, targets: &mut BTreeMap<CiId, Target>) {
    let Some(approved) = approved.filter(|plan| !plan.pin.is_none()) else { return };
    for (id, target) in targets {
        if let Some(approved) = approved.targets.get(id) {
            target.keep_pinned(approved);
        }
    }
}

/// The hosts that were not scanned since a time, with the reason. Nothing is known about what they miss.
async fn without_scan(
    app: &App,
    since: DateTime<Utc>,
    oldest: TimeDelta,
    targets: &BTreeMap<CiId, Target>,
    mut failures: BTreeMap<CiId, scans::Unscanned>,
) -> ApiResult<BTreeMap<CiId, String>> {
    let ids: Vec<CiId> = targets.keys().cloned().collect();
    let mut conn = app.pool.acquire().await?;
    let scanned = hosts::scanned_since(&mut conn, &ids, since).await?;
    let unscanned = ids.into_iter().filter(|id| !scanned.contains(id)).map(|id| {
        let failure = failures.remove(&id).map(|failure| failure.reason);
        let reason = failure.unwrap_or_else(|| match oldest.num_hours() {
            0 => format!("it was not scanned within {} min", oldest.num_minutes()),
            hours => format!("it was not scanned within {hours} h"),
        });
        (id, reason)
    });
    Ok(unscanned.collect())
}

/// Of the services that a policy names, those that the host is known to have; all of them if its services are not known.
fn choose_services(wanted: &[GivenService], target: &mut Target) {
    match (wanted.is_empty(), target.services.is_empty()) {
        (true, _) => {}
        (false, true) => target.services = wanted.to_vec(),
        (false, false) => target.services.retain(|service| wanted.contains(service)),
    }
}

/// Chooses how each host can be rolled back, so that approvers know it: to a snapshot if the sim-engine has its VM, by its
/// package manager if the last scan found that the repositories still offer the installed versions.
async fn choose_rollback_modes(
    app: &App,
    policy: &Policy,
    targets: &mut BTreeMap<CiId, Target>,
) -> ApiResult<()> {
    if policy.rollback_preference == RollbackPreference::Downgrade && !targets.is_empty() {
        let ids: Vec<CiId> = targets.keys().cloned().collect();
        let mut conn = app.pool.acquire().await?;
        let offered = hosts::list_returnable(&mut conn, &ids).await?;
        for (id, target) in &mut *targets {
            let can_return = |package: &str| offered.get(id).is_some_and(|names| names.contains(package));
            // A downgrade does not bring back what is removed.
            let removes = !target.transaction.removed_names().is_empty();
            if !removes && target.updates.iter().all(|update| can_return(&update.package)) {
                target.rollback_mode = RollbackMode::Downgrade;
            }
        }
    }
    if !policy.pre_patch_snapshot || targets.values().all(|t| t.rollback_mode == RollbackMode::Downgrade) {
        return Ok(());
    }
    let machines = app.sim.get_state().await.map_err(upstream_error)?.vms;
    let machines: BTreeSet<CiId> = machines.into_iter().map(|machine| machine.id).collect();
    for (id, target) in targets {
        if target.rollback_mode == RollbackMode::None && machines.contains(id) {
            target.rollback_mode = RollbackMode::Snapshot;
        }
    }
    Ok(())
}

/// The hosts of an earlier run that can be rolled back.
async fn gather_rollback(app: &App, input: &PlanInput, of_run: RunId) -> ApiResult<PlanRequest> {
    let (plan, WaysBack { hosts, snapshots }) = find_ways_back(app, of_run)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("plan of run `{of_run}`")))?;
    let targets = plan.targets.into_iter().filter(|(id, _)| hosts.contains(id));
    // What was foreseen is done already.
    let targets: BTreeMap<CiId, Target> = targets
        .map(|(id, target)| {
            (id, Target { transaction: Foreseen::NotAsked, bootstrap_python: false, ..target })
        })
        .collect();
    let intent = Intent::Rollback { of_run, snapshots };
    request(app, input, intent, targets, BTreeSet::new(), &BTreeMap::new()).await
}

/// The selected hosts, and which of them are staging.
async fn select(app: &App, input: &PlanInput) -> ApiResult<(BTreeMap<CiId, Target>, BTreeSet<CiId>)> {
    let mut targets = match (&input.selector, input.by_policy) {
        (Some(selector), _) => targets::targets(app, selector).await?,
        (None, true) => targets::targets(app, &input.policy.targets()).await?,
        // Only an advisory is given: every host, because those that it does not affect miss nothing.
        (None, false) => targets::targets(app, &Selector { all: true, ..Selector::default() }).await?,
    };
    if let Some(os) = &input.policy.os_type {
        let wanted = os_key(os);
        targets.retain(|_, target| os_key(&target.os) == wanted);
    }
    let mut staging = BTreeSet::new();
    if let Some(rule) = &input.policy.staging {
        let found = targets::targets(app, &Selector::by_tags(rule.target_ci_tags.clone())).await?;
        staging.extend(found.keys().cloned());
        if input.by_policy {
            targets.extend(found);
        }
    }
    Ok((targets, staging))
}

/// Scans the hosts whose last scan is too old for a plan that is executed. Returns why hosts could not be scanned.
async fn rescan(
    app: &App,
    run: &RunRow,
    targets: &BTreeMap<CiId, Target>,
    run_dir: &Path,
    announce: &Announce<'_>,
) -> ApiResult<BTreeMap<CiId, scans::Unscanned>> {
    let since = app.clock.now() - FRESH_FOR;
    let ids: Vec<CiId> = targets.keys().cloned().collect();
    let mut conn = app.pool.acquire().await?;
    let fresh = hosts::scanned_since(&mut conn, &ids, since).await?;
    drop(conn);
    let stale: BTreeMap<CiId, Target> = targets
        .iter()
        .filter(|(id, _)| !fresh.contains(*id))
        .map(|(id, target)| (id.clone(), target.clone()))
        .collect();
    if stale.is_empty() {
        return Ok(BTreeMap::new());
    }
    announce(scans::longest_scan_seconds(stale.len())).await?;
    let results = scans::scan_hosts(app, Some(run), &stale, run_dir, scans::CHUNK_TIMEOUT).await?;
    Ok(results.into_iter().filter_map(|(host, result)| Some((host, result.err()?))).collect())
}

async fn request(
    app: &App,
    input: &PlanInput,
    intent: Intent,
    targets: BTreeMap<CiId, Target>,
    staging: BTreeSet<CiId>,
    severities: &BTreeMap<CiId, f64>,
) -> ApiResult<PlanRequest> {
    let policy = &input.policy;
    let selector = Selector { ids: targets.keys().cloned().collect(), ..Selector::default() };
    let graph = if targets.is_empty() {
        Graph::default()
    } else {
        app.cmdb.get_graph(&selector).await.map_err(upstream_error)?
    };
    let rollback = matches!(intent, Intent::Rollback { .. });
    let members = graph.nodes.iter().flat_map(|node| node.hosts.iter().cloned());
    let members = members.chain(targets.keys().cloned()).collect();
    let asks_driver = host_states::has_driver(targets.values(), policy.pre_patch_snapshot);
    let mut conn = app.pool.acquire().await?;
    let down = host_states::list_down(app, &mut conn, input.run, &members, asks_driver).await?;
    drop(conn);
    let staging_rule = policy.staging.as_ref().filter(|_| !rollback);
    Ok(PlanRequest {
        staging: staging.into_iter().filter(|id| targets.contains_key(id)).collect(),
        graph: host_graph(&graph, severities, &down),
        strategy: strategy(input, rollback),
        pilot_host_count: if rollback { 0 } else { policy.pilot_host_count },
        clusters_in_turn: policy.clusters_in_turn().filter(|_| !rollback),
        max_parallel: policy.max_parallel,
        max_unavailable: policy.max_unavailable,
        error_threshold: policy.error_threshold,
        retries: policy.retries,
        forks: None,
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        pin: if rollback { Pin::None } else { policy.pin },
        soak_seconds: if rollback { 0 } else { policy.soak_seconds },
        staging_tests: staging_rule.map(|staging| staging.tests.clone()).unwrap_or_default(),
        workflow: policy.workflow.clone(),
        reboot: policy.reboot_mode(),
        rollback: if rollback { domain::workflow::Rollback::Never } else { policy.rollback },
        snapshot_retention_hours: (policy.pre_patch_snapshot && !rollback)
            .then_some(policy.snapshot_retention_hours),
        intent,
        targets,
    })
}

/// A rollback keeps the budgets, whatever the run did, and it is never refused for its strategy.
fn strategy(input: &PlanInput, rollback: bool) -> Strategy {
    match input.strategy.unwrap_or(input.policy.strategy) {
        Strategy::BigBang | Strategy::BlueGreen if rollback => Strategy::Rolling,
        strategy => strategy,
    }
}

/// A plan with its forecast.
pub struct PlannedRun {
    pub plan: Plan,
    pub forecast: simulator::Forecast,
    /// The wire form of the forecast.
    pub shown: Forecast,
}

/// When a run of the policy that begins at a time may work; `None` means at any time. Emergencies ignore it.
pub async fn schedule(
    conn: &mut sqlx::PgConnection,
    policy: &Policy,
    begins: DateTime<Utc>,
) -> ApiResult<Option<Schedule>> {
    let freezes = calendars::load_freezes(conn).await?;
    if policy.window.is_none() && policy.reboot_window.is_none() && freezes.entries().is_empty() {
        return Ok(None);
    }
    let schedule = Schedule::planned_at(begins, policy.window.clone(), freezes);
    Ok(Some(schedule.with_reboot_window(policy.reboot_window.clone())))
}

/// Makes the plan and its prediction. Slow for large fleets: call it where blocking is allowed.
pub fn make_plan(
    request: &PlanRequest,
    durations: &DurationModel,
    observations: i64,
    schedule: Option<&Schedule>,
) -> PlannedRun {
    let (plan, forecast) =
        simulator::plan_and_forecast(request, durations, schedule, PREDICTION_RUNS, PREDICTION_SEED);
    let shown = wire_forecast(plan.strategy, &forecast, observations);
    PlannedRun { plan, forecast, shown }
}

pub fn wire_forecast(strategy: Strategy, forecast: &simulator::Forecast, observations: i64) -> Forecast {
    Forecast {
        strategy,
        waves: forecast.waves,
        duration_p50_seconds: forecast.duration_seconds.p50,
        duration_p95_seconds: forecast.duration_seconds.p95,
        expected_failed_hosts: forecast.failed_hosts.mean,
        halt_probability: forecast.halt.value,
        max_hosts_down: forecast.max_hosts_down.max as u32,
        expected_begun_hosts: forecast.begun_hosts.mean,
        done_in_window_probability: forecast.done_in_window.map(|share| share.value),
        expected_service_down_seconds: forecast.downtime_seconds.mean,
        exposure: forecast.exposure.mean,
        exposure_p50: Some(forecast.compared_exposure().p50),
        exposure_p95: Some(forecast.compared_exposure().p95),
        simulations: forecast.runs,
        observations,
    }
}
