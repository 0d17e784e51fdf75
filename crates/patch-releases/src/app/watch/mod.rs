//! The watch over customers after their deployment: looked at, judged, and taken back when the judgement says so.
//!
//! It belongs to no run: a run may end hours before the watch does. Any replica looks after any customer; a look is taken
//! by moving its next time on, so that two never take the same and a crash costs one.

pub(crate) mod health;
mod weekly;

use std::time::Duration;

use api_types::{
    itsm::{CreateIncident, Severity},
    patch::{DeploymentState, JudgedSample, ReleaseMode, WatchState},
};
use chrono::TimeDelta;
use domain::{
    ids::{CiId, RunId},
    release::{Finding, HealthRules, HealthSample, Judgement, Trigger},
};
use futures::{StreamExt, stream::FuturesUnordered};
use service_kit::{ApiResult, Caller, IdempotencyKey, error::chain};
use tokio::time::Instant;

use super::releases;
use super::rollout::notices;
use crate::{
    App, SERVICE,
    store::{
        customers,
        deployments::{self, Watch},
        releases::{self as store, ReleaseOrder},
    },
};
use patch_compliance::upstream_error;
use patch_runs::app::records;

const LOOKS_AT_ONCE: usize = 16;
const CLAIM: i64 = 500;
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// Samples are kept for so long.
const SAMPLES_KEPT: TimeDelta = TimeDelta::days(14);

