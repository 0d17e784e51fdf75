//! Replays a finished run under other strategies, with the actual durations and faults of its hosts.

use std::collections::BTreeMap;

use api_types::{
    cmdb::Graph,
    patch::{HostStatus, PlanComparison, SimulatePlans},
};
use domain::{
    ids::{CiId, RunId},
    plan::{Intent, Plan, WaveKind},
    quantity::HostCount,
    run::HostState,
    selector::Selector,
};
use planner::PlanRequest;
use service_kit::{ApiError, ApiResult, problem_types};
use simulator::{Observed, StrategyOutcome};

use super::{answer, deadline, ensure_usable, runs, strategies, wire_comparison};
use crate::{
    App,
    app::{host_graph::host_graph, predictions},
    store::{
        run_hosts,
        runs::{self as stored_runs, RunRow},
    },
};
use patch_compliance::app::updates;
use patch_compliance::upstream_error;

/// Hosts without an advisory in the plan still count in the exposure.
const MIN_SEVERITY: f64 = 1.0;

pub(super) async fn replay(app: &App, request: &SimulatePlans, id: RunId) -> ApiResult<PlanComparison> {
    let mut conn = app.pool.acquire().await?;
    let row = stored_runs::get_run(&mut conn, id).await?;
    let plan = stored_runs::find_plan(&mut conn, id).await?;
    let hosts = run_hosts::list_host_statuses(&mut conn, id).await?;
    if !row.state.is_final() {
        return Err(ApiError::new(
            problem_types::RUN_STATE,
            "the run has not ended; only an ended run can be replayed",
        ));
    }
    let Some(plan) = plan.filter(|plan| plan.intent == Intent::Patch) else {
        return Err(ApiError::new(
            problem_types::RUN_STATE,
            "the run patched nothing; there is nothing to replay",
        ));
    };
    let ids: Vec<CiId> = plan.targets.keys().cloned().collect();
    let severities = updates::severities_of_plan(&mut conn, &plan).await?;
    let (durations, observations) = predictions::duration_model(app, &mut conn, &plan.targets).await?;
    drop(conn);
    let selector = Selector { ids: ids.into_iter().collect(), ..Selector::default() };
    let graph = app.cmdb.get_graph(&selector).await.map_err(upstream_error)?;
    ensure_usable(&strategies(request))?;
    let plan_request = request_of(&row, &plan, &graph, severities);
    let observed = observed(&hosts);
    let (strategies, runs, seed, deadline) =
        (strategies(request), runs(request), request.seed, deadline(request));
    let replayed = tokio::task::spawn_blocking(move || {
        let comparison = simulator::replay(&plan_request, &strategies, &observed, &durations);
        let strategy = comparison.recommendation.unwrap_or(plan_request.strategy);
        let explained = PlanRequest { strategy, ..plan_request };
        (comparison, deadline.map(|deadline| answer(&explained, deadline, &durations, runs, seed)))
    });
    let (comparison, deadline) = replayed.await.map_err(ApiError::internal)?;
    let remarks = std::iter::once(actual_course(&plan, &hosts)).chain(comparison.outcomes.iter().map(remark));
    Ok(PlanComparison { remarks: remarks.collect(), deadline, ..wire_comparison(&comparison, observations) })
}

/// The request behind the plan, with its limits of that time and the current graph.
fn request_of(row: &RunRow, plan: &Plan, graph: &Graph, severities: BTreeMap<CiId, f64>) -> PlanRequest {
    let staging = plan.waves.iter().filter(|wave| wave.kind == WaveKind::Staging);
    let known = |host: &CiId| severities.get(host).copied().unwrap_or_default().max(MIN_SEVERITY);
    let severities = plan.targets.keys().map(|host| (host.clone(), known(host))).collect();
    PlanRequest {
        intent: Intent::Patch,
        strategy: plan.strategy,
        staging: staging.flat_map(|wave| wave.hosts.iter().cloned()).collect(),
        pilot_host_count: row.policy.pilot_host_count,
        clusters_in_turn: row.policy.clusters_in_turn(),
        graph: host_graph(graph, &severities, &BTreeMap::new()),
        max_parallel: HostCount::Number(plan.limits.max_parallel),
        max_unavailable: row.policy.max_unavailable,
        error_threshold: HostCount::Number(plan.limits.error_threshold),
        retries: plan.limits.retries,
        forks: plan.limits.forks,
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        pin: Default::default(),
        soak_seconds: row.policy.soak_seconds,
        staging_tests: plan.staging_tests.clone(),
        workflow: plan.workflow.clone(),
        reboot: plan.reboot,
        rollback: plan.rollback,
        snapshot_retention_hours: plan.snapshot_retention_hours,
        targets: plan.targets.clone(),
    }
}

/// What each host of the run did. The time of a host that was retried is divided by its attempts.
fn observed(hosts: &[HostStatus]) -> BTreeMap<CiId, Observed> {
    let of_host = |host: &HostStatus| {
        let whole = (host.ended_at? - host.started_at?).num_milliseconds().max(0) as f64 / 1000.0;
        let observed = Observed {
            seconds: whole / f64::from(host.attempts.max(1)),
            failed: host.state.is_failure(),
            rollback_seconds: None,
            rollback_failed: host.state == HostState::RollbackFailed,
        };
        (host.attempts > 0).then(|| (host.ci_id.clone(), observed))
    };
    hosts.iter().filter_map(of_host).collect()
}

fn actual_course(plan: &Plan, hosts: &[HostStatus]) -> String {
    let begun = hosts.iter().filter(|host| host.attempts > 0).count();
    let failed = hosts.iter().filter(|host| host.state.is_failure()).count();
    let all = plan.targets.len();
    format!("actual run with `{}`: {begun} of {all} hosts started, {failed} failed", plan.strategy)
}

fn remark(outcome: &StrategyOutcome) -> String {
    let StrategyOutcome { strategy, forecast, .. } = outcome;
    let (begun, failed) = (forecast.begun_hosts.mean, forecast.failed_hosts.mean);
    let mut text = if forecast.halt.value > 0.5 {
        format!("`{strategy}` would have stopped after {begun} of {} hosts, {failed} failed", forecast.hosts)
    } else {
        format!(
            "`{strategy}` would have patched {begun} of {} hosts in {:.0} s, {failed} failed",
            forecast.hosts, forecast.duration_seconds.p50
        )
    };
    if let Some(note) = outcome.broken_rules.first() {
        text += &format!(", but its plan is refused ({})", note.code);
    }
    text
}
