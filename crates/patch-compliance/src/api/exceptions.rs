//! `/patch/exceptions`.

use api_types::{
    access::Proposal,
    page::Page,
    patch::{CreateException, Exception},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode, response::Response};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, extract::Created, page::PageRequest,
    second_person::respond,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{App, app::exceptions};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_exceptions, create_exception))
        .routes(routes!(get_exception, delete_exception))
}

/// Except a fix until a date, at most a year ahead. The SLA clock keeps running. 202 with a proposal for an exception without a
/// CI: a second person must confirm it.
#[utoipa::path(post, path = "/patch/exceptions", tag = "exceptions", request_body = CreateException,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body make one exception")),
    responses((status = 201, body = Exception), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
async fn create_exception(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateException>,
) -> ApiResult<Response> {
    let outcome = exceptions::create_exception(&app, &caller, &key, request).await?;
    Ok(respond(outcome, |exception| Created(format!("/patch/exceptions/{}", exception.id), Json(exception))))
}

#[derive(Debug, Deserialize, IntoParams)]
struct ListParams {
    /// Only those for this CI.
    ci_id: Option<CiId>,
    /// `true`: only those in force; `false`: only those that have ended.
    active: Option<bool>,
}

/// List exceptions, newest first, including ended ones.
#[utoipa::path(get, path = "/patch/exceptions", tag = "exceptions", params(ListParams, PageRequest),
    responses((status = 200, body = Page<Exception>), (status = "4XX", body = Problem)))]
async fn list_exceptions(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<Exception>>> {
    exceptions::list_exceptions(&app, params.ci_id.as_ref(), params.active, &page).await.map(Json)
}

/// Read an exception.
#[utoipa::path(get, path = "/patch/exceptions/{id}", tag = "exceptions", params(("id" = Uuid, Path, description = "exception")),
    responses((status = 200, body = Exception), (status = "4XX", body = Problem)))]
async fn get_exception(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<Exception>> {
    exceptions::get_exception(&app, id).await.map(Json)
}

/// End an exception: the fix is required again at once.
#[utoipa::path(delete, path = "/patch/exceptions/{id}", tag = "exceptions", params(("id" = Uuid, Path, description = "exception")),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn delete_exception(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    exceptions::delete_exception(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
