//! `/patch/runs/{id}/plan`, `/waves` and `/hosts`.

use api_types::{
    page::Page,
    patch::{HostStatus, WaveStatus},
    problem::Problem,
};
use axum::extract::State;
use domain::{ids::RunId, plan::Plan, run::HostState};
use serde::Deserialize;
use service_kit::{ApiResult, Json, Path, Query, Viewer, page::PageRequest};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::run_parts::{self, HostFilter},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_run_plan))
        .routes(routes!(list_run_waves))
        .routes(routes!(list_run_hosts))
}

/// Read the plan of a run: exactly what its change requests approval of. 404 until the run is planned.
#[utoipa::path(get, path = "/patch/runs/{id}/plan", tag = "runs", params(("id" = Uuid, Path, description = "run")),
    responses((status = 200, body = Plan), (status = "4XX", body = Problem)))]
async fn get_run_plan(State(app): State<App>, _: Viewer, Path(id): Path<RunId>) -> ApiResult<Json<Plan>> {
    run_parts::get_run_plan(&app, id).await.map(Json)
}

/// List the waves of a run in their order, with the number of their hosts in each state. Empty until the run is planned.
#[utoipa::path(get, path = "/patch/runs/{id}/waves", tag = "runs",
    params(("id" = Uuid, Path, description = "run"), PageRequest),
    responses((status = 200, body = Page<WaveStatus>), (status = "4XX", body = Problem)))]
async fn list_run_waves(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<RunId>,
    request: PageRequest,
) -> ApiResult<Json<Page<WaveStatus>>> {
    run_parts::list_run_waves(&app, id, &request).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct HostParams {
    /// Only hosts in this state.
    #[param(inline)]
    state: Option<HostState>,
    /// Only hosts of the wave with this index, from 0.
    #[param(maximum = 2147483646)]
    wave: Option<u32>,
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// List the hosts of a run with the steps of their latest attempt: wave by wave, hosts without a wave last.
#[utoipa::path(get, path = "/patch/runs/{id}/hosts", tag = "runs",
    params(("id" = Uuid, Path, description = "run"), HostParams),
    responses((status = 200, body = Page<HostStatus>), (status = "4XX", body = Problem)))]
async fn list_run_hosts(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<RunId>,
    Query(params): Query<HostParams>,
) -> ApiResult<Json<Page<HostStatus>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let filter = HostFilter { state: params.state, wave: params.wave };
    run_parts::list_run_hosts(&app, id, filter, &request).await.map(Json)
}
