//! Impact of one configuration item, graph of many.

use api_types::{
    cmdb::{Graph, GraphQuery, Impact},
    problem::Problem,
};
use axum::extract::State;
use domain::{ids::CiId, selector::Selector};
use serde::Deserialize;
use service_kit::{
    ApiResult,
    auth::Viewer,
    extract::{Json, Path},
};
use utoipa::IntoParams;

use super::query::{self, Query};
use crate::{
    app::{graph, impact},
    state::App,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ImpactParams {
    /// Maximum distance in edges, 1 to 20; 5 by default.
    depth: Option<u32>,
}

/// Read what a configuration item affects and what it needs.
#[utoipa::path(get, path = "/cmdb/cis/{id}/impact", tag = "graph",
    params(("id" = CiId, Path, description = "CI"), ImpactParams),
    responses((status = 200, body = Impact), (status = "4XX", body = Problem)))]
pub async fn get_impact(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
    Query(params): Query<ImpactParams>,
) -> ApiResult<Json<Impact>> {
    impact::get_impact(&app, &id, params.depth).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct GraphParams {
    /// Only hosts and VMs with this tag, as `key:value`; may be repeated; all must match.
    #[serde(default)]
    tag: Vec<String>,
    /// Only these ids, comma-separated.
    ids: Option<String>,
    /// Every host and VM; required if neither `tag` nor `ids` is given.
    #[serde(default)]
    all: bool,
}

/// Read the nodes and dependency edges of a selection, for planners.
#[utoipa::path(get, path = "/cmdb/graph", tag = "graph", params(GraphParams),
    responses((status = 200, body = Graph), (status = "4XX", body = Problem)))]
pub async fn get_graph(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<GraphParams>,
) -> ApiResult<Json<Graph>> {
    let selector = Selector {
        tags: query::tags(&params.tag)?,
        ids: query::ids(params.ids.as_deref())?,
        all: params.all,
    };
    graph::get_graph(&app, &selector).await.map(Json)
}

/// Read the graph of a selection that is too long for a URL.
#[utoipa::path(post, path = "/cmdb/graph", tag = "graph", request_body = GraphQuery,
    responses((status = 200, body = Graph), (status = "4XX", body = Problem)))]
pub async fn query_graph(
    State(app): State<App>,
    _: Viewer,
    Json(query): Json<GraphQuery>,
) -> ApiResult<Json<Graph>> {
    graph::get_graph(&app, &query.selector).await.map(Json)
}
