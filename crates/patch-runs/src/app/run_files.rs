//! Files that runs leave on this machine: kept for a while after the run's end, then removed; tokens are wiped at once.

use std::{fs, path::Path, time::Duration};

use chrono::TimeDelta;
use domain::ids::RunId;
use service_kit::{ApiResult, error::chain};

use crate::{
    App,
    store::runs,
    vault::{VaultSession, token_file},
};

const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(300);
/// A token this young may belong to a run whose transaction is not committed yet.
const MIN_AGE: Duration = Duration::from_secs(600);
/// Folders looked at in one round.
const BATCH: usize = 1000;

/// Wipes tokens and removes folders in the background, until the service stops. Every replica cares for its own machine.
pub(crate) fn start(app: &App) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let stop = app.shutdown.clone();
        stop.run_until_cancelled(run_housekeeping(app)).await;
    });
}

async fn run_housekeeping(app: App) {
    loop {
        let done = async {
            clean_up_tokens(&app).await?;
            remove_old_folders(&app).await
        };
        if let Err(error) = done.await {
            tracing::warn!("the housekeeping of run files failed and is tried again: {}", chain(&error));
        }
        tokio::time::sleep(HOUSEKEEPING_EVERY).await;
    }
}

/// Removes the folders of runs that ended longer ago than is kept, and those of runs nobody knows.
async fn remove_old_folders(app: &App) -> ApiResult<()> {
    let keep = TimeDelta::hours(i64::from(app.settings.keep_run_files_hours));
    let ended_before = app.clock.now() - keep;
    let folder = app.compliance.settings.work_dir.join("runs");
    let runs = folders(&folder);
    let mut conn = app.pool.acquire().await?;
    let gone = runs::list_ended(&mut conn, &runs, ended_before).await?;
    drop(conn);
    for run in gone {
        match fs::remove_dir_all(folder.join(run.to_string())) {
            Ok(()) => tracing::info!(run.id = %run, "removed the files of run {run}"),
            Err(error) => tracing::warn!(run.id = %run, "the files of run {run} cannot be removed: {error}"),
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> Vec<RunId> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(BATCH).collect()
}

/// Wipes the tokens of runs that have ended, and keeps those of the others alive.
async fn clean_up_tokens(app: &App) -> ApiResult<()> {
    let work_dir = &app.compliance.settings.work_dir;
    for (run, age) in token_file::list(work_dir) {
        let mut conn = app.pool.acquire().await?;
        let row = runs::find_run(&mut conn, run).await?;
        drop(conn);
        match row.filter(|row| !row.state.is_final()) {
            Some(row) => {
                let token = token_file::read(work_dir, run).unwrap_or_default();
                // Opening renews a token that is near its end.
                let opened = VaultSession::open(&app.settings.vault, row.policy.vault.as_ref(), token).await;
                if let Err(error) = opened {
                    tracing::warn!(run.id = %run, "the Vault token of run {run} cannot be renewed: {error}");
                }
            }
            // Its run may be about to be stored: the file comes first.
            None if age < MIN_AGE => {}
            None => token_file::wipe(work_dir, run).unwrap_or_else(|error| {
                tracing::warn!(run.id = %run, "the Vault token of run {run} cannot be wiped: {error}");
            }),
        }
    }
    Ok(())
}
