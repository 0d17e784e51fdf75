use api_types::{
    problem::Problem,
    sim::{ControlService, Guest, GuestService, Reboot, Vm},
};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use domain::ids::CiId;
use service_kit::{ApiResult, Json, Operator, Path, Viewer};

use crate::{app, state::App};

/// Read the inside of a guest. 503 `guest-unreachable` while it does not answer.
#[utoipa::path(get, path = "/sim/vms/{id}/guest", tag = "guest", params(("id" = CiId, Path, description = "VM")),
    responses((status = 200, body = Guest), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn get_guest(State(app): State<App>, _: Viewer, Path(id): Path<CiId>) -> ApiResult<Json<Guest>> {
    app::guest::get_guest(&app, &id).await.map(Json)
}

/// Start, stop, restart or drain a service of a guest.
#[utoipa::path(post, path = "/sim/vms/{id}/guest/services/{name}", tag = "guest", request_body = ControlService,
    params(("id" = CiId, Path, description = "VM"), ("name" = String, Path, description = "service")),
    responses((status = 200, body = GuestService), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn control_service(
    State(app): State<App>,
    caller: Operator,
    Path((id, name)): Path<(CiId, String)>,
    Json(request): Json<ControlService>,
) -> ApiResult<Json<GuestService>> {
    app::guest::control_service(&app, &caller, &id, &name, request.action).await.map(Json)
}

/// Reboot a guest. With `boot_id`, only if it still runs under that boot. It does not answer until it is up again.
#[utoipa::path(post, path = "/sim/vms/{id}/guest/reboot", tag = "guest", request_body = Reboot,
    params(("id" = CiId, Path, description = "VM")),
    responses((status = 202, body = Vm), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn reboot_guest(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<Reboot>,
) -> ApiResult<impl IntoResponse> {
    Ok((StatusCode::ACCEPTED, Json(app::guest::reboot_guest(&app, &caller, &id, request.boot_id).await?)))
}
