//! Maintenance and patch state of a configuration item.

use api_types::{
    access::Proposal,
    cmdb::{Ci, PatchState, SetMaintenance},
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::ids::CiId;
use service_kit::{
    ApiResult,
    auth::Operator,
    extract::{Json, Path, Tagged},
    second_person::respond,
};

use crate::{
    app::{maintenance, patch_state},
    state::App,
};

/// Turn maintenance on or off. Its owner may extend it; its owner or an administrator may end it.
#[utoipa::path(put, path = "/cmdb/cis/{id}/maintenance", tag = "cis", params(("id" = CiId, Path, description = "CI")),
    request_body = SetMaintenance, responses((status = 200, body = Ci), (status = "4XX", body = Problem)))]
pub async fn set_maintenance(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<SetMaintenance>,
) -> ApiResult<Tagged<Ci>> {
    maintenance::set_maintenance(&app, &caller, &id, request).await.map(Tagged::of)
}

/// Write the outcome of the last run. 202 with a proposal if a person claims a better state: a second person must confirm it.
#[utoipa::path(put, path = "/cmdb/cis/{id}/patch-state", tag = "cis", params(("id" = CiId, Path, description = "CI")),
    request_body = PatchState, responses((status = 200, body = Ci), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
pub async fn set_patch_state(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<PatchState>,
) -> ApiResult<Response> {
    let outcome = patch_state::set_patch_state(&app, &caller, &id, request).await?;
    Ok(respond(outcome, Tagged::of))
}
