//! The watch over the health of customers after their deployment: each is checked and judged, and rolled back if it is
//! unhealthy.
//!
//! The watch does not belong to a run, which may end hours earlier. Any replica watches any customer: it claims a check by
//! postponing the next one, so that no check is done twice and a crash costs one.

mod weekly_summary;

use std::time::Duration;

use api_types::{
    itsm::{CreateIncident, Severity},
    patch::{DeploymentState, JudgedSample, ReleaseMode, WatchState},
};
use chrono::TimeDelta;
use domain::{
    ids::CiId,
    release::{Finding, HealthRules, HealthSample, Judgement, Trigger, Version},
};
use futures::{StreamExt, stream::FuturesUnordered};
use patch_compliance::upstream_error;
use patch_runs::app::records;
use service_kit::{ApiResult, Caller, IdempotencyKey, error::chain};
use tokio::time::Instant;

use super::{customer_events::CustomerEvent, health_check, notices, rollouts};
use crate::{
    App, SERVICE,
    store::{
        customers, deployments,
        health_watches::{self, Watch},
        releases::{self as store, RolloutRequest},
    },
};

const MAX_PARALLEL_CHECKS: usize = 16;
const MAX_CLAIMED: i64 = 500;
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const SAMPLE_RETENTION: TimeDelta = TimeDelta::days(14);

