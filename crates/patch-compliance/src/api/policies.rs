//! `/patch/policies`.

use api_types::{
    page::Page,
    patch::{PolicyPreview, StoredPolicy},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::{ids::PolicyId, policy::Policy};
use serde::Deserialize;
use serde_json::{Map, Value};
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::Tagged,
    page::{PageRequest, page},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::policies, store};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_policies, create_policy))
        .routes(routes!(get_policy, update_policy, delete_policy))
        .routes(routes!(preview_policy))
}

/// Create a policy.
#[utoipa::path(post, path = "/patch/policies", tag = "policies", request_body = Policy,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body create one policy")),
    responses((status = 201, body = StoredPolicy), (status = "4XX", body = Problem)))]
async fn create_policy(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(policy): Json<Policy>,
) -> ApiResult<impl IntoResponse> {
    let stored = policies::create_policy(&app, &caller, &key, policy).await?;
    let location = format!("/patch/policies/{}", stored.policy.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Tagged(stored.version, stored)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List policies in the order of their ids.
#[utoipa::path(get, path = "/patch/policies", tag = "policies", params(ListParams),
    responses((status = 200, body = Page<StoredPolicy>), (status = "4XX", body = Problem)))]
async fn list_policies(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<StoredPolicy>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let found = store::policies::list_policies(&mut conn, after.as_deref(), limit + 1).await?;
    Ok(Json(page(found, limit, |stored: &StoredPolicy| stored.policy.id.to_string())))
}

/// Read a policy; its ETag goes into `If-Match` of a change.
#[utoipa::path(get, path = "/patch/policies/{id}", tag = "policies", params(("id" = String, Path, description = "policy")),
    responses((status = 200, body = StoredPolicy), (status = "4XX", body = Problem)))]
async fn get_policy(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<PolicyId>,
) -> ApiResult<Tagged<StoredPolicy>> {
    let mut conn = app.pool.acquire().await?;
    let stored = policies::get_policy(&mut conn, &id).await?;
    Ok(Tagged(stored.version, stored))
}

/// Change a policy: fields that are named replace the stored ones whole, `null` returns a field to its default.
#[utoipa::path(patch, path = "/patch/policies/{id}", tag = "policies",
    params(("id" = String, Path, description = "policy"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    request_body(content = Object, description = "Fields of a policy", content_type = "application/json"),
    responses((status = 200, body = StoredPolicy), (status = "4XX", body = Problem)))]
async fn update_policy(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(id): Path<PolicyId>,
    Json(changes): Json<Map<String, Value>>,
) -> ApiResult<Tagged<StoredPolicy>> {
    let stored = policies::update_policy(&app, &caller, &id, &if_match, changes).await?;
    Ok(Tagged(stored.version, stored))
}

/// Delete a policy and its results; refused while a run of it is open.
#[utoipa::path(delete, path = "/patch/policies/{id}", tag = "policies",
    params(("id" = String, Path, description = "policy"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn delete_policy(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(id): Path<PolicyId>,
) -> ApiResult<StatusCode> {
    policies::delete_policy(&app, &caller, &id, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a policy means now: targets, next occurrences, conflicts with others, and who takes precedence.
#[utoipa::path(get, path = "/patch/policies/{id}/preview", tag = "policies", params(("id" = String, Path, description = "policy")),
    responses((status = 200, body = PolicyPreview), (status = "4XX", body = Problem)))]
async fn preview_policy(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<PolicyId>,
) -> ApiResult<Json<PolicyPreview>> {
    policies::preview_policy(&app, &id).await.map(Json)
}