/// Watches until the service stops; and tells on Mondays what came.
pub(crate) async fn run(app: App) {
    let mut tidy_at = Instant::now();
    let mut summarised = None;
    loop {
        if let Err(error) = turn(&app).await {
            tracing::warn!("the watch over customers cannot go on now: {}", chain(&error));
        }
        if let Err(error) = weekly::send(&app, &mut summarised).await {
            tracing::warn!("the weekly summary cannot be sent now: {}", chain(&error));
        }
        if Instant::now() >= tidy_at {
            tidy_at = Instant::now() + TIDY_EVERY;
            if let Err(error) = tidy(&app).await {
                tracing::warn!("old samples cannot be deleted now: {}", chain(&error));
            }
        }
        let next = app.clock.now() + TimeDelta::seconds(1);
        tokio::select! {
            () = app.runs.shutdown.cancelled() => return,
            () = app.clock.sleep_until(next) => {}
            // A standing clock must not keep what failed from being tried again.
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

async fn turn(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let rules = customers::get_policies(&mut conn).await?.policies.health;
    let now = app.clock.now();
    let next = now + TimeDelta::seconds(i64::from(rules.poll_seconds));
    let due = deployments::claim_due(&mut conn, now, next, CLAIM).await?;
    drop(conn);
    let mut queue = due.iter();
    let mut looks = FuturesUnordered::new();
    for customer in queue.by_ref().take(LOOKS_AT_ONCE) {
        looks.push(look(app, customer, &rules));
    }
    while let Some(looked) = looks.next().await {
        if let Err(error) = looked {
            tracing::warn!("a look at a customer could not be stored: {}", chain(&error));
        }
        if let Some(customer) = queue.next() {
            looks.push(look(app, customer, &rules));
        }
    }
    let mut conn = app.pool.acquire().await?;
    let unhandled = deployments::list_unhandled(&mut conn, CLAIM).await?;
    drop(conn);
    for watch in unhandled {
        if let Err(error) = act(app, &watch).await {
            tracing::warn!(customer = %watch.customer, "it is not well and cannot be helped now: {}", chain(&error));
        }
    }
    alert_forgotten(app).await
}

async fn look(app: &App, customer: &CiId, rules: &HealthRules) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(stored) = customers::find_customer(&mut conn, customer).await? else {
        return deployments::end_watch(&mut conn, customer).await;
    };
    drop(conn);
    let sample = health::look(app, customer, &stored.customer.health).await;
    take(app, customer, rules, &sample).await
}

/// Takes a look in: judge, sample, downtime, and the end of the watch.
async fn take(app: &App, customer: &CiId, rules: &HealthRules, sample: &HealthSample) -> ApiResult<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let Some(mut watch) = deployments::lock_watch(&mut transaction, customer).await? else { return Ok(()) };
    if watch.state == WatchState::Ended || sample.at < watch.since {
        return Ok(());
    }
    let finding = sample.finding(rules, watch.baseline.as_ref(), Some(watch.version));
    let is_down = matches!(finding, Finding::Failure(_));
    let was_unhealthy = watch.state == WatchState::Unhealthy;
    let judgement = watch.judge.take(finding, rules);
    let (state, reason) = match judgement {
        Judgement::Well if now >= watch.until => (WatchState::Ended, None),
        Judgement::Well => (WatchState::Well, None),
        Judgement::Doubtful { reason } => (WatchState::Doubtful, Some(reason)),
        Judgement::Unhealthy { reason } => (WatchState::Unhealthy, Some(reason)),
    };
    let judged = JudgedSample { sample: sample.clone(), judgement: state, reason: reason.clone() };
    deployments::insert_sample(&mut transaction, customer, &judged).await?;
    if is_down {
        let since = watch.last_look_at.unwrap_or(watch.since);
        let seconds = (now - since).num_seconds().clamp(0, i64::from(rules.poll_seconds) * 2);
        deployments::add_downtime(&mut transaction, watch.deployment_id, seconds as f64).await?;
    }
    // What is about to be acted upon stays what it is until somebody has acted.
    let keeps = was_unhealthy && !watch.is_handled;
    if !keeps {
        if state != watch.state {
            tracing::info!(%customer, version = %watch.version, "a watched customer is {state:?}");
        }
        watch.is_handled = watch.is_handled && state == WatchState::Unhealthy;
        watch.state = state;
        watch.reason = reason;
    }
    watch.last_look_at = Some(now);
    deployments::update_watch(&mut transaction, &watch, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// A critical issue that the customer reports counts like bad health, at once.
pub(crate) async fn report_critical(app: &App, customer: &CiId, summary: &str) -> ApiResult<bool> {
    let mut transaction = app.pool.begin().await?;
    let Some(mut watch) = deployments::lock_watch(&mut transaction, customer).await? else {
        return Ok(false);
    };
    if watch.state == WatchState::Ended {
        return Ok(false);
    }
    watch.state = WatchState::Unhealthy;
    watch.reason = Some(format!("the customer reports a critical issue: {summary}"));
    watch.is_handled = false;
    deployments::update_watch(&mut transaction, &watch, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Does what the release's type says about a customer that is not well, once.
async fn act(app: &App, watch: &Watch) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let plan = records::find_plan(&mut conn, watch.run).await?;
    let Some(plan) = plan.as_ref().and_then(|plan| plan.deployment()) else {
        return handled(app, watch).await;
    };
    let has_ended = records::has_ended(&mut conn, watch.run).await?;
    let host = records::list_machine_hosts(&mut conn, watch.run).await?.remove(&watch.customer);
    drop(conn);
    if host.is_some_and(|host| host.state.is_failure()) && !has_ended {
        // The run knows already, and takes it back.
        return handled(app, watch).await;
    }
    let reason = watch.reason.clone().unwrap_or_else(|| "it is not well".to_owned());
    let closes_at = watch.since + TimeDelta::hours(i64::from(plan.rollback.window_hours));
    let why_not = match plan.rollback.trigger {
        _ if app.clock.now() > closes_at => Some(format!("its rollback window closed at {closes_at}")),
        Trigger::Manual => {
            Some(format!("a {} release is taken back by hand alone", releases::kind_text(plan.release_kind)))
        }
        Trigger::Automatic => None,
    };
    let what_next = match &why_not {
        Some(why_not) => format!("It was not taken back: {why_not}."),
        None => format!("It is being returned to what it ran before {}.", plan.version),
    };
    if why_not.is_none() {
        let caller = Caller::internal(SERVICE, "watch:customers");
        let taken = releases::roll_back_customer(app, &caller, watch.run, &watch.customer, &reason).await?;
        if !taken {
            if !has_ended {
                // It is being reported; its end is near, and then a rollback of its own follows.
                return Ok(());
            }
            start_rollback(app, &caller, watch, plan.version, &reason).await?;
        }
    }
    let incident = CreateIncident {
        short_description: format!("{} is not well on {}: {reason}", watch.customer, watch.version)
            .chars()
            .take(160)
            .collect(),
        description: format!("Watched since {}.\n{reason}\n{what_next}", watch.since),
        severity: Severity::High,
        ci_ids: vec![watch.customer.clone()],
        change_id: None,
        correlation_id: Some(format!("watch:{}", watch.deployment_id)),
    };
    let incident = app.runs.itsm.create_incident(&incident).await.map_err(upstream_error)?;
    let text = format!("is not well: {reason}; incident {}. {what_next}", incident.id);
    log(app, watch.run, &watch.customer, &text).await?;
    if let Some(target) = plan.customers.get(&watch.customer) {
        let subject = format!("We are looking into {} on {}", target.name, watch.version);
        let body = format!("Our monitoring found: {reason}.\n{what_next}\n");
        notices::send(app, watch.run, "unhealthy", &watch.customer, &target.contacts, &subject, &body)
            .await?;
    }
    handled(app, watch).await
}

async fn start_rollback(
    app: &App,
    caller: &Caller,
    watch: &Watch,
    version: domain::release::Version,
    reason: &str,
) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let release = store::get_release(&mut conn, version).await?;
    drop(conn);
    let order = ReleaseOrder {
        version,
        mode: ReleaseMode::Rollback,
        customers: vec![watch.customer.clone()],
        reason: reason.to_owned(),
        at_once: true,
    };
    let key = IdempotencyKey(Some(format!("watch-{}", watch.deployment_id)));
    releases::start(app, caller, &release, order, false, &key).await.map(drop)
}

async fn handled(app: &App, watch: &Watch) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    if let Some(mut current) = deployments::lock_watch(&mut transaction, &watch.customer).await?
        && current.deployment_id == watch.deployment_id
    {
        current.is_handled = true;
        deployments::update_watch(&mut transaction, &current, app.clock.now()).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Deployments of which nobody will tell the end, because their run is over: somebody must look.
async fn alert_forgotten(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let forgotten = deployments::list_forgotten(&mut conn, 100).await?;
    drop(conn);
    for deployment in forgotten {
        let request = CreateIncident {
            short_description: format!("{}: nobody knows how its deployment ended", deployment.customer),
            description: format!(
                "Deployment {} to {} was begun at {} and its run has ended without an outcome. Look at the customer before anything else is deployed there.",
                deployment.id, deployment.to_version, deployment.requested_at
            ),
            severity: Severity::High,
            ci_ids: vec![deployment.customer.clone()],
            change_id: None,
            correlation_id: Some(format!("deployment:{}", deployment.id)),
        };
        app.runs.itsm.create_incident(&request).await.map_err(upstream_error)?;
        let mut conn = app.pool.acquire().await?;
        let (state, detail) = (DeploymentState::Unknown, "its run ended without an outcome");
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

async fn log(app: &App, run: RunId, customer: &CiId, text: &str) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    records::insert_log(&mut conn, run, Some(customer), text, app.clock.now()).await.map(drop)
}

async fn tidy(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    deployments::delete_samples_before(&mut conn, app.clock.now() - SAMPLES_KEPT).await
}