/// Watches customers until the service stops, and sends the weekly summary.
pub(crate) async fn run(app: App) {
    let mut cleanup_at = Instant::now();
    let mut summarised = None;
    loop {
        if let Err(error) = check_due_customers(&app).await {
            tracing::warn!("the health watch failed and will be tried again: {}", chain(&error));
        }
        if let Err(error) = weekly_summary::send_weekly_summary(&app, &mut summarised).await {
            tracing::warn!("the weekly summary failed and will be tried again: {}", chain(&error));
        }
        if Instant::now() >= cleanup_at {
            cleanup_at = Instant::now() + CLEANUP_INTERVAL;
            if let Err(error) = delete_old_samples(&app).await {
                tracing::warn!(
                    "the deletion of old health samples failed and will be tried again: {}",
                    chain(&error)
                );
            }
        }
        let next = app.clock.now() + TimeDelta::seconds(1);
        tokio::select! {
            () = app.runs.shutdown.cancelled() => return,
            () = app.clock.sleep_until(next) => {}
            // Failed work is tried again even if the service's clock does not advance.
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

async fn check_due_customers(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let rules = customers::get_release_policies(&mut conn).await?.policies.health;
    let now = app.clock.now();
    let next = now + TimeDelta::seconds(i64::from(rules.poll_seconds));
    let due = health_watches::claim_due_watches(&mut conn, now, next, MAX_CLAIMED).await?;
    drop(conn);
    let mut queue = due.iter();
    let mut checks = FuturesUnordered::new();
    for customer in queue.by_ref().take(MAX_PARALLEL_CHECKS) {
        checks.push(check_customer(app, customer, &rules));
    }
    while let Some(checked) = checks.next().await {
        if let Err(error) = checked {
            tracing::warn!("a health check could not be stored: {}", chain(&error));
        }
        if let Some(customer) = queue.next() {
            checks.push(check_customer(app, customer, &rules));
        }
    }
    let mut conn = app.pool.acquire().await?;
    let unhandled = health_watches::list_unhandled_watches(&mut conn, MAX_CLAIMED).await?;
    drop(conn);
    for watch in unhandled {
        if let Err(error) = handle_unhealthy(app, &watch).await {
            tracing::warn!(customer = %watch.customer, "the unhealthy customer could not be handled and will be tried again: {}", chain(&error));
        }
    }
    alert_orphaned_deployments(app).await
}

async fn check_customer(app: &App, customer: &CiId, rules: &HealthRules) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(stored) = customers::find_customer(&mut conn, customer).await? else {
        return health_watches::end_watch(&mut conn, customer).await;
    };
    drop(conn);
    let sample = health_check::check_health(app, customer, &stored.customer.health).await;
    record_sample(app, customer, rules, &sample).await
}

/// Judges and stores a sample, adds downtime, and ends the watch when its time is over.
async fn record_sample(
    app: &App,
    customer: &CiId,
    rules: &HealthRules,
    sample: &HealthSample,
) -> ApiResult<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let Some(mut watch) = health_watches::lock_watch(&mut transaction, customer).await? else {
        return Ok(());
    };
    if watch.state == WatchState::Ended || sample.at < watch.since {
        return Ok(());
    }
    let finding = sample.finding(rules, watch.baseline.as_ref(), Some(watch.version));
    let is_down = matches!(finding, Finding::Failure(_));
    let was_unhealthy = watch.state == WatchState::Unhealthy;
    let judgement = watch.judge.take(finding, rules);
    let (state, reason) = match judgement {
        Judgement::Healthy if now >= watch.until => (WatchState::Ended, None),
        Judgement::Healthy => (WatchState::Healthy, None),
        Judgement::Doubtful { reason } => (WatchState::Doubtful, Some(reason)),
        Judgement::Unhealthy { reason } => (WatchState::Unhealthy, Some(reason)),
    };
    let judged = JudgedSample { sample: sample.clone(), judgement: state, reason: reason.clone() };
    health_watches::insert_sample(&mut transaction, customer, &judged).await?;
    if is_down {
        let since = watch.last_look_at.unwrap_or(watch.since);
        let seconds = (now - since).num_seconds().clamp(0, i64::from(rules.poll_seconds) * 2);
        deployments::add_downtime(&mut transaction, watch.deployment_id, seconds as f64).await?;
    }
    let baseline_ms = watch.baseline.as_ref().and_then(|baseline| baseline.latency_ms);
    if let (Some(baseline), Some(latency)) = (baseline_ms, sample.latency_ms) {
        deployments::add_latency(&mut transaction, watch.deployment_id, baseline, latency).await?;
    }
    // An unhealthy state stays until it is handled.
    let keeps = was_unhealthy && !watch.is_handled;
    if !keeps {
        if state != watch.state {
            tracing::info!(%customer, version = %watch.version, "the watched customer is now {state:?}");
        }
        watch.is_handled = watch.is_handled && state == WatchState::Unhealthy;
        watch.state = state;
        watch.reason = reason;
    }
    watch.last_look_at = Some(now);
    health_watches::update_watch(&mut transaction, &watch, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// A critical issue that the customer reports makes it unhealthy at once.
pub(crate) async fn report_critical(app: &App, customer: &CiId, summary: &str) -> ApiResult<bool> {
    let mut transaction = app.pool.begin().await?;
    let Some(mut watch) = health_watches::lock_watch(&mut transaction, customer).await? else {
        return Ok(false);
    };
    if watch.state == WatchState::Ended {
        return Ok(false);
    }
    watch.state = WatchState::Unhealthy;
    watch.reason = Some(format!("the customer reported a critical issue: {summary}"));
    watch.is_handled = false;
    health_watches::update_watch(&mut transaction, &watch, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Follows the rollback policy of the release's type for an unhealthy customer, once.
async fn handle_unhealthy(app: &App, watch: &Watch) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let plan = records::find_plan(&mut conn, watch.run).await?;
    let Some(plan) = plan.as_ref().and_then(|plan| plan.deployment()) else {
        return mark_handled(app, watch).await;
    };
    let has_ended = records::has_ended(&mut conn, watch.run).await?;
    let host = records::list_machine_hosts(&mut conn, watch.run).await?.remove(&watch.customer);
    drop(conn);
    if host.is_some_and(|host| host.state.is_failure()) && !has_ended {
        // The run already rolls it back.
        return mark_handled(app, watch).await;
    }
    let reason = watch.reason.clone().unwrap_or_else(|| "it is unhealthy".to_owned());
    let closes_at = watch.since + TimeDelta::hours(i64::from(plan.rollback.window_hours));
    let obstacle = match plan.rollback.trigger {
        _ if app.clock.now() > closes_at => Some(format!("its rollback window closed at {closes_at}")),
        Trigger::Manual => {
            let kind = rollouts::kind_text(plan.release_kind);
            Some(format!("a {kind} release is rolled back only by an operator"))
        }
        Trigger::Automatic => None,
    };
    let consequence = match &obstacle {
        Some(obstacle) => format!("It was not rolled back: {obstacle}."),
        None => format!("It is being rolled back to the version before {}.", plan.version),
    };
    if obstacle.is_none() {
        let caller = Caller::internal(SERVICE, "watch:customers");
        let by_its_run =
            rollouts::roll_back_customer(app, &caller, watch.run, &watch.customer, &reason).await?;
        if !by_its_run {
            if !has_ended {
                // The run is about to end. After that, the rollback gets its own run.
                return Ok(());
            }
            start_rollback(app, &caller, watch, plan.version, &reason).await?;
        }
    }
    let incident = CreateIncident {
        short_description: format!("{} is unhealthy on {}: {reason}", watch.customer, watch.version)
            .chars()
            .take(160)
            .collect(),
        description: format!("Watched since {}.\n{reason}\n{consequence}", watch.since),
        severity: Severity::High,
        ci_ids: vec![watch.customer.clone()],
        change_id: None,
        correlation_id: Some(format!("watch:{}", watch.deployment_id)),
    };
    let incident = app.runs.itsm.create_incident(&incident).await.map_err(upstream_error)?;
    let text = format!("{reason}; incident {}. {consequence}", incident.id);
    let mut conn = app.pool.acquire().await?;
    CustomerEvent::Unhealthy.record(&mut conn, watch.run, &watch.customer, &text, app.clock.now()).await?;
    drop(conn);
    if let Some(target) = plan.customers.get(&watch.customer) {
        let subject = format!("We are looking into {} on {}", target.name, watch.version);
        let body = format!("Our monitoring found: {reason}.\n{consequence}\n");
        notices::send(app, watch.run, "unhealthy", &watch.customer, &target.contacts, &subject, &body)
            .await?;
    }
    mark_handled(app, watch).await
}

async fn start_rollback(
    app: &App,
    caller: &Caller,
    watch: &Watch,
    version: Version,
    reason: &str,
) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    drop(conn);
    let rollout = RolloutRequest {
        version,
        mode: ReleaseMode::Rollback,
        customers: vec![watch.customer.clone()],
        reason: reason.to_owned(),
        at_once: true,
    };
    let key = IdempotencyKey(Some(format!("watch-{}", watch.deployment_id)));
    rollouts::start_run(app, caller, &release, rollout, false, &key).await.map(drop)
}

async fn mark_handled(app: &App, watch: &Watch) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    if let Some(mut current) = health_watches::lock_watch(&mut transaction, &watch.customer).await?
        && current.deployment_id == watch.deployment_id
    {
        current.is_handled = true;
        health_watches::update_watch(&mut transaction, &current, app.clock.now()).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Opens an incident for each deployment whose result is not known although its run has ended.
async fn alert_orphaned_deployments(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let orphaned = deployments::list_orphaned_deployments(&mut conn, 100).await?;
    drop(conn);
    for deployment in orphaned {
        let request = CreateIncident {
            short_description: format!("{}: the result of its deployment is not known", deployment.customer),
            description: format!(
                "Deployment {} to {} started at {}, and its run ended without a result. Check the customer before the next deployment.",
                deployment.id, deployment.to_version, deployment.requested_at
            ),
            severity: Severity::High,
            ci_ids: vec![deployment.customer.clone()],
            change_id: None,
            correlation_id: Some(format!("deployment:{}", deployment.id)),
        };
        app.runs.itsm.create_incident(&request).await.map_err(upstream_error)?;
        let mut conn = app.pool.acquire().await?;
        let (state, detail) = (DeploymentState::Unknown, "its run ended without a result");
        deployments::update_deployment(
            &mut conn,
            deployment.id,
            state,
            None,
            None,
            Some(detail),
            app.clock.now(),
        )
        .await?;
    }
    Ok(())
}

async fn delete_old_samples(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    health_watches::delete_samples_before(&mut conn, app.clock.now() - SAMPLE_RETENTION).await
}
