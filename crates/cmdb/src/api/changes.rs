//! `/cmdb/changes`, for clients that keep a copy.

use api_types::{cmdb::CiChanges, problem::Problem};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{
    ApiResult,
    auth::Viewer,
    extract::{Json, Query},
};
use utoipa::IntoParams;

use crate::{app::changes, state::App};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ChangesParams {
    /// `next_token` of the previous answer; without it, nothing is listed and the first token is returned.
    since: Option<String>,
    /// Maximum number of changes, 1 to 1000; 1000 by default.
    limit: Option<u32>,
}

/// List the configuration items that have changed since a token was given.
#[utoipa::path(get, path = "/cmdb/changes", tag = "cis", params(ChangesParams),
    responses((status = 200, body = CiChanges), (status = "4XX", body = Problem)))]
pub async fn list_changes(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ChangesParams>,
) -> ApiResult<Json<CiChanges>> {
    changes::list_changes(&app, params.since.as_deref(), params.limit).await.map(Json)
}
