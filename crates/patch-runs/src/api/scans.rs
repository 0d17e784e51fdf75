//! `/patch/compliance/scan`: scan hosts now.

use api_types::{
    patch::{Scan, StartScan},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::ids::ScanId;
use service_kit::{ApiResult, IdempotencyKey, Json, Operator, Path, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::scans};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(start_scan)).routes(routes!(get_scan))
}

/// Start a scan of all hosts, or of selected ones. The header Location names the scan.
///
/// A host without the tag `os` is scanned, too: the scan sets the tag, and patching manages the host from then on. A scan
/// that finds no host fails.
#[utoipa::path(post, path = "/patch/compliance/scan", tag = "compliance", request_body = StartScan,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one scan")),
    responses((status = 202, body = Scan), (status = "4XX", body = Problem)))]
async fn start_scan(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<StartScan>,
) -> ApiResult<impl IntoResponse> {
    let scan = scans::start_scan(&app, &caller, &key, request).await?;
    let location = format!("/patch/compliance/scans/{}", scan.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(scan)))
}

/// Read a scan: counts, and why CIs could not be scanned (the first 1000).
#[utoipa::path(get, path = "/patch/compliance/scans/{id}", tag = "compliance", params(("id" = uuid::Uuid, Path, description = "scan")),
    responses((status = 200, body = Scan), (status = "4XX", body = Problem)))]
async fn get_scan(State(app): State<App>, _: Viewer, Path(id): Path<ScanId>) -> ApiResult<Json<Scan>> {
    scans::get_scan(&app, id).await.map(Json)
}
