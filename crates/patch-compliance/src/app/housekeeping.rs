//! Background work: synchronises hosts with the CMDB, expires results and exceptions, and finishes interrupted work.

use std::time::Duration;

use service_kit::{ApiResult, error::chain};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    coverage, exceptions, feed_imports, history, host_list_entries, hosts, package_set_matching,
    policy_results::{self, DEFAULT_SCAN_AGE_HOURS},
};
use crate::{App, store};

const CHECK_INTERVAL: Duration = Duration::from_secs(3);
const SYNCHRONISE_INTERVAL: Duration = Duration::from_secs(30);
/// How often the roll-ups of the current day are recorded.
const RECORD_INTERVAL: Duration = Duration::from_secs(20);
/// The search for old scans takes at most this part of the time.
const EXPIRE_SHARE: u32 = 50;
/// Hosts that become `unknown`, or sets that are deleted, per transaction.
const BATCH: i64 = 5000;

/// Every replica runs it; a second one finds nothing to do.
pub(crate) fn start(app: &App) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let stop = app.shutdown.clone();
        stop.run_until_cancelled(run(app)).await;
    });
}

async fn run(app: App) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut synchronise_at, mut expire_at, mut record_at) = (Instant::now(), Instant::now(), Instant::now());
    host_list_entries::try_mark_missing(&app).await;
    loop {
        ticks.tick().await;
        if Instant::now() >= synchronise_at {
            hosts::try_synchronise(&app).await;
            synchronise_at = Instant::now() + SYNCHRONISE_INTERVAL;
        }
        // It reads every host, which takes long on a large fleet.
        if Instant::now() >= expire_at {
            let began = Instant::now();
            if let Err(error) = expire_stale_results(&app).await {
                tracing::warn!("cannot expire old scans now; retrying later: {}", chain(&error));
            }
            if let Err(error) = coverage::expire_feeds(&app).await {
                tracing::warn!("cannot expire old feeds now; retrying later: {}", chain(&error));
            }
            expire_at = Instant::now() + began.elapsed() * EXPIRE_SHARE;
        }
        if Instant::now() >= record_at {
            history::try_record(&app).await;
            record_at = Instant::now() + RECORD_INTERVAL;
        }
        if let Err(error) = tick(&app).await {
            tracing::warn!("housekeeping of compliance failed; retrying: {}", chain(&error));
        }
    }
}

async fn tick(app: &App) -> ApiResult<()> {
    exceptions::end_expired(app).await?;
    policy_results::recompute_approved(app).await?;
    finish_due_work(app).await?;
    feed_imports::clean_up_imports(app).await?;
    delete_unused_sets(app).await
}

async fn delete_unused_sets(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    if !store::package_sets::any_left_sets(&mut conn).await? {
        return Ok(());
    }
    drop(conn);
    loop {
        let mut transaction = app.pool.begin().await?;
        store::lock_results_exclusive(&mut transaction).await?;
        let seen = store::package_sets::delete_unused(&mut transaction, BATCH).await?;
        transaction.commit().await?;
        if seen < BATCH as u64 {
            return Ok(());
        }
    }
}

/// Matches sets that an interrupted import left due, and recomputes hosts that a change of policies left due. Imports do
/// not wait for the latter.
async fn finish_due_work(app: &App) -> ApiResult<()> {
    let mut import_lock = app.pool.begin().await?;
    if store::try_lock_imports(&mut import_lock).await? {
        package_set_matching::match_all_due(app).await?;
    }
    drop(import_lock);
    package_set_matching::recompute_all_due(app).await
}

/// Makes results unknown if their scan is older than their policy allows.
async fn expire_stale_results(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    loop {
        let mut transaction = app.pool.begin().await?;
        let seen = store::compliance::list_stale(&mut transaction, now, DEFAULT_SCAN_AGE_HOURS, 1).await?;
        if seen.is_empty() {
            return Ok(());
        }
        store::lock_results_exclusive(&mut transaction).await?;
        let stale =
            store::compliance::list_stale(&mut transaction, now, DEFAULT_SCAN_AGE_HOURS, BATCH).await?;
        let revision = app.criteria.current(&mut transaction).await?;
        policy_results::recompute(&mut transaction, &revision, &stale, now).await?;
        transaction.commit().await?;
        if !stale.is_empty() {
            tracing::info!("{} hosts have results of scans that are too old", stale.len());
        }
    }
}
