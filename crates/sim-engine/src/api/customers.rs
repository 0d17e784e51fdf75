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
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, Json, Operator, Path, Query, Viewer, problem_types};
use uuid::Uuid;

use super::{PageParams, located};
use crate::{app, customer::HealthAnswer, state::App};

/// Longer than any client should wait for a health check.
const HANG: Duration = Duration::from_secs(60);

/// List customers, ordered by id.
#[utoipa::path(get, path = "/sim/customers", tag = "customers", params(PageParams),
    responses((status = 200, body = Page<SimCustomer>), (status = "4XX", body = Problem)))]
pub async fn list_customers(
    State(app): State<App>,
    _: Viewer,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<SimCustomer>>> {
    app::customers::list_customers(&app, &page.into()).await.map(Json)
}

/// Create a customer, or reset it to this request.
#[utoipa::path(put, path = "/sim/customers/{id}", tag = "customers", request_body = PutSimCustomer,
    params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = SimCustomer), (status = "4XX", body = Problem)))]
pub async fn put_customer(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<PutSimCustomer>,
) -> ApiResult<Json<SimCustomer>> {
    app::customers::put_customer(&app, &caller, id, &request).await.map(Json)
}

/// Read a customer, its faults and its deployments.
#[utoipa::path(get, path = "/sim/customers/{id}", tag = "customers", params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = SimCustomer), (status = "4XX", body = Problem)))]
pub async fn get_customer(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
) -> ApiResult<Json<SimCustomer>> {
    app::customers::get_customer(&app, id).await.map(Json)
}

/// Delete a customer.
#[utoipa::path(delete, path = "/sim/customers/{id}", tag = "customers", params(("id" = String, Path, description = "customer")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_customer(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
) -> ApiResult<StatusCode> {
    app::customers::delete_customer(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace the faults of a customer.
#[utoipa::path(put, path = "/sim/customers/{id}/faults", tag = "customers", request_body = PutCustomerFaults,
    params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = SimCustomer), (status = "4XX", body = Problem)))]
pub async fn put_customer_faults(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<PutCustomerFaults>,
) -> ApiResult<Json<SimCustomer>> {
    app::customers::put_customer_faults(&app, &caller, id, request).await.map(Json)
}

/// Start a deployment. The same `deployment_id` returns the deployment that exists.
#[utoipa::path(post, path = "/sim/customers/{id}/deployments", tag = "customers", request_body = StartSimDeployment,
    params(("id" = String, Path, description = "customer")),
    responses((status = 202, body = SimDeployment), (status = "4XX", body = Problem)))]
pub async fn start_deployment(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Json(request): Json<StartSimDeployment>,
) -> ApiResult<impl IntoResponse> {
    let deployment = app::customers::start_deployment(&app, &caller, &id, &request).await?;
    let location = format!("/sim/customers/{id}/deployments/{}", deployment.deployment_id);
    Ok(located(StatusCode::ACCEPTED, location, deployment))
}

/// Read the progress of a deployment.
#[utoipa::path(get, path = "/sim/customers/{id}/deployments/{deployment_id}", tag = "customers",
    params(("id" = String, Path, description = "customer"), ("deployment_id" = Uuid, Path, description = "deployment")),
    responses((status = 200, body = SimDeployment), (status = "4XX", body = Problem)))]
pub async fn get_deployment(
    State(app): State<App>,
    _: Viewer,
    Path((id, deployment_id)): Path<(CiId, Uuid)>,
) -> ApiResult<Json<SimDeployment>> {
    app::customers::get_deployment(&app, &id, deployment_id).await.map(Json)
}

/// Check the health of a customer. Its faults show here: 503, no answer for a minute, or an answer that is not JSON.
#[utoipa::path(get, path = "/sim/customers/{id}/health", tag = "customers", params(("id" = String, Path, description = "customer")),
    responses((status = 200, body = CustomerHealth), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn get_customer_health(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
) -> ApiResult<Response> {
    match app::customers::check_health(&app, &id).await? {
        HealthAnswer::Health(health) => Ok(Json(health).into_response()),
        HealthAnswer::Failing => {
            Err(ApiError::new(problem_types::CUSTOMER_UNHEALTHY, "the application fails its own checks"))
        }
        HealthAnswer::Garbage => Ok("<html><body>It works!</body></html>".into_response()),
        HealthAnswer::Hang => {
            tokio::time::sleep(HANG).await;
            Err(ApiError::new(problem_types::CUSTOMER_UNHEALTHY, "the application did not answer"))
        }
    }
}
