use api_types::{
    page::Page,
    problem::Problem,
    sim::{Cluster, Hypervisor, SimState, SimStateDiff},
};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{ApiResult, Json, Query, Viewer};

use super::PageParams;
use crate::{app, state::App};

/// List the hypervisors that have machines.
#[utoipa::path(get, path = "/sim/hosts", tag = "state", params(PageParams),
    responses((status = 200, body = Page<Hypervisor>), (status = "4XX", body = Problem)))]
pub async fn list_hosts(
    State(app): State<App>,
    _: Viewer,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<Hypervisor>>> {
    app::state::list_hosts(&app, &page.into()).await.map(Json)
}

/// List the clusters that have machines.
#[utoipa::path(get, path = "/sim/clusters", tag = "state", params(PageParams),
    responses((status = 200, body = Page<Cluster>), (status = "4XX", body = Problem)))]
pub async fn list_clusters(
    State(app): State<App>,
    _: Viewer,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<Cluster>>> {
    app::state::list_clusters(&app, &page.into()).await.map(Json)
}

/// Read everything that exists, at one version of the state.
#[utoipa::path(get, path = "/sim/state", tag = "state",
    responses((status = 200, body = SimState), (status = "4XX", body = Problem)))]
pub async fn get_state(State(app): State<App>, _: Viewer) -> ApiResult<Json<SimState>> {
    app::state::get_state(&app).await.map(Json)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct DiffParams {
    /// `version` of the last state or diff that the client read.
    since: i64,
}

/// Read what changed and what was deleted after a version of the state.
#[utoipa::path(get, path = "/sim/state/diff", tag = "state", params(DiffParams),
    responses((status = 200, body = SimStateDiff), (status = "4XX", body = Problem)))]
pub async fn get_state_diff(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<DiffParams>,
) -> ApiResult<Json<SimStateDiff>> {
    app::state::get_state_diff(&app, params.since).await.map(Json)
}
