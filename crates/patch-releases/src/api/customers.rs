//! `/patch/customers` and the configuration that goes with releases.

use api_types::{
    page::Page,
    patch::{
        ApplyConfig, ConfigDiff, CustomerDeployment, CustomerHealthDetail, IssueReport, ReportIssue,
        StoredCustomer, StoredReleasePolicies,
    },
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::{
    ids::CiId,
    release::{Customer, Tier},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::Tagged,
    page::{PageRequest, page},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    app::{customers, views},
    store,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_customers, create_customer))
        .routes(routes!(get_customer, update_customer, delete_customer))
        .routes(routes!(get_customer_health))
        .routes(routes!(report_issue))
        .routes(routes!(list_deployments))
        .routes(routes!(get_release_policies))
        .routes(routes!(apply_release_config))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Only customers of this tier.
    #[param(inline)]
    tier: Option<Tier>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List customers in the order of their slugs.
#[utoipa::path(get, path = "/patch/customers", tag = "customers", params(ListParams),
    responses((status = 200, body = Page<StoredCustomer>), (status = "4XX", body = Problem)))]
async fn list_customers(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<StoredCustomer>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let found = customers::list_customers(&app, params.tier, after.as_deref(), limit + 1).await?;
    Ok(Json(page(found, limit, |stored: &StoredCustomer| stored.customer.slug.to_string())))
}

/// Create a customer.
#[utoipa::path(post, path = "/patch/customers", tag = "customers", request_body = Customer,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body create one customer")),
    responses((status = 201, body = StoredCustomer), (status = "4XX", body = Problem)))]
async fn create_customer(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(customer): Json<Customer>,
) -> ApiResult<impl IntoResponse> {
    let stored = customers::create_customer(&app, &caller, &key, customer).await?;
    let location = format!("/patch/customers/{}", stored.customer.slug);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Tagged(stored.revision, stored)))
}

/// Read a customer; its ETag goes into `If-Match` of a change.
#[utoipa::path(get, path = "/patch/customers/{slug}", tag = "customers", params(("slug" = String, Path, description = "customer")),
    responses((status = 200, body = StoredCustomer), (status = "4XX", body = Problem)))]
async fn get_customer(
    State(app): State<App>,
    _: Viewer,
    Path(slug): Path<CiId>,
) -> ApiResult<Tagged<StoredCustomer>> {
    let stored = customers::get_customer(&app, &slug).await?;
    Ok(Tagged(stored.revision, stored))
}

/// Change a customer: fields that are named replace the stored ones whole, `null` takes one away. Pin it with `pinned_to`,
/// pause it with `paused`.
#[utoipa::path(patch, path = "/patch/customers/{slug}", tag = "customers",
    params(("slug" = String, Path, description = "customer"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    request_body(content = Object, description = "Fields of a customer", content_type = "application/json"),
    responses((status = 200, body = StoredCustomer), (status = "4XX", body = Problem)))]
async fn update_customer(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(slug): Path<CiId>,
    Json(changes): Json<Map<String, Value>>,
) -> ApiResult<Tagged<StoredCustomer>> {
    let stored = customers::update_customer(&app, &caller, &slug, &if_match, changes).await?;
    Ok(Tagged(stored.revision, stored))
}

/// Delete a customer; refused while a rollout has it in hand.
#[utoipa::path(delete, path = "/patch/customers/{slug}", tag = "customers",
    params(("slug" = String, Path, description = "customer"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn delete_customer(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(slug): Path<CiId>,
) -> ApiResult<StatusCode> {
    customers::delete_customer(&app, &caller, &slug, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Look at a customer's health now, and at what the watch saw.
#[utoipa::path(get, path = "/patch/customers/{slug}/health", tag = "customers", params(("slug" = String, Path, description = "customer")),
    responses((status = 200, body = CustomerHealthDetail), (status = "4XX", body = Problem)))]
async fn get_customer_health(
    State(app): State<App>,
    _: Viewer,
    Path(slug): Path<CiId>,
) -> ApiResult<Json<CustomerHealthDetail>> {
    views::get_health(&app, &slug).await.map(Json)
}

/// Report an issue of a customer; a critical one takes back what was deployed there, as its release's type says.
#[utoipa::path(post, path = "/patch/customers/{slug}/reports", tag = "customers", request_body = ReportIssue,
    params(("slug" = String, Path, description = "customer")),
    responses((status = 201, body = IssueReport), (status = "4XX", body = Problem)))]
async fn report_issue(
    State(app): State<App>,
    caller: Operator,
    Path(slug): Path<CiId>,
    Json(request): Json<ReportIssue>,
) -> ApiResult<impl IntoResponse> {
    let report = views::report_issue(&app, &caller, &slug, &request).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DeploymentParams {
    /// Only of this customer.
    #[param(value_type = Option<String>)]
    customer: Option<CiId>,
    /// Only of this release.
    #[param(value_type = Option<String>)]
    version: Option<domain::release::Version>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List deployments to customers, newest first.
#[utoipa::path(get, path = "/patch/deployments", tag = "releases", params(DeploymentParams),
    responses((status = 200, body = Page<CustomerDeployment>), (status = "4XX", body = Problem)))]
async fn list_deployments(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<DeploymentParams>,
) -> ApiResult<Json<Page<CustomerDeployment>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, before) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let (customer, version) = (params.customer.as_ref(), params.version);
    let found = store::deployments::list_deployments(&mut conn, customer, version, before, limit + 1).await?;
    Ok(Json(page(found, limit, |deployment: &CustomerDeployment| deployment.id)))
}

/// Read the table of delays, approvals, notices and rollback windows.
#[utoipa::path(get, path = "/patch/release-policies", tag = "releases",
    responses((status = 200, body = StoredReleasePolicies), (status = "4XX", body = Problem)))]
async fn get_release_policies(State(app): State<App>, _: Viewer) -> ApiResult<Json<StoredReleasePolicies>> {
    customers::get_policies(&app).await.map(Json)
}

/// Apply customers and release policies as they are kept in files: all of it or nothing; `dry_run` only tells the
/// difference.
#[utoipa::path(post, path = "/patch/release-config/apply", tag = "releases", request_body = ApplyConfig,
    responses((status = 200, body = ConfigDiff), (status = "4XX", body = Problem)))]
async fn apply_release_config(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<ApplyConfig>,
) -> ApiResult<Json<ConfigDiff>> {
    customers::apply_config(&app, &caller, &request).await.map(Json)
}
