//! Files of runs on this machine: kept for a time after the end of the run, then deleted. Tokens are wiped at once.

use std::{fs, path::Path, time::Duration};

use chrono::TimeDelta;
use domain::ids::RunId;
use service_kit::{ApiResult, error::chain};

use crate::{App, app::keys::open_vault, store::runs, vault::token_file};

const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(300);
/// The run of a younger token may not be committed yet.
const MIN_AGE: Duration = Duration::from_secs(600);
/// Folders checked in one round.
const BATCH: usize = 1000;

/// Wipes tokens and deletes folders in the background until the service stops. Every replica does so for its own machine.
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
            tracing::warn!("housekeeping of run files failed and will be retried: {}", chain(&error));
        }
        tokio::time::sleep(HOUSEKEEPING_EVERY).await;
    }
}

/// Deletes the folders of runs that ended too long ago or do not exist.
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
            Ok(()) => tracing::info!(run.id = %run, "deleted the files of run {run}"),
            Err(error) => tracing::warn!(run.id = %run, "cannot delete the files of run {run}: {error}"),
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> Vec<RunId> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(BATCH).collect()
}

/// Wipes the tokens of runs that have ended, and renews those of the others.
async fn clean_up_tokens(app: &App) -> ApiResult<()> {
    let work_dir = &app.compliance.settings.work_dir;
    for (run, age) in token_file::list(work_dir) {
        let mut conn = app.pool.acquire().await?;
        let row = runs::find_run(&mut conn, run).await?;
        drop(conn);
        match row.filter(|row| !row.state.is_final()) {
            Some(row) => {
                let token = token_file::read(work_dir, run).unwrap_or_default();
                // Opening a session renews a token that expires soon.
                let opened = open_vault(app, row.policy.vault.as_ref(), token).await;
                if let Err(error) = opened {
                    tracing::warn!(run.id = %run, "cannot renew the Vault token of run {run}: {error}");
                }
            }
            // The file is written before the run is stored, so its run may follow.
            None if age < MIN_AGE => {}
            None => token_file::wipe(work_dir, run).unwrap_or_else(|error| {
                tracing::warn!(run.id = %run, "cannot wipe the Vault token of run {run}: {error}");
            }),
        }
    }
    Ok(())
}
