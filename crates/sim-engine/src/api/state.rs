use api_types::{
    page::Page,
    problem::Problem,
    sim::{Cluster, Hypervisor, SimState as Everything, SimStateDiff},
};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{ApiResult, Json, Query, Viewer};

use super::params::PageParams;
use crate::{app, service::SimState};

/// List the hypervisors that carry machines.
#[utoipa::path(get, path = "/sim/hosts", tag = "state", params(PageParams),
    responses((status = 200, body = Page<Hypervisor>), (status = "4XX", body = Problem)))]
pub async fn list_hosts(
    State(state): State<SimState>,
    _: Viewer,
    Query(params): Query<PageParams>,
) -> ApiResult<Json<Page<Hypervisor>>> {
    Ok(Json(app::state::list_hosts(&state, &params.into()).await?))
}

/// List the clusters that carry machines.
#[utoipa::path(get, path = "/sim/clusters", tag = "state", params(PageParams),
    responses((status = 200, body = Page<Cluster>), (status = "4XX", body = Problem)))]
pub async fn list_clusters(
    State(state): State<SimState>,
    _: Viewer,
    Query(params): Query<PageParams>,
) -> ApiResult<Json<Page<Cluster>>> {
    Ok(Json(app::state::list_clusters(&state, &params.into()).await?))
}

/// Everything that exists, at one version of the state.
#[utoipa::path(get, path = "/sim/state", tag = "state",
    responses((status = 200, body = Everything), (status = "4XX", body = Problem)))]
pub async fn get_state(State(state): State<SimState>, _: Viewer) -> ApiResult<Json<Everything>> {
    Ok(Json(app::state::get_state(&state).await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct DiffParams {
    /// `version` of the state or diff that was read last.
    since: i64,
}

/// What changed and what was deleted after a version of the state.
#[utoipa::path(get, path = "/sim/state/diff", tag = "state", params(DiffParams),
    responses((status = 200, body = SimStateDiff), (status = "4XX", body = Problem)))]
pub async fn get_state_diff(
    State(state): State<SimState>,
    _: Viewer,
    Query(params): Query<DiffParams>,
) -> ApiResult<Json<SimStateDiff>> {
    Ok(Json(app::state::get_state_diff(&state, params.since).await?))
}
