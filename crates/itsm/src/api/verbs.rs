//! `/itsm/changes/{id}/<verb>`: what moves a change from state to state.

use api_types::{
    itsm::{
        Change, CloseChange, Decide, DecideByLink, ExecuteChange, LinkedChange, ReadByLink, ReviewChange,
    },
    problem::Problem,
};
use axum::extract::State;
use domain::ids::ChangeId;
use service_kit::{ApiResult, Approver, IdempotencyKey, IfMatch, Json, Operator, Path, extract::Tagged};

use crate::app::{
    App,
    changes::{self, Preconditions},
};

/// Hand a draft in: to its approvers, who are asked by e-mail, or to its template, which approves at once.
#[utoipa::path(post, path = "/itsm/changes/{id}/submit", tag = "changes",
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn submit_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
) -> ApiResult<Tagged<Change>> {
    let change = changes::submit_change(&app, &caller, &id, &Preconditions { if_match, key }).await?;
    Ok(Tagged(change.version, change))
}

/// Approve a change that waits. Not for who asked for it, sent it or edited it. The same approver's second approval
/// changes nothing and answers the change as it is.
#[utoipa::path(post, path = "/itsm/changes/{id}/approve", tag = "changes", request_body = Decide,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn approve_change(
    State(app): State<App>,
    caller: Approver,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<Decide>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::approve_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Reject a change that waits, or withdraw the approval of one whose work has not begun.
#[utoipa::path(post, path = "/itsm/changes/{id}/reject", tag = "changes", request_body = Decide,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn reject_change(
    State(app): State<App>,
    caller: Approver,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<Decide>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::reject_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Begin the work. Refused with 409 `approval-void` for another plan than the approved one, and with 409 `outside-window`
/// outside the span.
#[utoipa::path(post, path = "/itsm/changes/{id}/execute", tag = "changes", request_body = ExecuteChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn execute_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<ExecuteChange>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::execute_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Close a change whose work succeeded, with notes and evidence.
#[utoipa::path(post, path = "/itsm/changes/{id}/complete", tag = "changes", request_body = CloseChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn complete_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<CloseChange>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::complete_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Close a change whose work failed, with notes and evidence.
#[utoipa::path(post, path = "/itsm/changes/{id}/fail", tag = "changes", request_body = CloseChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn fail_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<CloseChange>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::fail_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Give up a change whose work has not begun.
#[utoipa::path(post, path = "/itsm/changes/{id}/cancel", tag = "changes", request_body = CloseChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn cancel_change(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<CloseChange>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::cancel_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Record the review of an emergency change after its end. Not for who asked for it, sent, edited or approved it.
#[utoipa::path(post, path = "/itsm/changes/{id}/review", tag = "changes", request_body = ReviewChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn review_change(
    State(app): State<App>,
    caller: Approver,
    Path(id): Path<ChangeId>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<ReviewChange>,
) -> ApiResult<Tagged<Change>> {
    let preconditions = Preconditions { if_match, key };
    let change = changes::review_change(&app, &caller, &id, &request, &preconditions).await?;
    Ok(Tagged(change.version, change))
}

/// Read a change by the link of an approval request, without a token of the platform's.
#[utoipa::path(post, path = "/approve/{id}/read", tag = "changes", request_body = ReadByLink,
    params(("id" = String, Path, description = "change")),
    responses((status = 200, body = LinkedChange), (status = "4XX", body = Problem)))]
pub async fn read_by_link(
    State(app): State<App>,
    Path(id): Path<ChangeId>,
    Json(request): Json<ReadByLink>,
) -> ApiResult<Json<LinkedChange>> {
    changes::read_by_link(&app, &id, &request.token).await.map(Json)
}

/// Approve or reject by the link of an approval request, once. 409 `link-used`, `link-void` or `link-expired` when it
/// decides no more.
#[utoipa::path(post, path = "/approve/{id}/decide", tag = "changes", request_body = DecideByLink,
    params(("id" = String, Path, description = "change")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn decide_by_link(
    State(app): State<App>,
    Path(id): Path<ChangeId>,
    Json(request): Json<DecideByLink>,
) -> ApiResult<Json<Change>> {
    changes::decide_by_link(&app, &id, &request).await.map(Json)
}
