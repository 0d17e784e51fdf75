//! `/patch/advisories`.

use std::time::Duration;

use ::advisories::os_key;
use api_types::{
    page::Page,
    patch::{
        AdvisoryDetail, AdvisoryHistory, AdvisoryImport, AdvisoryImportReport, AdvisorySummary, Severity,
    },
    problem::Problem,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::ids::AdvisoryId;
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult, Json, Operator, Path, Query, Viewer, page::PageRequest, problem_types,
};
use tokio::io::AsyncWriteExt;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{body_parts::next_part, host_list::days_of};
use crate::{
    App,
    app::{advisories, advisory_history, feed_imports},
    store::advisories::AdvisoryFilter,
};

/// Less than the timeout of a request.
const MAX_WAIT_SECONDS: u64 = 20;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_advisories))
        .routes(routes!(get_advisory))
        .routes(routes!(get_advisory_history))
        .routes(routes!(import_advisories))
        .routes(routes!(list_imports))
        .routes(routes!(get_import))
}

#[derive(Debug, Deserialize, IntoParams)]
struct ListParams {
    /// Comma-separated severities: `critical,high`.
    severity: Option<String>,
    /// `true`: only those known to be exploited; `false`: only others.
    kev: Option<bool>,
    /// Only those with a fix for this OS release: `rocky9`, `debian:12`.
    os: Option<String>,
    /// Only those with a fix of this package.
    package: Option<String>,
    /// Part of an id, a CVE or the summary.
    text: Option<String>,
    /// `true`: only those that some CI is missing.
    affected: Option<bool>,
}

/// List advisories, newest first, with how many CIs are missing each.
#[utoipa::path(get, path = "/patch/advisories", tag = "advisories", params(ListParams, PageRequest),
    responses((status = 200, body = Page<AdvisorySummary>), (status = "4XX", body = Problem)))]
async fn list_advisories(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<AdvisorySummary>>> {
    let filter = AdvisoryFilter {
        severities: params.severity.as_deref().map(severities).transpose()?.unwrap_or_default(),
        exploited: params.kev,
        os: params.os.as_deref().map(os_key),
        package: params.package,
        text: params.text,
        affected_only: params.affected.unwrap_or(false),
    };
    advisories::list_advisories(&app, &filter, &page).await.map(Json)
}

/// An unrated advisory has the severity `none`.
fn severities(text: &str) -> ApiResult<Vec<Severity>> {
    let parse = |name: &str| {
        name.trim().parse().map_err(|_| {
            ApiError::invalid(
                "severity",
                "must be a comma-separated list of critical, high, medium, low, unknown and none",
            )
        })
    };
    text.split(',').map(parse).collect()
}

/// Read an advisory or a CVE: the fixes, and the CIs that are missing them, a page at a time.
#[utoipa::path(get, path = "/patch/advisories/{cve_id}", tag = "advisories",
    params(("cve_id" = String, Path, description = "CVE or advisory id"), PageRequest),
    responses((status = 200, body = AdvisoryDetail), (status = "4XX", body = Problem)))]
async fn get_advisory(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<AdvisoryId>,
    page: PageRequest,
) -> ApiResult<Json<AdvisoryDetail>> {
    advisories::get_advisory(&app, &id, &page).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AdvisoryHistoryParams {
    /// Number of days, 1 to 400, counted back from today; 30 by default. Days are kept for 13 months.
    days: Option<u32>,
}

/// Read how many hosts missed the fixes of an advisory or a CVE, day by day.
#[utoipa::path(get, path = "/patch/advisories/{cve_id}/history", tag = "advisories",
    params(("cve_id" = String, Path, description = "CVE or advisory id"), AdvisoryHistoryParams),
    responses((status = 200, body = AdvisoryHistory), (status = "4XX", body = Problem)))]
