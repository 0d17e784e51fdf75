use std::collections::BTreeMap;

use api_types::{
    page::Page,
    problem::Problem,
    sim::{CreateVm, CreateVms, CreatedVms, Power, SetPower, Vm},
};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer};

use super::{PageParams, located};
use crate::{app, state::App, store::vms::VmFilter};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
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
    /// Only VMs with these tags: `env:production`, comma-separated.
    tag: Option<String>,
}

impl ListVms {
    fn filter(self) -> ApiResult<VmFilter> {
        let tags = self.tag.iter().flat_map(|tags| tags.split(',')).map(|tag| match tag.split_once(':') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(ApiError::invalid("tag", "must be `key:value`, comma-separated")),
        });
        let tags = tags.collect::<ApiResult<BTreeMap<_, _>>>()?;
        let (os, cluster, hypervisor, power) = (self.os, self.cluster, self.hypervisor, self.power);
        Ok(VmFilter { os, cluster, hypervisor, power, tags, since: None })
    }
}

/// List virtual machines, ordered by id.
#[utoipa::path(get, path = "/sim/vms", tag = "vms", params(ListVms, PageParams),
    responses((status = 200, body = Page<Vm>), (status = "4XX", body = Problem)))]
pub async fn list_vms(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListVms>,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<Vm>>> {
    app::vms::list_vms(&app, &params.filter()?, &page.into()).await.map(Json)
}

/// Create a virtual machine. It runs at once.
#[utoipa::path(post, path = "/sim/vms", tag = "vms", request_body = CreateVm,
    responses((status = 201, body = Vm), (status = "4XX", body = Problem)))]
pub async fn create_vm(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateVm>,
) -> ApiResult<impl IntoResponse> {
    let vm = app::vms::create_vm(&app, &caller, &key, &request).await?;
    Ok(located(StatusCode::CREATED, format!("/sim/vms/{}", vm.id), vm))
}

/// Create up to 1000 virtual machines: all of them or none.
#[utoipa::path(post, path = "/sim/vms/bulk", tag = "vms", request_body = CreateVms,
    responses((status = 201, body = CreatedVms), (status = "4XX", body = Problem)))]
pub async fn create_vms(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateVms>,
) -> ApiResult<impl IntoResponse> {
    Ok((StatusCode::CREATED, Json(app::vms::create_vms(&app, &caller, &key, &request).await?)))
}

/// Read a virtual machine.
#[utoipa::path(get, path = "/sim/vms/{id}", tag = "vms", params(("id" = CiId, Path, description = "VM")),
    responses((status = 200, body = Vm), (status = "4XX", body = Problem)))]
pub async fn get_vm(State(app): State<App>, _: Viewer, Path(id): Path<CiId>) -> ApiResult<Json<Vm>> {
    app::vms::get_vm(&app, &id).await.map(Json)
}

/// Delete a virtual machine with its snapshots and faults.
#[utoipa::path(delete, path = "/sim/vms/{id}", tag = "vms", params(("id" = CiId, Path, description = "VM")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_vm(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
) -> ApiResult<StatusCode> {
    app::vms::delete_vm(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Power a virtual machine on or off, or reset it, without notice to the guest.
#[utoipa::path(post, path = "/sim/vms/{id}/power", tag = "vms", request_body = SetPower,
    params(("id" = CiId, Path, description = "VM")),
    responses((status = 200, body = Vm), (status = "4XX", body = Problem)))]
pub async fn set_power(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<CiId>,
    Json(request): Json<SetPower>,
) -> ApiResult<Json<Vm>> {
    app::vms::set_power(&app, &caller, &key, &id, request.action).await.map(Json)
}
