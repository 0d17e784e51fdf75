//! `/patch/runs/{id}/diff`: how the plan has changed since its approval.

use api_types::{patch::RunDiff, problem::Problem};
use axum::extract::State;
use domain::ids::RunId;
use service_kit::{ApiResult, Json, Path, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::run_diffs};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_run_diff))
}

/// Get the differences between the approved plan of a run and the one made right before its work.
#[utoipa::path(get, path = "/patch/runs/{id}/diff", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = RunDiff), (status = "4XX", body = Problem)))]
async fn get_run_diff(State(app): State<App>, _: Viewer, Path(id): Path<RunId>) -> ApiResult<Json<RunDiff>> {
    run_diffs::get_run_diff(&app, id).await.map(Json)
}
