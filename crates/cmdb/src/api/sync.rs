//! `/cmdb/sync`.

use api_types::{cmdb::Sync, problem::Problem};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use service_kit::{
    ApiResult,
    auth::{Operator, Viewer},
    extract::Json,
    idempotency::IdempotencyKey,
};

use crate::{app::sync, state::App};

/// Start a synchronisation with the sim-engine; one runs at a time.
#[utoipa::path(post, path = "/cmdb/sync", tag = "sync",
    responses((status = 202, body = Sync), (status = "4XX", body = Problem)))]
pub async fn start_sync(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
) -> ApiResult<impl IntoResponse> {
    let sync = sync::start_sync(&app, &caller, &key).await?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, "/cmdb/sync/status")], Json(sync)))
}

/// Read the state of the last synchronisation.
#[utoipa::path(get, path = "/cmdb/sync/status", tag = "sync",
    responses((status = 200, body = Sync), (status = "4XX", body = Problem)))]
pub async fn get_sync(State(app): State<App>, _: Viewer) -> ApiResult<Json<Sync>> {
    sync::get_sync(&app).await.map(Json)
}
