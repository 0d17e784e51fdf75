//! `/patch/release-lines`: lines of versions whose base was released elsewhere.

use api_types::{
    patch::{RegisterLine, ReleaseLine},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use domain::release::Version;
use service_kit::{ApiResult, Json, Operator, Path, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::lines};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_lines)).routes(routes!(register_line, delete_line))
}

/// List the registered lines, lowest base first. There are at most 1000.
#[utoipa::path(get, path = "/patch/release-lines", tag = "releases",
    responses((status = 200, body = [ReleaseLine]), (status = "4XX", body = Problem)))]
async fn list_lines(State(app): State<App>, _: Viewer) -> ApiResult<Json<Vec<ReleaseLine>>> {
    lines::list_lines(&app).await.map(Json)
}

/// Register a line, so that its first patch can be released before a customer runs its base.
#[utoipa::path(put, path = "/patch/release-lines/{version}", tag = "releases", request_body = RegisterLine,
    params(("version" = String, Path, description = "base version of the line, such as `v1.1.0`")),
    responses((status = 200, body = ReleaseLine), (status = "4XX", body = Problem)))]
async fn register_line(
    State(app): State<App>,
    caller: Operator,
    Path(version): Path<Version>,
    Json(request): Json<RegisterLine>,
) -> ApiResult<Json<ReleaseLine>> {
    lines::register_line(&app, &caller, version, request).await.map(Json)
}

/// Delete a line. Its releases stay.
#[utoipa::path(delete, path = "/patch/release-lines/{version}", tag = "releases",
    params(("version" = String, Path, description = "base version of the line")),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn delete_line(
    State(app): State<App>,
    caller: Operator,
    Path(version): Path<Version>,
) -> ApiResult<StatusCode> {
    lines::delete_line(&app, &caller, version).await?;
    Ok(StatusCode::NO_CONTENT)
}
