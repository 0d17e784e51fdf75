//! What happens without a request: boots and package transactions end, snapshots expire.

use std::time::Duration;

use domain::ids::CiId;
use service_kit::{ApiResult, audit};
use tokio_util::sync::CancellationToken;

use super::{locked_machine::LockedMachine, schedule::Schedule, this_service};
use crate::{state::App, store};

/// How late lists may show an end. A read of the machine itself shows it at once.
const INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of machines and of snapshots per turn.
const BATCH: i64 = 200;

/// Runs until the stop.
pub async fn run(app: App, shutdown: CancellationToken) {
    let mut schedule = Schedule::new("housekeeping", INTERVAL, shutdown.clone());
    while schedule.next().await {
        schedule.report(keep_house(&app, &shutdown).await);
    }
}

async fn keep_house(app: &App, shutdown: &CancellationToken) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let due = store::machines::list_due_machines(&mut conn, app.clock.now(), BATCH).await?;
    drop(conn);
    for id in due {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        advance_machine(app, &id).await?;
    }
    expire_snapshots(app).await
}

/// One machine, one transaction. An operation that holds the lock of a machine advances it as well.
async fn advance_machine(app: &App, id: &CiId) -> ApiResult<()> {
    let (mut tx, now) = (app.pool.begin().await?, app.clock.now());
    let Some(mut machine) = store::machines::lock_free_machine(&mut tx, id).await? else { return Ok(()) };
    if !machine.is_up_to_date(now) {
        machine.advance(now);
        LockedMachine { tx, machine, now }.commit().await?;
    }
    Ok(())
}

async fn expire_snapshots(app: &App) -> ApiResult<()> {
    let mut tx = app.pool.begin().await?;
    for snapshot in store::snapshots::delete_expired_snapshots(&mut tx, app.clock.now(), BATCH).await? {
        let object = format!("vm/{}/snapshot/{}", snapshot.vm_id, snapshot.id);
        let record = audit::Record::new("expire_snapshot", object).before(&snapshot.owner);
        audit::record(&mut tx, &this_service(), record).await?;
        // Without its driver the image stays until the machine is deleted.
        if let Some(driver) = app.drivers.find(snapshot.driver) {
            driver.delete_snapshot(snapshot.image).await?;
        }
        tracing::info!(vm = snapshot.vm_id, "a snapshot of {} expired and was deleted", snapshot.owner);
    }
    tx.commit().await?;
    Ok(())
}
