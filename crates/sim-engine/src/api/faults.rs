use api_types::{
    page::Page,
    problem::Problem,
    sim::{CreateFault, Fault, FaultKind},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, page::PageRequest};
use uuid::Uuid;

use super::to_the_end;
use crate::{app, service::SimState};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListFaults {
    /// Only faults of this VM.
    vm_id: Option<CiId>,
    /// Only faults of this kind.
    #[param(inline)]
    kind: Option<FaultKind>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List injected faults, spent ones too, oldest first.
#[utoipa::path(get, path = "/sim/inject", tag = "faults", params(ListFaults),
    responses((status = 200, body = Page<Fault>), (status = "4XX", body = Problem)))]
pub async fn list_faults(
    State(state): State<SimState>,
    _: Viewer,
    Query(params): Query<ListFaults>,
) -> ApiResult<Json<Page<Fault>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    Ok(Json(app::faults::list_faults(&state, params.vm_id.as_ref(), params.kind, &request).await?))
}

/// Inject a fault of a kind into a virtual machine.
#[utoipa::path(post, path = "/sim/inject/{fault}", tag = "faults", request_body = CreateFault,
    params(("fault" = FaultKind, Path, description = "kind of fault")),
    responses((status = 201, body = Fault), (status = "4XX", body = Problem)))]
pub async fn inject_fault(
    State(state): State<SimState>,
    caller: Operator,
    key: IdempotencyKey,
    Path(kind): Path<FaultKind>,
    Json(request): Json<CreateFault>,
) -> ApiResult<impl IntoResponse> {
    let injecting = async move { app::faults::inject_fault(&state, &caller, &key, kind, &request).await };
    let fault = to_the_end(injecting).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/sim/inject/{}", fault.id))], Json(fault)))
}

/// End a fault. What it has broken stays broken until it is started, powered on or reverted.
#[utoipa::path(delete, path = "/sim/inject/{fault}", tag = "faults", params(("fault" = Uuid, Path, description = "fault")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_fault(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    to_the_end(async move { app::faults::delete_fault(&state, &caller, id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
