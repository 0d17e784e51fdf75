//! SCHEDULE: starts a run for each due slot of a policy, once, however many replicas there are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{policy::Policy, time::due_slots};
use service_kit::{ApiResult, Caller};

use crate::{App, SERVICE, app::runs, store::schedules};
use patch_compliance::app::policies;

/// A run starts at most this long after its slot.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Starts due runs until the service stops.
pub(super) async fn run(app: App) {
    loop {
        if let Err(error) = start_due_runs(&app).await {
            tracing::warn!("cannot read the schedules now: {}", service_kit::error::chain(&error));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }
}

async fn start_due_runs(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let policies = policies::list_scheduled(&mut conn).await?;
    drop(conn);
    let now = app.clock.now();
    for policy in policies {
        if let Err(error) = start_due_run(app, policy.clone(), now).await {
            tracing::warn!(policy.id = %policy.id, "cannot start the due run of policy `{}` now: {}", policy.id, service_kit::error::chain(&error));
        }
    }
    Ok(())
}

/// Starts the run of the latest due slot and stores up to when slots were considered, in one transaction. Replicas wait for
/// each other on the row of the schedule.
async fn start_due_run(app: &App, policy: Policy, now: DateTime<Utc>) -> ApiResult<()> {
    let Some(schedule) = policy.run_schedule() else { return Ok(()) };
    let id = policy.id.clone();
    let mut transaction = app.pool.begin().await?;
    let since = schedules::lock_schedule(&mut transaction, &id, now).await?;
    let slots = due_slots(&schedule, policy.time_zone, since, now);
    for missed in &slots.skipped {
        tracing::warn!(policy.id = %policy.id, "skipped the slot of {missed} of policy `{}`: it was missed by more than 30 minutes", policy.id);
    }
    if let Some(slot) = slots.due {
        let caller = Caller::internal(SERVICE, format!("schedule:{}", policy.id));
        if runs::start_scheduled(app, &mut transaction, &caller, policy, slot).await? {
            tracing::info!(policy.id = %id, "started the run of policy `{id}` for its slot of {slot}");
        }
    }
    schedules::update_schedule(&mut transaction, &id, now).await?;
    transaction.commit().await?;
    Ok(())
}
