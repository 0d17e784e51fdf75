//! Machines that live by themselves: what has become of them is taken over, and those without a row are removed.

use std::{collections::BTreeMap, time::Duration};

use api_types::sim::Driver;
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, problem_types};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::save;
use crate::{service::SimState, store};

/// How late lists may be; who reads one machine sees it as it is.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A machine without a row for this long is none that is being made.
const ABANDONED: Duration = Duration::from_secs(180);

/// Runs until the stop. An error is said once and tried again.
pub async fn run(state: SimState, shutdown: CancellationToken) {
    if state.drivers.find(Driver::Linux).is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut strays = BTreeMap::new();
    let mut was_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match look(&state, &shutdown, &mut strays).await {
            Ok(()) => was_failing = false,
            Err(error) if was_failing || is_opening(&error) => {
                tracing::debug!("no watch over machines: {error}")
            }
            Err(error) => {
                was_failing = true;
                let source = service_kit::error::chain(&error);
                tracing::warn!(error.source = source, "the watch over machines failed and is tried again");
            }
        }
    }
}

fn is_opening(error: &ApiError) -> bool {
    [problem_types::FLEET_OPENING, problem_types::DRIVER_UNAVAILABLE].contains(&error.problem())
}

async fn look(
    state: &SimState,
    shutdown: &CancellationToken,
    strays: &mut BTreeMap<CiId, Instant>,
) -> ApiResult<()> {
    let Some(driver) = state.drivers.find(Driver::Linux) else { return Ok(()) };
    let existing = driver.list_machines().await?;
    let mut connection = state.pool.acquire().await?;
    let known = store::machines::list_machines_of(&mut connection, Driver::Linux).await?;
    drop(connection);
    for id in &known {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        look_at(state, id).await?;
    }
    strays.retain(|id, _| existing.contains(id) && !known.contains(id));
    for id in existing.into_iter().filter(|id| !known.contains(id)) {
        let since = *strays.entry(id.clone()).or_insert_with(Instant::now);
        if since.elapsed() >= ABANDONED {
            tracing::warn!("removing the host `{id}`, which was made and never stored");
            driver.discard(&id).await?;
        }
    }
    Ok(())
}

/// Stores what has become of one machine. One that somebody else works on is looked at the next time.
async fn look_at(state: &SimState, id: &CiId) -> ApiResult<()> {
    let now = state.clock.now();
    let Some(driver) = state.drivers.find(Driver::Linux) else { return Ok(()) };
    let mut reading = store::begin_reading(&state.pool).await?;
    let read = store::machines::get_machine(&mut reading, id).await;
    reading.commit().await?;
    let mut machine = match read {
        Ok(machine) => machine,
        // Deleted since it was listed.
        Err(error) if error.status().as_u16() == 404 => return Ok(()),
        Err(error) => return Err(error),
    };
    if !driver.observe(&mut machine, now).await? {
        return Ok(());
    }
    let mut transaction = state.pool.begin().await?;
    let Some(mut machine) = store::machines::lock_free_machine(&mut transaction, id).await? else {
        return Ok(());
    };
    if driver.observe(&mut machine, now).await? {
        tracing::info!(vm = %id, condition = ?machine.condition, "a machine is not what it was");
        save(&mut transaction, &mut machine, now).await?;
        transaction.commit().await?;
    }
    Ok(())
}
