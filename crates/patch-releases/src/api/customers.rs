//! `/patch/customers` and the configuration that goes with releases.

use api_types::{
    access::Proposal,
    page::Page,
    patch::{
        ApplyConfig, ConfigDiff, CustomerHealthDetail, CustomerRating, IssueReport, RateRelease, ReportIssue,
        StoredCustomer, StoredReleasePolicies,
    },
    problem::Problem,
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{
    ids::CiId,
    release::{Customer, Tier, Version},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::{Created, Tagged},
    page::PageRequest,
    second_person::respond,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::{customer_health, customers, release_config},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_customers, create_customer))
        .routes(routes!(get_customer, update_customer, delete_customer))
        .routes(routes!(get_customer_health))
        .routes(routes!(report_issue))
        .routes(routes!(rate_release))
        .routes(routes!(get_release_policies))
        .routes(routes!(apply_release_config))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CustomerParams {
    /// Only customers of this tier.
    #[param(inline)]
    tier: Option<Tier>,
}

/// List customers in the order of their slugs.
#[utoipa::path(get, path = "/patch/customers", tag = "customers", params(CustomerParams, PageRequest),
    responses((status = 200, body = Page<StoredCustomer>), (status = "4XX", body = Problem)))]
async fn list_customers(
    State(app): State<App>,
    caller: Viewer,
    Query(params): Query<CustomerParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<StoredCustomer>>> {
    let mut page = customers::list_customers(&app, params.tier, &page).await?;
    if caller.only_reads() {
        page.items.iter_mut().for_each(|stored| stored.customer.hide_secrets());
    }
    Ok(Json(page))
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
    Ok(Created(location, Tagged::of(stored)))
}

/// Read a customer. Pass its ETag as `If-Match` to change it.
#[utoipa::path(get, path = "/patch/customers/{slug}", tag = "customers", params(("slug" = String, Path, description = "customer")),
    responses((status = 200, body = StoredCustomer), (status = "4XX", body = Problem)))]
async fn get_customer(
    State(app): State<App>,
    caller: Viewer,
    Path(slug): Path<CiId>,
) -> ApiResult<Tagged<StoredCustomer>> {
    let mut stored = customers::get_customer(&app, &slug).await?;
    if caller.only_reads() {
        stored.customer.hide_secrets();
    }
    Ok(Tagged::of(stored))
}

/// Change a customer: each given field replaces the stored one completely, and `null` removes it. Pin it with `pinned_to`,
/// pause it with `paused`. 202 with a proposal if it weakens a control of the customer: a second person must confirm it.
#[utoipa::path(patch, path = "/patch/customers/{slug}", tag = "customers",
    params(("slug" = String, Path, description = "customer"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 if the customer has changed since")),
    request_body(content = Object, description = "Fields of a customer", content_type = "application/json"),
    responses((status = 200, body = StoredCustomer), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
async fn update_customer(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(slug): Path<CiId>,
    Json(changes): Json<Map<String, Value>>,
) -> ApiResult<Response> {
    let updated = customers::update_customer(&app, &caller, &slug, &if_match, changes).await?;
    Ok(respond(updated, Tagged::of))
}

/// Delete a customer, when a second person confirms the proposal. Refused while a rollout has locked it.
#[utoipa::path(delete, path = "/patch/customers/{slug}", tag = "customers",
    params(("slug" = String, Path, description = "customer"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 if the customer has changed since")),
    responses((status = 202, body = Proposal), (status = 204), (status = "4XX", body = Problem)))]
async fn delete_customer(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(slug): Path<CiId>,
) -> ApiResult<Response> {
    let deleted = customers::delete_customer(&app, &caller, &slug, &if_match).await?;
    Ok(respond(deleted, |()| StatusCode::NO_CONTENT))
}

/// Check a customer's health now, and read the samples of the health watch.
#[utoipa::path(get, path = "/patch/customers/{slug}/health", tag = "customers", params(("slug" = String, Path, description = "customer")),
    responses((status = 200, body = CustomerHealthDetail), (status = "4XX", body = Problem)))]
async fn get_customer_health(
    State(app): State<App>,
    _: Viewer,
    Path(slug): Path<CiId>,
) -> ApiResult<Json<CustomerHealthDetail>> {
    customer_health::get_customer_health(&app, &slug).await.map(Json)
}

/// Report an issue of a customer. A critical one rolls back its last deployment, if the type of the release allows it.
#[utoipa::path(post, path = "/patch/customers/{slug}/reports", tag = "customers", request_body = ReportIssue,
    params(("slug" = String, Path, description = "customer")),
    responses((status = 201, body = IssueReport), (status = "4XX", body = Problem)))]
async fn report_issue(
    State(app): State<App>,
    caller: Operator,
    Path(slug): Path<CiId>,
    Json(request): Json<ReportIssue>,
) -> ApiResult<impl IntoResponse> {
    let report = customer_health::report_issue(&app, &caller, &slug, &request).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

#[derive(Debug, Deserialize)]
struct RatingPath {
    slug: CiId,
    version: Version,
}

/// Record how satisfied a customer is with a release that was deployed to it. A later rating replaces an earlier one.
#[utoipa::path(put, path = "/patch/customers/{slug}/ratings/{version}", tag = "customers", request_body = RateRelease,
    params(("slug" = String, Path, description = "customer"), ("version" = String, Path, description = "version")),
    responses((status = 200, body = CustomerRating), (status = "4XX", body = Problem)))]
async fn rate_release(
    State(app): State<App>,
    caller: Operator,
    Path(path): Path<RatingPath>,
    Json(request): Json<RateRelease>,
) -> ApiResult<Json<CustomerRating>> {
    customer_health::rate_release(&app, &caller, &path.slug, path.version, request).await.map(Json)
}

/// Read the table of delays, approvals, notices and rollback windows.
#[utoipa::path(get, path = "/patch/release-policies", tag = "releases",
    responses((status = 200, body = StoredReleasePolicies), (status = "4XX", body = Problem)))]
async fn get_release_policies(State(app): State<App>, _: Viewer) -> ApiResult<Json<StoredReleasePolicies>> {
    release_config::get_release_policies(&app).await.map(Json)
}

/// Merge customers and release policies from files into what is stored, all or nothing. A field that is not named keeps its value.
/// With `dry_run`, only return the difference. 202 with a proposal if any of it weakens a control: a second person must confirm it.
#[utoipa::path(post, path = "/patch/release-config/apply", tag = "releases", request_body = ApplyConfig,
    responses((status = 200, body = ConfigDiff), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
async fn apply_release_config(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<ApplyConfig>,
) -> ApiResult<Response> {
    let applied = release_config::apply_release_config(&app, &caller, &request).await?;
    Ok(respond(applied, Json))
}
