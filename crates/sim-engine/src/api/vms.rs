use std::collections::BTreeMap;

use api_types::{
    page::Page,
    problem::Problem,
    sim::{CreateVm, CreateVms, CreatedVms, Power, SetPower, Vm},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, page::PageRequest,
};

use super::to_the_end;
use crate::{app, service::SimState, store::vms::VmFilter};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListVms {
    /// Only this OS tag.
    os: Option<String>,
    /// Only this cluster.
    cluster: Option<String>,
    /// Only this hypervisor.
    hypervisor: Option<String>,
    /// Only this power state.
    #[param(inline)]
    power: Option<Power>,
    /// Only VMs with these tags: `env:production`, several parted by commas.
    tag: Option<String>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

impl ListVms {
    fn filter(self) -> ApiResult<(VmFilter, PageRequest)> {
        let tags = self.tag.iter().flat_map(|tags| tags.split(',')).map(|tag| match tag.split_once(':') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(ApiError::invalid("tag", "must be `key:value`, several parted by commas")),
        });
        let tags = tags.collect::<ApiResult<BTreeMap<_, _>>>()?;
        let (os, cluster, hypervisor, power) = (self.os, self.cluster, self.hypervisor, self.power);
        let filter = VmFilter { os, cluster, hypervisor, power, tags, since: None };
        Ok((filter, PageRequest::new(self.limit, self.page_token)))
    }
}

/// List virtual machines in the order of their ids.
#[utoipa::path(get, path = "/sim/vms", tag = "vms", params(ListVms),
    responses((status = 200, body = Page<Vm>), (status = "4XX", body = Problem)))]
pub async fn list_vms(
    State(state): State<SimState>,
    _: Viewer,
    Query(params): Query<ListVms>,
) -> ApiResult<Json<Page<Vm>>> {
    let (filter, request) = params.filter()?;
    Ok(Json(app::vms::list_vms(&state, &filter, &request).await?))
}

/// Create a virtual machine; it is up at once.
#[utoipa::path(post, path = "/sim/vms", tag = "vms", request_body = CreateVm,
    responses((status = 201, body = Vm), (status = "4XX", body = Problem)))]
pub async fn create_vm(
    State(state): State<SimState>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateVm>,
) -> ApiResult<impl IntoResponse> {
    let creating = async move { app::vms::create_vm(&state, &caller, &key, &request).await };
    let vm = to_the_end(creating).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/sim/vms/{}", vm.id))], Json(vm)))
}

/// Create up to 1000 virtual machines: all of them or none.
#[utoipa::path(post, path = "/sim/vms/bulk", tag = "vms", request_body = CreateVms,
    responses((status = 201, body = CreatedVms), (status = "4XX", body = Problem)))]
pub async fn create_vms(
    State(state): State<SimState>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateVms>,
) -> ApiResult<impl IntoResponse> {
    let creating = async move { app::vms::create_vms(&state, &caller, &key, &request).await };
    Ok((StatusCode::CREATED, Json(to_the_end(creating).await?)))
}

/// Read a virtual machine.
#[utoipa::path(get, path = "/sim/vms/{id}", tag = "vms", params(("id" = CiId, Path, description = "VM")),
    responses((status = 200, body = Vm), (status = "4XX", body = Problem)))]
pub async fn get_vm(State(state): State<SimState>, _: Viewer, Path(id): Path<CiId>) -> ApiResult<Json<Vm>> {
    Ok(Json(app::vms::get_vm(&state, &id).await?))
}

/// Delete a virtual machine with its snapshots and faults.
#[utoipa::path(delete, path = "/sim/vms/{id}", tag = "vms", params(("id" = CiId, Path, description = "VM")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_vm(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<CiId>,
) -> ApiResult<StatusCode> {
    to_the_end(async move { app::vms::delete_vm(&state, &caller, &id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Power a virtual machine on or off, or reset it: the hypervisor's switch, which asks nobody inside.
#[utoipa::path(post, path = "/sim/vms/{id}/power", tag = "vms", request_body = SetPower,
    params(("id" = CiId, Path, description = "VM")),
    responses((status = 200, body = Vm), (status = "4XX", body = Problem)))]
pub async fn set_power(
    State(state): State<SimState>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<CiId>,
    Json(request): Json<SetPower>,
) -> ApiResult<Json<Vm>> {
    let switching = async move { app::vms::set_power(&state, &caller, &key, &id, request.action).await };
    Ok(Json(to_the_end(switching).await?))
}
