//! `/patch/advisories`.

use api_types::{
    page::Page,
    patch::{AdvisoryDetail, AdvisoryImportReport, AdvisorySummary, Severity},
    problem::Problem,
};
use axum::{body::Body, extract::State, http::StatusCode};
use domain::ids::AdvisoryId;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Operator, Path, Query, Viewer, page::PageRequest};
use tokio::io::AsyncWriteExt;
use tower_http::decompression::RequestDecompressionLayer;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::body_parts::next_part;
use crate::{
    app::{advisories, advisory_import},
    service::App,
    store::{advisories::AdvisoryFilter, policies::os_key},
};

/// Largest feed, unpacked from gzip; archives of an ecosystem are below it.
const BODY_BYTES: usize = 64 << 20;

pub(super) fn routes() -> OpenApiRouter<App> {
    let import =
        OpenApiRouter::new().routes(routes!(import_advisories)).layer(RequestDecompressionLayer::new());
    OpenApiRouter::new().routes(routes!(list_advisories)).routes(routes!(get_advisory)).merge(import)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Severities, parted by commas: `critical,high`.
    severity: Option<String>,
    /// `true`: only those known to be exploited; `false`: only others.
    kev: Option<bool>,
    /// Only those with a fix for this OS release: `rocky9`, `debian:12`.
    os: Option<String>,
    /// Only those with a fix of this package.
    package: Option<String>,
    /// Part of an id, a CVE or the summary.
    text: Option<String>,
    /// `true`: only those that some CI lacks.
    affected: Option<bool>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List advisories, newest first, with how many CIs lack each.
#[utoipa::path(get, path = "/patch/advisories", tag = "advisories", params(ListParams),
    responses((status = 200, body = Page<AdvisorySummary>), (status = "4XX", body = Problem)))]
async fn list_advisories(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<AdvisorySummary>>> {
    let filter = AdvisoryFilter {
        severities: params.severity.as_deref().map(severities).transpose()?.unwrap_or_default(),
        exploited: params.kev,
        os: params.os.as_deref().map(os_key),
        package: params.package,
        text: params.text,
        affected_only: params.affected.unwrap_or(false),
    };
    let request = PageRequest::new(params.limit, params.page_token);
    advisories::list_advisories(&app, &filter, &request).await.map(Json)
}

/// Names as they are stored; what a vendor did not rate is `none` on the wire.
fn severities(text: &str) -> ApiResult<Vec<String>> {
    let mut names = Vec::new();
    for word in text.split(',').map(str::trim) {
        let known = serde_json::from_value::<Severity>(word.into()).map_err(|_| {
            ApiError::invalid("severity", "must be of critical, high, medium, low, none, parted by commas")
        })?;
        names.push(word.to_owned());
        if known == Severity::None {
            names.push("unknown".to_owned());
        }
    }
    Ok(names)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AffectedParams {
    /// Most CIs of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// An advisory or a CVE: what fixes it, and the CIs that lack the fix, a page at a time.
#[utoipa::path(get, path = "/patch/advisories/{cve_id}", tag = "advisories",
    params(("cve_id" = String, Path, description = "CVE or advisory id"), AffectedParams),
    responses((status = 200, body = AdvisoryDetail), (status = "4XX", body = Problem)))]
async fn get_advisory(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<AdvisoryId>,
    Query(params): Query<AffectedParams>,
) -> ApiResult<Json<AdvisoryDetail>> {
    let request = PageRequest::new(params.limit, params.page_token);
    advisories::get_advisory(&app, &id, &request).await.map(Json)
}

/// Import a feed, recognised by its content: OSV (JSON, a record a line, or a zip), KEV (JSON or CSV), EPSS (CSV).
///
/// Bad records are named in the report and lose no others. CIs that have one of the packages are judged anew.
#[utoipa::path(post, path = "/patch/advisories/import", tag = "advisories",
    request_body(content = Vec<u8>, description = "At most 64 MiB, gzip is understood", content_type = "application/octet-stream"),
    responses((status = 200, body = AdvisoryImportReport), (status = "4XX", body = Problem)))]
async fn import_advisories(
    State(app): State<App>,
    caller: Operator,
    body: Body,
) -> ApiResult<Json<AdvisoryImportReport>> {
    let mut parts = body.into_data_stream();
    let unwritable = |error: std::io::Error| {
        ApiError::unavailable("no-space", "the feed cannot be kept for reading; see the service's log")
            .with_source(error)
    };
    let file = advisory_import::temporary_file(&app.settings.work_dir.join("feeds")).map_err(unwritable)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut total = 0;
    while let Some(part) = next_part(&mut parts).await? {
        total += part.len();
        if total > BODY_BYTES {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "a feed may be 64 MiB; send it in parts",
            ));
        }
        file.write_all(&part).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)?;
    let file = file.into_std().await;
    // A task of its own: a client that does not wait for the report does not leave half an import.
    let import =
        app.tasks.clone().spawn(async move { advisory_import::import_advisories(&app, &caller, file).await });
    import.await.map_err(ApiError::internal)?.map(Json)
}
