//! `/patch/exceptions`.

use api_types::{
    page::Page,
    patch::{CreateException, Exception},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer,
    page::{PageRequest, page},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{App, app::exceptions, store};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_exceptions, create_exception))
        .routes(routes!(get_exception, delete_exception))
}

/// Except a fix until a day, at most a year ahead. The service-level clock runs on under it.
#[utoipa::path(post, path = "/patch/exceptions", tag = "exceptions", request_body = CreateException,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body make one exception")),
    responses((status = 201, body = Exception), (status = "4XX", body = Problem)))]
async fn create_exception(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateException>,
) -> ApiResult<impl IntoResponse> {
    let exception = exceptions::create_exception(&app, &caller, &key, request).await?;
    let location = format!("/patch/exceptions/{}", exception.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(exception)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Only those made for this CI alone.
    ci_id: Option<CiId>,
    /// `true`: only those in force; `false`: only those that have ended.
    active: Option<bool>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List exceptions, newest first; ended ones stay as history.
#[utoipa::path(get, path = "/patch/exceptions", tag = "exceptions", params(ListParams),
    responses((status = 200, body = Page<Exception>), (status = "4XX", body = Problem)))]
async fn list_exceptions(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<Exception>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let ci_id = params.ci_id.as_ref().map(CiId::as_str);
    let mut conn = app.pool.acquire().await?;
    let now = app.clock.now();
    let found =
        store::exceptions::list_exceptions(&mut conn, ci_id, params.active, now, after, limit + 1).await?;
    Ok(Json(page(found, limit, |exception: &Exception| exception.id)))
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

/// Take an exception back: what it excepted is missing again at once.
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
