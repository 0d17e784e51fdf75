use api_types::{
    page::Page,
    problem::Problem,
    sim::{CreateSnapshot, Rehearsal, Snapshot, Vm},
};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use domain::ids::CiId;
use service_kit::{ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer};
use uuid::Uuid;

use super::{PageParams, located};
use crate::{app, state::App};

/// List the snapshots of a virtual machine, oldest first.
#[utoipa::path(get, path = "/sim/vms/{id}/snapshots", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), PageParams),
    responses((status = 200, body = Page<Snapshot>), (status = "4XX", body = Problem)))]
pub async fn list_snapshots(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<Snapshot>>> {
    app::snapshots::list_snapshots(&app, &id, &page.into()).await.map(Json)
}

/// Take a snapshot. The same owner and purpose return the existing one, with 200.
#[utoipa::path(post, path = "/sim/vms/{id}/snapshots", tag = "snapshots", request_body = CreateSnapshot,
    params(("id" = CiId, Path, description = "VM")),
    responses((status = 201, body = Snapshot), (status = 200, body = Snapshot), (status = "4XX", body = Problem)))]
pub async fn create_snapshot(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<CiId>,
    Json(request): Json<CreateSnapshot>,
) -> ApiResult<impl IntoResponse> {
    let (snapshot, is_new) = app::snapshots::create_snapshot(&app, &caller, &key, &id, &request).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(located(status, format!("/sim/vms/{id}/snapshots/{}", snapshot.id), snapshot))
}

/// Delete a snapshot.
#[utoipa::path(delete, path = "/sim/vms/{id}/snapshots/{snapshot_id}", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), ("snapshot_id" = Uuid, Path, description = "snapshot")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_snapshot(
    State(app): State<App>,
    caller: Operator,
    Path((id, snapshot_id)): Path<(CiId, Uuid)>,
) -> ApiResult<StatusCode> {
    app::snapshots::delete_snapshot(&app, &caller, &id, snapshot_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revert a virtual machine to a snapshot, whatever its condition. Afterwards it runs, under a new boot id.
#[utoipa::path(post, path = "/sim/vms/{id}/snapshots/{snapshot_id}/revert", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), ("snapshot_id" = Uuid, Path, description = "snapshot")),
    responses((status = 200, body = Vm), (status = "4XX", body = Problem)))]
pub async fn revert_snapshot(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path((id, snapshot_id)): Path<(CiId, Uuid)>,
) -> ApiResult<Json<Vm>> {
    app::snapshots::revert_snapshot(&app, &caller, &key, &id, snapshot_id).await.map(Json)
}

/// Rehearse a revert on a clone. The machine itself does not change. `cloned` is false if its driver cannot clone.
#[utoipa::path(post, path = "/sim/vms/{id}/snapshots/{snapshot_id}/rehearse", tag = "snapshots",
    params(("id" = CiId, Path, description = "VM"), ("snapshot_id" = Uuid, Path, description = "snapshot")),
    responses((status = 200, body = Rehearsal), (status = "4XX", body = Problem)))]
pub async fn rehearse_revert(
    State(app): State<App>,
    caller: Operator,
    Path((id, snapshot_id)): Path<(CiId, Uuid)>,
) -> ApiResult<Json<Rehearsal>> {
    app::snapshots::rehearse_revert(&app, &caller, &id, snapshot_id).await.map(Json)
}
