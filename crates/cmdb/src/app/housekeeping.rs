//! Ends expired maintenance, which is recorded, and deletes old inventory memberships.

use std::time::Duration;

use chrono::TimeDelta;
use service_kit::{ApiResult, error::chain};

use super::maintenance::settle_expired;
use crate::{state::App, store};

const INTERVAL: Duration = Duration::from_secs(2);
/// One pass is aborted after this, and the next one repeats it.
const DEADLINE: Duration = Duration::from_secs(30);
const BATCH: i64 = 200;
/// Retention of a run's inventory; runs end within days.
const MEMBERSHIP_DAYS: i64 = 90;

/// Runs until the process stops. Any number of replicas may: each locks rows that no other has locked.
pub async fn run(app: App) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match tokio::time::timeout(DEADLINE, pass(&app)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("housekeeping failed and will be repeated: {}", chain(&error)),
            Err(_) => tracing::warn!("housekeeping took too long and will be repeated"),
        }
    }
}

async fn pass(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    loop {
        let mut tx = app.pool.begin().await?;
        let expired = store::cis::lock_expired_maintenance(&mut tx, now, BATCH).await?;
        let count = expired.len();
        for ci in expired {
            tracing::info!(ci.id = %ci.id, "maintenance of `{}` expired", ci.id);
            settle_expired(&mut tx, ci, now).await?;
        }
        tx.commit().await?;
        if (count as i64) < BATCH {
            break;
        }
    }
    let mut conn = app.pool.acquire().await?;
    store::inventory::delete_memberships(&mut conn, now - TimeDelta::days(MEMBERSHIP_DAYS)).await?;
    Ok(())
}
