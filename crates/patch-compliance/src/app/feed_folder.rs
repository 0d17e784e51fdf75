//! The watched folder: imports every feed in it, at once or on a schedule.
//!
//! A file is imported once it is the same in two checks, so that a file that is still being written is left alone, and
//! again when its size or time changes. Files that are not feeds are skipped and logged once. Replicas can watch the same
//! folder: imports run one at a time.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::time::due_slots;
use service_kit::{ApiError, ApiResult, Caller, error::chain};

use uuid::Uuid;

use super::feed_imports;
use crate::{
    App, SERVICE,
    store::{self, feed_imports::FeedFile},
};

const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum files in the folder; more files mean that it is not a folder of feeds.
const MAX_FILES: usize = 200_000;
const MAX_DEPTH: usize = 8;

/// Size and time of each file at the time of a check.
type SeenFiles = BTreeMap<PathBuf, (i64, DateTime<Utc>)>;

pub(crate) fn start(app: &App) {
    let Some(folder) = app.settings.feeds.feeds_dir.clone() else { return };
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let stop = app.shutdown.clone();
        stop.run_until_cancelled(watch(app, folder)).await;
    });
}

async fn watch(app: App, folder: PathBuf) {
    let caller = Caller::internal(SERVICE, "feeds-folder".to_owned());
    let mut seen = SeenFiles::new();
    let mut is_missing = false;
    loop {
        match check_folder(&app, &caller, &folder, seen.clone()).await {
            Ok(Some(now)) => {
                seen = now;
                is_missing = false;
            }
            Ok(None) if !is_missing => {
                tracing::warn!("cannot read the folder of feeds `{}`; retrying", folder.display());
                is_missing = true;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("cannot import the folder of feeds now: {}", chain(&error)),
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Imports new files that have not changed since the previous check. Returns the files of this one; `None` if the folder
/// does not exist.
async fn check_folder(
    app: &App,
    caller: &Caller,
    folder: &Path,
    before: SeenFiles,
) -> ApiResult<Option<SeenFiles>> {
    let folder_to_list = folder.to_owned();
    let now = tokio::task::spawn_blocking(move || list(&folder_to_list)).await;
    let Some(now) = now.map_err(ApiError::internal)? else { return Ok(None) };
    if !is_time(app).await? {
        return Ok(Some(now));
    }
    for (path, seen) in now.iter().filter(|(path, seen)| before.get(*path) == Some(seen)) {
        if app.shutdown.is_cancelled() {
            break;
        }
        import_once(app, caller, path, *seen).await?;
    }
    Ok(Some(now))
}

/// Always true without a schedule; otherwise once per slot, for all replicas together.
async fn is_time(app: &App) -> ApiResult<bool> {
    let Some(schedule) = &app.settings.feeds.feeds_schedule else { return Ok(true) };
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let since = store::feed_imports::lock_schedule(&mut transaction, now).await?;
    let is_due = due_slots(schedule, Tz::UTC, since, now).due.is_some();
    store::feed_imports::update_schedule(&mut transaction, now).await?;
    transaction.commit().await?;
    Ok(is_due)
}

fn list(folder: &Path) -> Option<SeenFiles> {
    let mut found = SeenFiles::new();
    collect(folder, MAX_DEPTH, &mut found)?;
    Some(found)
}

fn collect(folder: &Path, depth: usize, found: &mut SeenFiles) -> Option<()> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        // Links are not followed: they lead out of the folder. Hidden files are still being written by many tools.
        let Ok(metadata) = entry.metadata() else { continue };
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_hidden || found.len() >= MAX_FILES {
            continue;
        }
        if metadata.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, found);
        } else if metadata.is_file()
            && let Ok(modified) = metadata.modified()
        {
            found.insert(
                entry.path(),
                (i64::try_from(metadata.len()).unwrap_or(i64::MAX), in_micros(modified.into())),
            );
        }
    }
    Some(())
}

/// With the precision of the database.
fn in_micros(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant)
}

/// Imports a file unless this version of it was imported, and records it afterwards: an interrupted import starts again,
/// and records that are already stored cost little.
async fn import_once(
    app: &App,
    caller: &Caller,
    path: &Path,
    (size_bytes, modified_at): (i64, DateTime<Utc>),
) -> ApiResult<()> {
    let file = FeedFile { path: path.display().to_string(), size_bytes, modified_at, etag: None };
    let mut conn = app.pool.acquire().await?;
    let known = store::feed_imports::find_file(&mut conn, &file.path).await?;
    drop(conn);
    if known.as_ref() == Some(&file) {
        return Ok(());
    }
    let import_id = match import(app, caller, path, size_bytes).await {
        Ok(import_id) => import_id,
        // A temporary error, such as an unreachable database: retried at the next check.
        Err(error) if error.status().is_server_error() => return Err(error),
        Err(error) => {
            tracing::warn!("skipping `{}` until it changes: {error}", path.display());
            None
        }
    };
    let mut conn = app.pool.acquire().await?;
    store::feed_imports::upsert_file(&mut conn, &file, import_id).await
}

async fn import(app: &App, caller: &Caller, path: &Path, size_bytes: i64) -> ApiResult<Option<Uuid>> {
    if u64::try_from(size_bytes).unwrap_or_default() > app.settings.feeds.feed_max_bytes {
        return Err(ApiError::malformed(format!(
            "it is larger than {} bytes",
            app.settings.feeds.feed_max_bytes
        )));
    }
    let file =
        fs::File::open(path).map_err(|error| ApiError::malformed(format!("it cannot be opened: {error}")))?;
    let started = feed_imports::start_import(app, caller, path.display().to_string(), file).await?;
    let id = started.import.id;
    let report = started.task.await.map_err(ApiError::internal)??;
    let refused = report.refused.len() as u64 + report.refused_more;
    tracing::info!(
        import.id = %id,
        "imported `{}`: {} new, {} changed, {refused} refused",
        path.display(), report.new, report.changed
    );
    Ok(Some(id))
}
