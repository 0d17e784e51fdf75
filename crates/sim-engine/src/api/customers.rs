use std::time::Duration;

use api_types::{
    page::Page,
    problem::Problem,
    sim_customers::{
        CustomerHealth, PutCustomerFaults, PutSimCustomer, SimCustomer, SimDeployment, StartSimDeployment,
    },
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Operator, Path, Query, Viewer, problem_types};
use uuid::Uuid;

use super::params::PageParams;
use crate::{app, customer::Seen, service::SimState};

/// Longer than anybody should wait for an answer about health.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
pub struct DeploymentPath {
    id: CiId,
    deployment_id: Uuid,
}

/// List customers in the order of their ids.
#[utoipa::path(get, path = "/sim/customers", tag = "customers", params(PageParams),
    responses((status = 200, body = Page<SimCustomer>), (status = "4XX", body = Problem)))]
pub async fn list_customers(
    State(state): State<SimState>,
    _: Viewer,
    Query(params): Query<PageParams>,
) -> ApiResult<Json<Page<SimCustomer>>> {
    app::customers::list_customers(&state, &params.into()).await.map(Json)
}

/// Create a customer, or set it back to what is given here.
#[utoipa::path(put, path = "/sim/customers/{id}", tag = "customers", request_body = PutSimCustomer,
    params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = SimCustomer), (status = "4XX", body = Problem)))]
pub async fn put_customer(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<PutSimCustomer>,
) -> ApiResult<Json<SimCustomer>> {
    app::customers::put_customer(&state, &caller, id, &request).await.map(Json)
}

/// Read a customer, its faults and its deployments.
#[utoipa::path(get, path = "/sim/customers/{id}", tag = "customers", params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = SimCustomer), (status = "4XX", body = Problem)))]
pub async fn get_customer(
    State(state): State<SimState>,
    _: Viewer,
    Path(id): Path<CiId>,
) -> ApiResult<Json<SimCustomer>> {
    app::customers::get_customer(&state, id).await.map(Json)
}

/// Delete a customer.
#[utoipa::path(delete, path = "/sim/customers/{id}", tag = "customers", params(("id" = String, Path, description = "customer")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_customer(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<CiId>,
) -> ApiResult<StatusCode> {
    app::customers::delete_customer(&state, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say what is wrong with a customer: these faults, and no others any more.
#[utoipa::path(put, path = "/sim/customers/{id}/faults", tag = "customers", request_body = PutCustomerFaults,
    params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = SimCustomer), (status = "4XX", body = Problem)))]
pub async fn put_customer_faults(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<PutCustomerFaults>,
) -> ApiResult<Json<SimCustomer>> {
    app::customers::put_customer_faults(&state, &caller, id, request).await.map(Json)
}

/// Begin a deployment; the same `deployment_id` begins nothing new.
#[utoipa::path(post, path = "/sim/customers/{id}/deployments", tag = "customers", request_body = StartSimDeployment,
    params(("id" = String, Path, description = "customer")),
    responses((status = 202, body = SimDeployment), (status = "4XX", body = Problem)))]
pub async fn start_deployment(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<StartSimDeployment>,
) -> ApiResult<impl IntoResponse> {
    let deployment = app::customers::start_deployment(&state, &caller, &id, &request).await?;
    let location = format!("/sim/customers/{id}/deployments/{}", deployment.deployment_id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(deployment)))
}

/// Read how far a deployment has come.
#[utoipa::path(get, path = "/sim/customers/{id}/deployments/{deployment_id}", tag = "customers",
    params(("id" = String, Path, description = "customer"), ("deployment_id" = Uuid, Path, description = "deployment")),
    responses((status = 200, body = SimDeployment), (status = "4XX", body = Problem)))]
pub async fn get_deployment(
    State(state): State<SimState>,
    _: Viewer,
    Path(path): Path<DeploymentPath>,
) -> ApiResult<Json<SimDeployment>> {
    app::customers::get_deployment(&state, &path.id, path.deployment_id).await.map(Json)
}

/// Ask a customer how it is. Its faults show here: 503, no answer for a minute, or something that is no answer.
#[utoipa::path(get, path = "/sim/customers/{id}/health", tag = "customers", params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = CustomerHealth), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn get_customer_health(
    State(state): State<SimState>,
    _: Viewer,
    Path(id): Path<CiId>,
) -> ApiResult<Response> {
    match app::customers::look(&state, &id).await? {
        Seen::Health(health) => Ok(Json(health).into_response()),
        Seen::Failing => Err(ApiError::new(
            problem_types::CUSTOMER_UNHEALTHY,
            "the application does not answer its own checks",
        )),
        Seen::Garbage => Ok("<html><body>It works!</body></html>".into_response()),
        Seen::Silence => {
            tokio::time::sleep(SILENCE).await;
            Err(ApiError::new(problem_types::CUSTOMER_UNHEALTHY, "the application did not answer"))
        }
    }
}
