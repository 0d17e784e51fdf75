use api_types::{problem::Problem, sim::Repository};
use axum::extract::State;
use service_kit::{ApiResult, Json, Operator, Path, Viewer};

use crate::{app, state::App};

/// Read what the package repository of an OS offers.
#[utoipa::path(get, path = "/sim/repositories/{os}", tag = "repositories",
    params(("os" = String, Path, description = "OS tag")),
    responses((status = 200, body = Repository), (status = "4XX", body = Problem)))]
pub async fn get_repository(
    State(app): State<App>,
    _: Viewer,
    Path(os): Path<String>,
) -> ApiResult<Json<Repository>> {
    app::repositories::get_repository(&app, &os).await.map(Json)
}

/// Replace what the package repository of an OS offers. Versions are listed oldest first; this is their order.
#[utoipa::path(put, path = "/sim/repositories/{os}", tag = "repositories", request_body = Repository,
    params(("os" = String, Path, description = "OS tag")),
    responses((status = 200, body = Repository), (status = "4XX", body = Problem)))]
pub async fn put_repository(
    State(app): State<App>,
    caller: Operator,
    Path(os): Path<String>,
    Json(repository): Json<Repository>,
) -> ApiResult<Json<Repository>> {
    app::repositories::put_repository(&app, &caller, &os, &repository).await?;
    Ok(Json(repository))
}
