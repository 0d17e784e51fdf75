use api_types::{
    page::Page,
    problem::Problem,
    sim::{CreateFault, Fault, FaultKind},
};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer};
use uuid::Uuid;

use super::{PageParams, located};
use crate::{app, state::App};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct ListFaults {
    /// Only faults of this VM.
    vm_id: Option<CiId>,
    /// Only faults of this kind.
    #[param(inline)]
    kind: Option<FaultKind>,
}

/// List injected faults, including spent ones, oldest first.
#[utoipa::path(get, path = "/sim/inject", tag = "faults", params(ListFaults, PageParams),
    responses((status = 200, body = Page<Fault>), (status = "4XX", body = Problem)))]
pub async fn list_faults(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListFaults>,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<Fault>>> {
    app::faults::list_faults(&app, params.vm_id.as_ref(), params.kind, &page.into()).await.map(Json)
}

/// Inject a fault of a kind into a virtual machine.
#[utoipa::path(post, path = "/sim/inject/{fault}", tag = "faults", request_body = CreateFault,
    params(("fault" = FaultKind, Path, description = "kind of fault")),
    responses((status = 201, body = Fault), (status = "4XX", body = Problem)))]
pub async fn inject_fault(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(kind): Path<FaultKind>,
    Json(request): Json<CreateFault>,
) -> ApiResult<impl IntoResponse> {
    let fault = app::faults::inject_fault(&app, &caller, &key, kind, &request).await?;
    Ok(located(StatusCode::CREATED, format!("/sim/inject/{}", fault.id), fault))
}

/// End a fault. What it broke stays broken until it is started, powered on or reverted.
#[utoipa::path(delete, path = "/sim/inject/{fault}", tag = "faults", params(("fault" = Uuid, Path, description = "fault")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_fault(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    app::faults::delete_fault(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
