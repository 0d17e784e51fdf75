//! What the CMDB does by itself: it ends expired maintenance on the record and forgets old inventory memberships.

use std::time::Duration;

use chrono::TimeDelta;
use service_kit::{ApiResult, error::chain};

use super::{App, maintenance::settle_expired};
use crate::store;

const INTERVAL: Duration = Duration::from_secs(2);
/// One sweep is given up after this and tried again by the next.
const DEADLINE: Duration = Duration::from_secs(30);
const BATCH: i64 = 200;
/// A run's inventory is kept this long; runs end within days.
const MEMBERSHIP_DAYS: i64 = 90;

/// Sweeps until the process stops. Any number of replicas may: each takes rows no other holds.
pub async fn run(app: App) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match tokio::time::timeout(DEADLINE, sweep(&app)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the sweep failed and will be repeated: {}", chain(&error)),
            Err(_) => tracing::warn!("the sweep took too long and will be repeated"),
        }
    }
}

async fn sweep(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    loop {
        let mut transaction = app.pool.begin().await?;
        let expired = store::cis::lock_expired_maintenance(&mut transaction, now, BATCH).await?;
        let count = expired.len();
        for ci in expired {
            tracing::info!(ci.id = %ci.id, "maintenance of `{}` expired", ci.id);
            settle_expired(&mut transaction, ci, now).await?;
        }
        transaction.commit().await?;
        if (count as i64) < BATCH {
            break;
        }
    }
    let mut connection = app.pool.acquire().await?;
    store::inventory::delete_memberships(&mut connection, now - TimeDelta::days(MEMBERSHIP_DAYS)).await?;
    Ok(())
}
