//! SCHEDULE: starts a run for each due slot of a policy, once, however many replicas there are. A policy may have its runs
//! planned ahead: those start before their slots, and wait for them.

use std::time::Duration;

use api_types::patch::StoredPolicy;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    policy::Policy,
    time::{Schedule, due_slots},
};
use service_kit::{ApiResult, Caller};
use sqlx::PgConnection;

use crate::{
    App, SERVICE,
    app::{
        installation::{self, Standing},
        runs::{self, Order},
    },
    store::schedules,
};
use patch_compliance::app::policies;

/// A run starts at most this long after its slot.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// Most slots of one policy that are planned ahead at once.
const MAX_SLOTS_AHEAD: usize = 10;

/// Starts due runs until the service stops.
pub(super) async fn run(app: App) {
    loop {
        if let Err(error) = start_due_runs_if_confirmed(&app).await {
            tracing::warn!("cannot read the schedules now: {}", service_kit::error::chain(&error));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }
}

/// A schedule of a database that was restored or copied starts nothing.
async fn start_due_runs_if_confirmed(app: &App) -> ApiResult<()> {
    match installation::standing(app).await? {
        Standing::Confirmed => start_due_runs(app).await,
        Standing::Joining | Standing::Held => Ok(()),
    }
}

async fn start_due_runs(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let policies = policies::list_scheduled(&mut conn).await?;
    drop(conn);
    let now = app.clock.now();
    if let Err(error) = cancel_withdrawn(app, now).await {
        tracing::warn!(
            "cannot check the runs that are planned ahead now: {}",
            service_kit::error::chain(&error)
        );
    }
    for policy in policies {
        let id = policy.policy.id.clone();
        if let Err(error) = start_due_run(app, policy, now).await {
            tracing::warn!(policy.id = %id, "cannot start the due run of policy `{id}` now: {}", service_kit::error::chain(&error));
        }
    }
    Ok(())
}

/// Starts the run of the latest due slot and stores up to when slots were considered, in one transaction. Replicas wait for
/// each other on the row of the schedule.
async fn start_due_run(app: &App, stored: StoredPolicy, now: DateTime<Utc>) -> ApiResult<()> {
    let policy = &stored.policy;
    let Some(schedule) = policy.run_schedule() else { return Ok(()) };
    let id = policy.id.clone();
    let mut transaction = app.pool.begin().await?;
    let since = schedules::lock_schedule(&mut transaction, &id, now).await?;
    let slots = due_slots(&schedule, policy.time_zone, since, now);
    for missed in &slots.skipped {
        tracing::warn!(policy.id = %policy.id, "skipped the slot of {missed} of policy `{}`: it was missed by more than 30 minutes", policy.id);
    }
    let ahead = slots_ahead(&mut transaction, policy, &schedule, now).await?;
    let caller = Caller::internal(SERVICE, format!("schedule:{}", policy.id));
    for slot in slots.due.into_iter().chain(ahead) {
        if runs::start_scheduled(app, &mut transaction, &caller, stored.clone(), slot).await? {
            tracing::info!(policy.id = %id, "started the run of policy `{id}` for its slot of {slot}");
        }
    }
    schedules::update_schedule(&mut transaction, &id, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// The next slots that are planned ahead and have no run yet.
async fn slots_ahead(
    conn: &mut PgConnection,
    policy: &Policy,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> ApiResult<Vec<DateTime<Utc>>> {
    let Some(hours) = policy.plan_ahead_hours else { return Ok(Vec::new()) };
    let until = now + TimeDelta::hours(i64::from(hours));
    let slots = schedule.occurrences(now, policy.time_zone).take_while(|slot| *slot <= until);
    let slots: Vec<_> = slots.take(MAX_SLOTS_AHEAD).collect();
    if slots.is_empty() {
        return Ok(slots);
    }
    let taken = schedules::list_taken_slots(conn, &policy.id, &slots).await?;
    Ok(slots.into_iter().filter(|slot| !taken.contains(slot)).collect())
}

/// Cancels the runs that are planned ahead of a slot that their policy no longer has.
async fn cancel_withdrawn(app: &App, now: DateTime<Utc>) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let planned = schedules::list_planned_ahead(&mut conn, now).await?;
    let mut withdrawn = Vec::new();
    for (run, policy, slot) in planned {
        let policy = policies::find_policy(&mut conn, &policy).await?.map(|stored| stored.policy);
        if let Some(reason) = withdrawal(policy.as_ref(), slot) {
            withdrawn.push((run, reason));
        }
    }
    drop(conn);
    for (run, reason) in withdrawn {
        let caller = Caller::internal(SERVICE, "service:patch-manager");
        match runs::steer_run(app, &caller, run, Order::Cancel, &reason).await {
            Ok(_) => tracing::info!(run.id = %run, "cancelled run {run}, which was planned ahead: {reason}"),
            // It stops already.
            Err(error) if error.status().is_client_error() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Why a policy no longer has a slot.
fn withdrawal(policy: Option<&Policy>, slot: DateTime<Utc>) -> Option<String> {
    let Some(policy) = policy else { return Some("its policy was deleted".to_owned()) };
    if !policy.enabled {
        return Some(format!("policy `{}` was disabled", policy.id));
    }
    let before = slot - TimeDelta::nanoseconds(1);
    let next = policy.run_schedule().and_then(|schedule| schedule.next_after(before, policy.time_zone));
    (next != Some(slot))
        .then(|| format!("the schedule of policy `{}` no longer has the slot of {slot}", policy.id))
}
