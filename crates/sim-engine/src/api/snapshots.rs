use api_types::{
    page::Page,
    problem::Problem,
    sim::{CreateSnapshot, Rehearsal, Snapshot, Vm},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::ids::CiId;
use service_kit::{ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer};
use uuid::Uuid;

use super::{params::PageParams, to_the_end};
use crate::{app, service::SimState};

/// List the snapshots of a virtual machine, oldest first.
#[utoipa::path(get, path = "/sim/vms/{id}/snapshots", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), PageParams),
    responses((status = 200, body = Page<Snapshot>), (status = "4XX", body = Problem)))]
pub async fn list_snapshots(
    State(state): State<SimState>,
    _: Viewer,
    Path(id): Path<CiId>,
    Query(params): Query<PageParams>,
) -> ApiResult<Json<Page<Snapshot>>> {
    Ok(Json(app::snapshots::list_snapshots(&state, &id, &params.into()).await?))
}

/// Take a snapshot. The same owner and purpose give the one that exists, with 200.
#[utoipa::path(post, path = "/sim/vms/{id}/snapshots", tag = "snapshots", request_body = CreateSnapshot,
    params(("id" = CiId, Path, description = "VM")),
    responses((status = 201, body = Snapshot), (status = 200, body = Snapshot), (status = "4XX", body = Problem)))]
pub async fn create_snapshot(
    State(state): State<SimState>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<CiId>,
    Json(request): Json<CreateSnapshot>,
) -> ApiResult<impl IntoResponse> {
    let vm = id.clone();
    let taking = async move { app::snapshots::create_snapshot(&state, &caller, &key, &vm, &request).await };
    let (snapshot, is_new) = to_the_end(taking).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/sim/vms/{id}/snapshots/{}", snapshot.id);
    Ok((status, [(header::LOCATION, location)], Json(snapshot)))
}

/// Delete a snapshot.
#[utoipa::path(delete, path = "/sim/vms/{id}/snapshots/{snapshot_id}", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), ("snapshot_id" = Uuid, Path, description = "snapshot")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_snapshot(
    State(state): State<SimState>,
    caller: Operator,
    Path((id, snapshot_id)): Path<(CiId, Uuid)>,
) -> ApiResult<StatusCode> {
    app::snapshots::delete_snapshot(&state, &caller, &id, snapshot_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Return a virtual machine to a snapshot. It runs afterwards, under a new boot id, whatever condition it was in.
#[utoipa::path(post, path = "/sim/vms/{id}/snapshots/{snapshot_id}/revert", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), ("snapshot_id" = Uuid, Path, description = "snapshot")),
    responses((status = 200, body = Vm), (status = "4XX", body = Problem)))]
pub async fn revert_snapshot(
    State(state): State<SimState>,
    caller: Operator,
    key: IdempotencyKey,
    Path((id, snapshot_id)): Path<(CiId, Uuid)>,
) -> ApiResult<Json<Vm>> {
    let reverting =
        async move { app::snapshots::revert_snapshot(&state, &caller, &key, &id, snapshot_id).await };
    Ok(Json(to_the_end(reverting).await?))
}

/// Try the way back to a snapshot on a clone. The machine itself is not touched; `cloned` is false where its driver cannot
/// clone.
#[utoipa::path(post, path = "/sim/vms/{id}/snapshots/{snapshot_id}/rehearse", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), ("snapshot_id" = Uuid, Path, description = "snapshot")),
    responses((status = 200, body = Rehearsal), (status = "4XX", body = Problem)))]
pub async fn rehearse_revert(
    State(state): State<SimState>,
    caller: Operator,
    Path((id, snapshot_id)): Path<(CiId, Uuid)>,
) -> ApiResult<Json<Rehearsal>> {
    Ok(Json(app::snapshots::rehearse_revert(&state, &caller, &id, snapshot_id).await?))
}