async fn get_advisory_history(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<AdvisoryId>,
    Query(params): Query<AdvisoryHistoryParams>,
) -> ApiResult<Json<AdvisoryHistory>> {
    advisory_history::get_advisory_history(&app, &id, days_of(params.days)?).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
struct ImportParams {
    /// Seconds to wait for the report, 0 to 20; 20 by default. An import that takes longer continues, and the answer is
    /// 202; with 0 it is always 202.
    wait_seconds: Option<u64>,
}

/// Import a feed. Its format is recognised by its content: OSV, CSAF 2.0 advisories and VEX, as single documents, one per
/// line, or in a zip or tar; updateinfo.xml; Debian's tracker, lists of notices and indexes of sources; KEV (JSON, CSV); EPSS;
/// pages of the NVD. Each may be compressed with gzip, bzip2 or xz.
///
/// Bad records are listed in the report and do not affect others. CIs that have one of the packages are matched again. An
/// import that takes longer than the wait continues and answers 202; its `Location` reports the progress. The same feed
/// may be sent again at any time: stored records are unchanged.
#[utoipa::path(post, path = "/patch/advisories/import", tag = "advisories", params(ImportParams),
    request_body(content = Vec<u8>, description = "At most 256 MiB, or the value of `--feed-max-bytes`", content_type = "application/octet-stream"),
    responses((status = 200, body = AdvisoryImportReport),
        (status = 202, body = AdvisoryImport, description = "continues; `Location` reports the progress"), (status = "4XX", body = Problem)))]
async fn import_advisories(
    State(app): State<App>,
    caller: Operator,
    Query(params): Query<ImportParams>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let wait = match params.wait_seconds.unwrap_or(MAX_WAIT_SECONDS) {
        seconds @ 0..=MAX_WAIT_SECONDS => Duration::from_secs(seconds),
        _ => return Err(ApiError::invalid("wait_seconds", format!("must be 0 to {MAX_WAIT_SECONDS}"))),
    };
    // A body with a content encoding is decompressed while it is read, like a compressed feed.
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "gzip" && encoding != "identity")
    {
        let detail = "send the feed as it is, or with `Content-Encoding: gzip`";
        return Err(ApiError::new(problem_types::UNSUPPORTED_CONTENT_ENCODING, detail));
    }
    let file = receive(&app, body).await?;
    let started = feed_imports::start_import(&app, &caller, "request".to_owned(), file).await?;
    let ended = if wait.is_zero() { None } else { tokio::time::timeout(wait, started.task).await.ok() };
    match ended {
        Some(ended) => ended.map_err(ApiError::internal)?.map(|report| Json(report).into_response()),
        None => {
            let location = format!("/patch/advisories/imports/{}", started.import.id);
            Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(started.import)).into_response())
        }
    }
}

/// The body in a file without a name.
async fn receive(app: &App, body: Body) -> ApiResult<std::fs::File> {
    let most = app.settings.feeds.feed_max_bytes;
    let mut parts = body.into_data_stream();
    let unwritable = |error: std::io::Error| {
        ApiError::new(problem_types::NO_SPACE, "the feed cannot be stored; see the service's log")
            .with_source(error)
    };
    let file = feed_imports::temporary_file(&app.settings.work_dir.join("feeds")).map_err(unwritable)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut total = 0;
    while let Some(part) = next_part(&mut parts).await? {
        total += part.len() as u64;
        if total > most {
            let detail = format!("a feed may have at most {most} bytes; send it in parts");
            return Err(ApiError::new(problem_types::TOO_LARGE, detail));
        }
        file.write_all(&part).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)?;
    Ok(file.into_std().await)
}

/// List imports, newest first.
#[utoipa::path(get, path = "/patch/advisories/imports", tag = "advisories", params(PageRequest),
    responses((status = 200, body = Page<AdvisoryImport>), (status = "4XX", body = Problem)))]
async fn list_imports(
    State(app): State<App>,
    _: Viewer,
    page: PageRequest,
) -> ApiResult<Json<Page<AdvisoryImport>>> {
    feed_imports::list_imports(&app, &page).await.map(Json)
}

/// Read an import: its progress and its result.
#[utoipa::path(get, path = "/patch/advisories/imports/{id}", tag = "advisories",
    params(("id" = Uuid, Path, description = "import")),
    responses((status = 200, body = AdvisoryImport), (status = "4XX", body = Problem)))]
async fn get_import(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<AdvisoryImport>> {
    feed_imports::get_import(&app, id).await.map(Json)
}
