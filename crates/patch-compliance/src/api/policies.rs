//! `/patch/policies`.

use api_types::{
    page::Page,
    patch::{ApprovePolicy, PolicyVersion, StoredPolicy},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use domain::{ids::PolicyId, policy::Policy};
use serde_json::{Map, Value};
use service_kit::{
    ApiResult, Approver, IdempotencyKey, IfMatch, Json, Operator, Path, Viewer,
    extract::{Created, Tagged},
    page::PageRequest,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::{policies, policy_history},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_policies, create_policy))
        .routes(routes!(get_policy, update_policy, delete_policy))
        .routes(routes!(approve_policy))
        .routes(routes!(list_policy_versions))
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
) -> ApiResult<Created<Tagged<StoredPolicy>>> {
    let stored = policies::create_policy(&app, &caller, &key, policy).await?;
    Ok(Created(format!("/patch/policies/{}", stored.policy.id), Tagged::of(stored)))
}

/// List policies in the order of their ids.
#[utoipa::path(get, path = "/patch/policies", tag = "policies", params(PageRequest),
    responses((status = 200, body = Page<StoredPolicy>), (status = "4XX", body = Problem)))]
async fn list_policies(
    State(app): State<App>,
    caller: Viewer,
    page: PageRequest,
) -> ApiResult<Json<Page<StoredPolicy>>> {
    let mut page = policies::list_policies(&app, &page).await?;
    if caller.only_reads() {
        page.items.iter_mut().for_each(|stored| stored.policy.hide_secrets());
    }
    Ok(Json(page))
}

/// Read a policy. Send its ETag as `If-Match` to change it.
#[utoipa::path(get, path = "/patch/policies/{id}", tag = "policies", params(("id" = String, Path, description = "policy")),
    responses((status = 200, body = StoredPolicy), (status = "4XX", body = Problem)))]
async fn get_policy(
    State(app): State<App>,
    caller: Viewer,
    Path(id): Path<PolicyId>,
) -> ApiResult<Tagged<StoredPolicy>> {
    let mut stored = policies::get_policy(&app, &id).await?;
    if caller.only_reads() {
        stored.policy.hide_secrets();
    }
    Ok(Tagged::of(stored))
}

/// Change a policy: given fields replace the stored ones, `null` resets a field to its default.
#[utoipa::path(patch, path = "/patch/policies/{id}", tag = "policies",
    params(("id" = String, Path, description = "policy"),
        ("If-Match" = Option<String>, Header, description = "ETag of the version that was read; 412 if it has changed since")),
    request_body(content = Object, description = "Fields of a policy", content_type = "application/json"),
    responses((status = 200, body = StoredPolicy), (status = "4XX", body = Problem)))]
async fn update_policy(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(id): Path<PolicyId>,
    Json(changes): Json<Map<String, Value>>,
) -> ApiResult<Tagged<StoredPolicy>> {
    policies::update_policy(&app, &caller, &id, &if_match, changes).await.map(Tagged::of)
}

/// Approve a version of a policy, so that its template approves its runs. An editor of the policy may not. The next change of
/// the policy needs another approval.
#[utoipa::path(post, path = "/patch/policies/{id}/approve", tag = "policies", request_body = ApprovePolicy,
    params(("id" = String, Path, description = "policy")),
    responses((status = 200, body = StoredPolicy), (status = "4XX", body = Problem)))]
async fn approve_policy(
    State(app): State<App>,
    caller: Approver,
    Path(id): Path<PolicyId>,
    Json(request): Json<ApprovePolicy>,
) -> ApiResult<Tagged<StoredPolicy>> {
    policies::approve_policy(&app, &caller, &id, &request).await.map(Tagged::of)
}

/// List the versions of a policy, newest first, each with who made or approved it and the fields that it changed.
#[utoipa::path(get, path = "/patch/policies/{id}/versions", tag = "policies",
    params(("id" = String, Path, description = "policy"), PageRequest),
    responses((status = 200, body = Page<PolicyVersion>), (status = "4XX", body = Problem)))]
async fn list_policy_versions(
    State(app): State<App>,
    caller: Viewer,
    Path(id): Path<PolicyId>,
    page: PageRequest,
) -> ApiResult<Json<Page<PolicyVersion>>> {
    policy_history::list_policy_versions(&app, &id, caller.only_reads(), &page).await.map(Json)
}

/// Delete a policy and its results; refused while a run of it has not ended.
#[utoipa::path(delete, path = "/patch/policies/{id}", tag = "policies",
    params(("id" = String, Path, description = "policy"),
        ("If-Match" = Option<String>, Header, description = "ETag of the version that was read; 412 if it has changed since")),
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
