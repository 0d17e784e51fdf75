//! Real machines change without the sim-engine: their rows follow them, and machines without a row are removed.

use std::{collections::BTreeMap, time::Duration};

use api_types::sim::Driver;
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    locked_machine::{LockedMachine, read_machine},
    schedule::Schedule,
};
use crate::{driver, state::App, store};

/// How late lists may be. A read of one machine shows it as it is.
const INTERVAL: Duration = Duration::from_secs(2);
/// After this time a machine without a row is not one that is just being created.
const ORPHAN_AGE: Duration = Duration::from_secs(180);

/// Runs until the stop.
pub async fn run(app: App, shutdown: CancellationToken) {
    let Some(driver) = app.drivers.find(Driver::Linux) else { return };
    let mut schedule = Schedule::new("reconciling machines", INTERVAL, shutdown.clone());
    let mut orphans = BTreeMap::new();
    while schedule.next().await {
        match reconcile(&app, driver, &shutdown, &mut orphans).await {
            Err(error) if is_opening(&error) => tracing::debug!("machines are not reconciled: {error}"),
            result => schedule.report(result),
        }
    }
}

fn is_opening(error: &ApiError) -> bool {
    matches!(error.kind(), "fleet-opening" | "driver-unavailable")
}

async fn reconcile(
    app: &App,
    driver: &dyn driver::Driver,
    shutdown: &CancellationToken,
    orphans: &mut BTreeMap<CiId, Instant>,
) -> ApiResult<()> {
    let existing = driver.list_machines().await?;
    let mut conn = app.pool.acquire().await?;
    let known = store::machines::list_machines_of(&mut conn, Driver::Linux).await?;
    drop(conn);
    for id in &known {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        refresh_machine(app, driver, id).await?;
    }
    orphans.retain(|id, _| existing.contains(id) && !known.contains(id));
    for id in existing.into_iter().filter(|id| !known.contains(id)) {
        let since = *orphans.entry(id.clone()).or_insert_with(Instant::now);
        if since.elapsed() >= ORPHAN_AGE {
            tracing::warn!("removing the host `{id}`, which was created and never stored");
            driver.discard(&id).await?;
        }
    }
    Ok(())
}

/// Stores the actual state of one machine. If its row is locked, the next turn does so.
async fn refresh_machine(app: &App, driver: &dyn driver::Driver, id: &CiId) -> ApiResult<()> {
    let now = app.clock.now();
    let mut machine = match read_machine(app, id).await {
        Ok(machine) => machine,
        // Deleted since it was listed.
        Err(error) if error.status().as_u16() == 404 => return Ok(()),
        Err(error) => return Err(error),
    };
    if !driver.observe(&mut machine, now).await? {
        return Ok(());
    }
    let mut tx = app.pool.begin().await?;
    let Some(mut machine) = store::machines::lock_free_machine(&mut tx, id).await? else { return Ok(()) };
    if driver.observe(&mut machine, now).await? {
        tracing::info!(vm = %id, condition = ?machine.condition, "a machine has changed");
        LockedMachine { tx, machine, now }.commit().await?;
    }
    Ok(())
}
