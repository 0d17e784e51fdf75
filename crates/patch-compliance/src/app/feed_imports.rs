//! Imports as resources: started by a request or by the watched folder, with progress, kept afterwards.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
    time::Duration,
};

use advisories::feed::{FeedKind, Limits, recognise_feed};
use api_types::{
    page::Page,
    patch::{AdvisoryImport, AdvisoryImportReport, AdvisoryImportStatus},
};
use service_kit::{ApiError, ApiResult, Caller, page::PageRequest, page::page, problem_types};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use uuid::Uuid;

use super::{
    advisory_import::{self, Progress},
    import_slots::MAX_WAITING,
};
use crate::{App, store};

/// How often progress is stored.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// An import without progress for this long has lost its process.
const SILENT_SECONDS: f64 = 60.0;
/// Number of ended imports that are kept.
const KEPT: i64 = 10_000;

/// A running import, in its own task.
pub(crate) struct StartedImport {
    pub import: AdvisoryImport,
    pub task: JoinHandle<ApiResult<AdvisoryImportReport>>,
}

/// Starts the import of the feed in a file; refused at once if it is not a feed.
pub(crate) async fn start_import(
    app: &App,
    caller: &Caller,
    origin: String,
    file: File,
) -> ApiResult<StartedImport> {
    let bytes_total = file.metadata().map_err(ApiError::internal)?.len();
    let (kind, file) =
        tokio::task::spawn_blocking(move || recognise_file(file)).await.map_err(ApiError::internal)??;
    if app.import_slots.waiting.available_permits() == 0 {
        let detail =
            format!("{MAX_WAITING} imports are waiting already; send the feed again when some have ended");
        return Err(ApiError::new(problem_types::TOO_MANY_IMPORTS, detail));
    }
    let progress = Progress::new(kind);
    let import = AdvisoryImport {
        id: Uuid::now_v7(),
        origin,
        requested_by: caller.subject.clone(),
        status: AdvisoryImportStatus::Running,
        bytes_total: i64::try_from(bytes_total).unwrap_or(i64::MAX),
        bytes_read: 0,
        started_at: app.clock.now(),
        ended_at: None,
        report: progress.report(),
        problem: None,
    };
    let mut conn = app.pool.acquire().await?;
    store::feed_imports::insert_import(&mut conn, &import).await?;
    drop(conn);
    let (of_task, of_caller, id) = (app.clone(), caller.clone(), import.id);
    let task = app.tasks.spawn(async move { run(&of_task, &of_caller, id, kind, file, &progress).await });
    Ok(StartedImport { import, task })
}

fn recognise_file(mut file: File) -> ApiResult<(FeedKind, File)> {
    let mut beginning = Vec::new();
    file.rewind().map_err(ApiError::internal)?;
    file.by_ref().take(4096).read_to_end(&mut beginning).map_err(ApiError::internal)?;
    if beginning.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::malformed("the body is empty; a feed is expected"));
    }
    let kind = recognise_feed(BufReader::new(&mut file), &Limits::default()).map_err(ApiError::internal)?;
    let kind = kind.ok_or_else(|| {
        let known = "OSV, CSAF, updateinfo.xml, a feed of Debian, the KEV catalogue, EPSS scores or a page of the NVD";
        ApiError::invalid("", format!("is not a known feed; send {known}, as it is, in a zip or tar, or compressed with gzip, bzip2 or xz"))
    })?;
    Ok((kind, file))
}

/// Imports, stores progress and records the end.
async fn run(
    app: &App,
    caller: &Caller,
    id: Uuid,
    kind: FeedKind,
    file: File,
    progress: &Progress,
) -> ApiResult<AdvisoryImportReport> {
    let work = async {
        let _place = app.import_slots.waiting.acquire().await.map_err(ApiError::internal)?;
        let _turn = app.import_slots.running.acquire().await.map_err(ApiError::internal)?;
        advisory_import::import_advisories(app, caller, kind, file, progress).await
    };
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => store_progress(app, id, progress).await,
        }
    };
    store_progress(app, id, progress).await;
    let problem = result.as_ref().err().map(ToString::to_string);
    let status = match &result {
        Ok(_) => AdvisoryImportStatus::Succeeded,
        Err(error) => {
            tracing::warn!(import.id = %id, "an import failed: {}", service_kit::error::chain(error));
            AdvisoryImportStatus::Failed
        }
    };
    let mut conn = app.pool.acquire().await?;
    let report = progress.report();
    store::feed_imports::end_import(&mut conn, id, status, &report, problem.as_deref(), app.clock.now())
        .await?;
    result
}

/// An import does not fail because its progress cannot be stored.
async fn store_progress(app: &App, id: Uuid, progress: &Progress) {
    let stored = async {
        let mut conn = app.pool.acquire().await?;
        let bytes_read = i64::try_from(progress.bytes_read()).unwrap_or(i64::MAX);
        store::feed_imports::update_progress(&mut conn, id, bytes_read, &progress.report()).await
    };
    if let Err(error) = stored.await {
        tracing::warn!(import.id = %id, "cannot store the progress of an import now: {}", service_kit::error::chain(&error));
    }
}

pub(crate) async fn get_import(app: &App, id: Uuid) -> ApiResult<AdvisoryImport> {
    let mut conn = app.pool.acquire().await?;
    store::feed_imports::get_import(&mut conn, id).await
}

pub(crate) async fn list_imports(app: &App, request: &PageRequest) -> ApiResult<Page<AdvisoryImport>> {
    let (limit, after) = (request.limit()?, request.after()?);
    let mut conn = app.pool.acquire().await?;
    let rows = store::feed_imports::list_imports(&mut conn, after, limit + 1).await?;
    Ok(page(rows, limit, |import| (import.started_at, import.id)))
}

/// Ends imports that lost their process, and deletes old ones.
pub(crate) async fn clean_up_imports(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let now = app.clock.now();
    let interrupted = store::feed_imports::interrupt_silent(&mut conn, SILENT_SECONDS, now).await?;
    if interrupted > 0 {
        tracing::warn!("{interrupted} imports were interrupted: their process has ended");
    }
    store::feed_imports::delete_ended(&mut conn, KEPT).await
}

/// A file without a name; it is gone when closed.
pub(crate) fn temporary_file(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder)
}
