//! What happens without being asked for: boots and package transactions end, snapshots expire.

use std::time::Duration;

use domain::ids::CiId;
use service_kit::{ApiResult, audit};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{save, this_service};
use crate::{service::SimState, store};

/// How late an end may be seen by those who read lists; who reads the machine itself sees it at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Most machines settled, and most snapshots deleted, before the stop signal is looked at again.
const BATCH: i64 = 200;

/// Runs until the stop. An error, such as a database that is away, is said once and tried again.
pub async fn run(state: SimState, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match look(&state, &shutdown).await {
            Ok(()) => was_failing = false,
            Err(error) if was_failing => tracing::debug!("upkeep still fails: {error}"),
            Err(error) => {
                was_failing = true;
                let source = service_kit::error::chain(&error);
                tracing::warn!(error.source = source, "upkeep failed and is tried again");
            }
        }
    }
}

async fn look(state: &SimState, shutdown: &CancellationToken) -> ApiResult<()> {
    let mut connection = state.pool.acquire().await?;
    let due = store::machines::list_due_machines(&mut connection, state.clock.now(), BATCH).await?;
    drop(connection);
    for id in due {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        settle_machine(state, &id).await?;
    }
    expire_snapshots(state).await
}

/// One machine, one transaction. A machine somebody else has locked is settled by them.
async fn settle_machine(state: &SimState, id: &CiId) -> ApiResult<()> {
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let Some(mut machine) = store::machines::lock_free_machine(&mut transaction, id).await? else {
        return Ok(());
    };
    if machine.is_settled(now) {
        return Ok(());
    }
    machine.settle(now);
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(())
}

async fn expire_snapshots(state: &SimState) -> ApiResult<()> {
    let mut transaction = state.pool.begin().await?;
    let expired =
        store::snapshots::delete_expired_snapshots(&mut transaction, state.clock.now(), BATCH).await?;
    if expired.is_empty() {
        return Ok(());
    }
    for snapshot in expired {
        let object = format!("vm/{}/snapshot/{}", snapshot.vm_id, snapshot.id);
        let record = audit::Record::new("expire_snapshot", object).before(&snapshot.owner);
        audit::record(&mut transaction, &this_service(), record).await?;
        // Without its driver the image stays until the machine is deleted.
        if let Some(driver) = state.drivers.find(snapshot.driver) {
            driver.delete_snapshot(snapshot.image).await?;
        }
        tracing::info!(vm = snapshot.vm_id, "a snapshot of {} expired and was deleted", snapshot.owner);
    }
    transaction.commit().await?;
    Ok(())
}
