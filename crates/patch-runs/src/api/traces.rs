//! `/patch/plans/trace` and `/patch/runs/{id}/trace`: a run event by event.

use api_types::{
    patch::{RunTrace, TracePlan},
    problem::Problem,
};
use axum::extract::State;
use domain::ids::RunId;
use service_kit::{ApiResult, Json, Path, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::traces};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(trace_plan)).routes(routes!(get_run_trace))
}

/// Play the plan that a run would have now once, event by event. Nothing is stored and no host is changed.
///
/// The same seed and play of an unchanged fleet are the same course. A plan of more than 250 hosts is refused.
#[utoipa::path(post, path = "/patch/plans/trace", tag = "plans", request_body = TracePlan,
    responses((status = 200, body = RunTrace), (status = "4XX", body = Problem)))]
async fn trace_plan(
    State(app): State<App>,
    _: Viewer,
    Json(request): Json<TracePlan>,
) -> ApiResult<Json<RunTrace>> {
    traces::trace_plan(&app, &request).await.map(Json)
}

/// Read what a run that has ended did, event by event: the steps of every attempt with their figures. A run of more than 250 hosts
/// is refused.
#[utoipa::path(get, path = "/patch/runs/{id}/trace", tag = "runs", params(("id" = Uuid, Path, description = "run")),
    responses((status = 200, body = RunTrace), (status = "4XX", body = Problem)))]
async fn get_run_trace(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<RunId>,
) -> ApiResult<Json<RunTrace>> {
    traces::get_run_trace(&app, id).await.map(Json)
}
