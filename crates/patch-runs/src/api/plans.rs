//! `/patch/plans`: what-if.

use api_types::{
    patch::{PlanComparison, SimulatePlans},
    problem::Problem,
};
use axum::extract::State;
use service_kit::{ApiResult, Json, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::what_if};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(simulate_plans))
}

/// Plan and simulate under all or named strategies: the current hosts, a finished run, or a scenario.
///
/// Nothing is stored and no host is changed.
#[utoipa::path(post, path = "/patch/plans/simulate", tag = "plans", request_body = SimulatePlans,
    responses((status = 200, body = PlanComparison), (status = "4XX", body = Problem)))]
async fn simulate_plans(
    State(app): State<App>,
    _: Viewer,
    Json(request): Json<SimulatePlans>,
) -> ApiResult<Json<PlanComparison>> {
    what_if::simulate_plans(&app, &request).await.map(Json)
}
