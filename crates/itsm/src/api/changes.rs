//! `/itsm/changes`: opened, listed, read, edited.

use api_types::{
    itsm::{Change, Conflicts, CreateChange, PutTemplate, Template, UpdateChange},
    page::Page,
    problem::Problem,
};
use axum::extract::State;
use domain::ids::ChangeId;
use service_kit::{
    Admin, ApiResult, Approver, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::{Created, Tagged},
    page::PageRequest,
};

use crate::{
    app::{changes, templates},
    state::App,
    store::changes::ChangeFilter,
};

/// List changes, newest first.
#[utoipa::path(get, path = "/itsm/changes", tag = "changes", params(ChangeFilter, PageRequest),
    responses((status = 200, body = Page<Change>), (status = "4XX", body = Problem)))]
pub async fn list_changes(
    State(app): State<App>,
    _: Viewer,
    Query(filter): Query<ChangeFilter>,
    page: PageRequest,
) -> ApiResult<Json<Page<Change>>> {
    changes::list_changes(&app, filter, page).await.map(Json)
}

/// Open a change as a draft. `requested_by` is only for services.
#[utoipa::path(post, path = "/itsm/changes", tag = "changes", request_body = CreateChange,
    responses((status = 201, body = Change), (status = "4XX", body = Problem)))]
pub async fn create_change(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateChange>,
) -> ApiResult<Created<Tagged<Change>>> {
    let change = changes::create_change(&app, &caller, &key, request).await?;
    Ok(Created(format!("/itsm/changes/{}", change.id), Tagged::of(change)))
}

/// Read a change with its approvals.
#[utoipa::path(get, path = "/itsm/changes/{id}", tag = "changes", params(("id" = String, Path, description = "change")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn get_change(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<ChangeId>,
) -> ApiResult<Tagged<Change>> {
    changes::get_change(&app, &id).await.map(Tagged::of)
}

/// Edit a change whose work has not begun. An edit of anything but `assignment_group` voids its approvals: the change
/// waits for approval again, a standard change goes back to `draft`.
#[utoipa::path(patch, path = "/itsm/changes/{id}", tag = "changes", request_body = UpdateChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn update_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    Json(request): Json<UpdateChange>,
) -> ApiResult<Tagged<Change>> {
    changes::update_change(&app, &caller, &id, &if_match, request).await.map(Tagged::of)
}

/// List the conflicts of a change: every other change that is not over, shares a CI with it and overlaps its span, and
/// every freeze that overlaps it; not paged.
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

/// List the templates that approve standard changes, in the order of their names.
#[utoipa::path(get, path = "/itsm/templates", tag = "changes",
    responses((status = 200, body = Vec<Template>), (status = "4XX", body = Problem)))]
pub async fn list_templates(State(app): State<App>, _: Viewer) -> ApiResult<Json<Vec<Template>>> {
    templates::list_templates(&app).await.map(Json)
}

/// Write a template. It approves nothing until an approver who did not write it approves it.
#[utoipa::path(put, path = "/itsm/templates/{name}", tag = "changes", request_body = PutTemplate,
    params(("name" = String, Path, description = "template")),
    responses((status = 200, body = Template), (status = "4XX", body = Problem)))]
pub async fn put_template(
    State(app): State<App>,
    caller: Admin,
    Path(name): Path<String>,
    Json(request): Json<PutTemplate>,
) -> ApiResult<Json<Template>> {
    templates::put_template(&app, &caller, &name, &request).await.map(Json)
}

/// Approve a template that somebody else wrote.
#[utoipa::path(post, path = "/itsm/templates/{name}/approve", tag = "changes",
    params(("name" = String, Path, description = "template")),
    responses((status = 200, body = Template), (status = "4XX", body = Problem)))]
pub async fn approve_template(
    State(app): State<App>,
    caller: Approver,
    Path(name): Path<String>,
) -> ApiResult<Json<Template>> {
    templates::approve_template(&app, &caller, &name).await.map(Json)
}
