//! `/itsm/changes`: opened, listed, read, edited.

use api_types::{
    itsm::{Change, Conflicts, CreateChange, Template, UpdateChange},
    page::Page,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{
    change::{ChangeKind, ChangeState},
    ids::{ChangeId, CiId},
};
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer, extract::Tagged,
    page::PageRequest,
};
use utoipa::IntoParams;

use super::created;
use crate::{
    app::{App, changes, templates},
    store::changes::ChangeFilter,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ChangeParams {
    /// Only changes in this state.
    state: Option<ChangeState>,
    /// Only changes of this kind.
    kind: Option<ChangeKind>,
    /// Only changes of this CI.
    #[param(value_type = Option<String>)]
    ci: Option<CiId>,
    /// Only changes this subject asked for.
    requested_by: Option<String>,
    /// Only changes for this plan.
    plan_hash: Option<String>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List changes, newest first.
#[utoipa::path(get, path = "/itsm/changes", tag = "changes", params(ChangeParams),
    responses((status = 200, body = Page<Change>), (status = "4XX", body = Problem)))]
pub async fn list_changes(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ChangeParams>,
) -> ApiResult<Json<Page<Change>>> {
    let ChangeParams { state, kind, ci, requested_by, plan_hash, limit, page_token } = params;
    let filter = ChangeFilter { state, kind, ci, requested_by, plan_hash };
    changes::list_changes(&app, filter, PageRequest::new(limit, page_token)).await.map(Json)
}

/// Open a change as a draft. `requested_by` is for services alone.
#[utoipa::path(post, path = "/itsm/changes", tag = "changes", request_body = CreateChange,
    responses((status = 201, body = Change), (status = "4XX", body = Problem)))]
pub async fn create_change(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateChange>,
) -> ApiResult<Response> {
    let change = changes::create_change(&app, &caller, &key, request).await?;
    Ok(created(format!("/itsm/changes/{}", change.id), change.version, change))
}

/// Read a change with its approvals.
#[utoipa::path(get, path = "/itsm/changes/{id}", tag = "changes", params(("id" = String, Path, description = "change")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn get_change(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<ChangeId>,
) -> ApiResult<Tagged<Change>> {
    let change = changes::get_change(&app, &id).await?;
    Ok(Tagged(change.version, change))
}

/// Edit a change whose work has not begun. An edit of anything but `assignment_group` voids its approvals: the change
/// waits for approval again, a standard change goes back to `draft`.
#[utoipa::path(patch, path = "/itsm/changes/{id}", tag = "changes", request_body = UpdateChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn update_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    Json(request): Json<UpdateChange>,
) -> ApiResult<Tagged<Change>> {
    let change = changes::update_change(&app, &caller, &id, &if_match, request).await?;
    Ok(Tagged(change.version, change))
}

/// List what stands against a change: every other change that is not over, shares a CI with it and overlaps its span, and
/// every freeze that falls on them; not paged.
#[utoipa::path(get, path = "/itsm/changes/{id}/conflicts", tag = "changes",
    params(("id" = String, Path, description = "change")),
    responses((status = 200, body = Conflicts), (status = "4XX", body = Problem)))]
pub async fn list_conflicts(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<ChangeId>,
) -> ApiResult<Json<Conflicts>> {
    changes::list_conflicts(&app, &id).await.map(Json)
}

/// List the templates that approve standard changes.
#[utoipa::path(get, path = "/itsm/templates", tag = "changes",
    responses((status = 200, body = Vec<Template>), (status = "4XX", body = Problem)))]
pub async fn list_templates(_: Viewer) -> Json<Vec<Template>> {
    Json(templates::list_templates())
}
