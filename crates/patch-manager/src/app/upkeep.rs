//! What has to be done although nobody asks: hosts taken over from the CMDB, results that grow stale, exceptions that end.

use std::time::Duration;

use service_kit::{ApiResult, error::chain};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{evaluation, exceptions, feed_imports, hosts, run_files};
use crate::{service::App, store};

const LOOK_EVERY: Duration = Duration::from_secs(3);
const SYNCHRONISE_EVERY: Duration = Duration::from_secs(30);
const TEND_FILES_EVERY: Duration = Duration::from_secs(300);
/// Hosts made `unknown`, and sets dropped, in one transaction.
const BATCH: i64 = 5000;

/// Looks after things in the background. Every replica does; who comes second finds nothing left to do.
pub(crate) fn start(app: &App) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let stop = app.shutdown.clone();
        stop.run_until_cancelled(look_after(app)).await;
    });
}

async fn look_after(app: App) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut synchronise_at = Instant::now();
    let mut tend_files_at = Instant::now();
    loop {
        ticks.tick().await;
        if Instant::now() >= synchronise_at {
            hosts::try_synchronise(&app).await;
            synchronise_at = Instant::now() + SYNCHRONISE_EVERY;
        }
        if Instant::now() >= tend_files_at {
            if let Err(error) = tend_files(&app).await {
                tracing::warn!("upkeep of the files of runs failed and is tried again: {}", chain(&error));
            }
            tend_files_at = Instant::now() + TEND_FILES_EVERY;
        }
        if let Err(error) = look(&app).await {
            tracing::warn!("upkeep of compliance failed and is tried again: {}", chain(&error));
        }
    }
}

async fn tend_files(app: &App) -> ApiResult<()> {
    run_files::tend_tokens(app).await?;
    run_files::prune(app).await
}

async fn look(app: &App) -> ApiResult<()> {
    exceptions::end_expired(app).await?;
    forget_stale(app).await?;
    evaluate_left_over(app).await?;
    feed_imports::look_after_imports(app).await?;
    let mut transaction = app.pool.begin().await?;
    store::lock_results(&mut transaction).await?;
    store::package_sets::delete_unused(&mut transaction, BATCH).await?;
    transaction.commit().await?;
    Ok(())
}

/// What an import that was interrupted has stored and not evaluated.
async fn evaluate_left_over(app: &App) -> ApiResult<()> {
    let mut no_import = app.pool.begin().await?;
    if store::try_lock_imports(&mut no_import).await? {
        evaluation::evaluate_due(app).await?;
    }
    Ok(())
}

/// Makes results unknown whose scan is older than their policy allows.
async fn forget_stale(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    loop {
        let mut transaction = app.pool.begin().await?;
        let seen = store::compliance::list_stale(&mut transaction, now, 1).await?;
        if seen.is_empty() {
            return Ok(());
        }
        store::lock_results(&mut transaction).await?;
        let stale = store::compliance::list_stale(&mut transaction, now, BATCH).await?;
        store::compliance::recompute(&mut transaction, &stale, now).await?;
        transaction.commit().await?;
        if !stale.is_empty() {
            tracing::info!("{} results rest on scans that are too old", stale.len());
        }
    }
}
