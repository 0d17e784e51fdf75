//! `/patch/installation`: whether the database is the one that was worked with.

use api_types::{
    patch::{ConfirmInstallation, Installation},
    problem::Problem,
};
use axum::extract::State;
use service_kit::{Admin, ApiResult, Json, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::installation};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_installation)).routes(routes!(confirm_installation))
}

/// Read the identity of the installation, and whether its database was restored or copied.
#[utoipa::path(get, path = "/patch/installation", tag = "installation",
    responses((status = 200, body = Installation), (status = "4XX", body = Problem)))]
async fn get_installation(State(app): State<App>, _: Viewer) -> ApiResult<Json<Installation>> {
    installation::get_installation(&app).await.map(Json)
}

/// Confirm that work may continue with this database after it was restored, copied or moved. Open runs stay paused until an
/// operator resumes or cancels each; a resumed run scans its hosts first. Without a hold it changes nothing.
#[utoipa::path(post, path = "/patch/installation/confirm", tag = "installation", request_body = ConfirmInstallation,
    responses((status = 200, body = Installation), (status = "4XX", body = Problem)))]
async fn confirm_installation(
    State(app): State<App>,
    caller: Admin,
    Json(request): Json<ConfirmInstallation>,
) -> ApiResult<Json<Installation>> {
    installation::confirm_installation(&app, &caller, &request.reason).await.map(Json)
}
