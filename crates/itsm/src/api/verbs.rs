//! `/itsm/changes/{id}/<verb>`: what moves a change from state to state.

use std::{marker::PhantomData, ops::Deref};

use api_types::{
    access::Proposal,
    itsm::{
        Change, CloseChange, Decide, DecideByLink, ExecuteChange, LinkedChange, ReadByLink, ReviewChange,
    },
    problem::Problem,
};
use axum::{
    extract::{FromRequestParts, State},
    http::request::Parts,
    response::Response,
};
use domain::ids::ChangeId;
use service_kit::{
    ApiError, ApiResult, Approver, Caller, IdempotencyKey, IfMatch, Json, Operator, Path, extract::Tagged,
    second_person::respond,
};

use crate::{
    app::changes::{self, Call},
    state::App,
};

/// A call of a verb by a caller that has the role `R`.
pub struct CallBy<R>(Call, PhantomData<R>);

impl<R> FromRequestParts<App> for CallBy<R>
where
    R: FromRequestParts<App, Rejection = ApiError> + Deref<Target = Caller> + Send,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let caller = R::from_request_parts(parts, app).await?.deref().clone();
        let Path(id) = Path::from_request_parts(parts, app).await?;
        let if_match = IfMatch::from_request_parts(parts, app).await?;
        let key = IdempotencyKey::from_request_parts(parts, app).await?;
        Ok(Self(Call { app: app.clone(), caller, id, if_match, key }, PhantomData))
    }
}

/// Submit a draft to its approvers, who get an e-mail, or to its template, which approves at once.
#[utoipa::path(post, path = "/itsm/changes/{id}/submit", tag = "changes",
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn submit_change(CallBy(call, _): CallBy<Operator>) -> ApiResult<Tagged<Change>> {
    changes::submit_change(&call).await.map(Tagged::of)
}

/// Approve a change that waits. A caller that requested, opened or edited it may not. A second approval by the same
/// approver changes nothing and returns the change.
#[utoipa::path(post, path = "/itsm/changes/{id}/approve", tag = "changes", request_body = Decide,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn approve_change(
    CallBy(call, _): CallBy<Approver>,
    Json(request): Json<Decide>,
) -> ApiResult<Tagged<Change>> {
    changes::approve_change(&call, &request).await.map(Tagged::of)
}

/// Reject a change that waits, or withdraw the approval of one whose work has not begun.
#[utoipa::path(post, path = "/itsm/changes/{id}/reject", tag = "changes", request_body = Decide,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn reject_change(
    CallBy(call, _): CallBy<Approver>,
    Json(request): Json<Decide>,
) -> ApiResult<Tagged<Change>> {
    changes::reject_change(&call, &request).await.map(Tagged::of)
}

/// Begin the work. Refused with 409 `approval-void` for another plan than the approved one, and with 409 `outside-window`
/// outside the span.
#[utoipa::path(post, path = "/itsm/changes/{id}/execute", tag = "changes", request_body = ExecuteChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn execute_change(
    CallBy(call, _): CallBy<Operator>,
    Json(request): Json<ExecuteChange>,
) -> ApiResult<Tagged<Change>> {
    changes::execute_change(&call, &request).await.map(Tagged::of)
}

/// Close a change whose work succeeded, with notes and evidence. 202 with a proposal for somebody else's change: a second person
/// must confirm it.
#[utoipa::path(post, path = "/itsm/changes/{id}/complete", tag = "changes", request_body = CloseChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
pub async fn complete_change(
    CallBy(call, _): CallBy<Operator>,
    Json(request): Json<CloseChange>,
) -> ApiResult<Response> {
    Ok(respond(changes::complete_change(&call, &request).await?, Tagged::of))
}

/// Close a change whose work failed, with notes and evidence. 202 with a proposal for somebody else's change: a second person must
/// confirm it.
#[utoipa::path(post, path = "/itsm/changes/{id}/fail", tag = "changes", request_body = CloseChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
pub async fn fail_change(
    CallBy(call, _): CallBy<Operator>,
    Json(request): Json<CloseChange>,
) -> ApiResult<Response> {
    Ok(respond(changes::fail_change(&call, &request).await?, Tagged::of))
}

/// Cancel a change whose work has not begun. 202 with a proposal for somebody else's change: a second person must confirm it.
#[utoipa::path(post, path = "/itsm/changes/{id}/cancel", tag = "changes", request_body = CloseChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
pub async fn cancel_change(
    CallBy(call, _): CallBy<Operator>,
    Json(request): Json<CloseChange>,
) -> ApiResult<Response> {
    Ok(respond(changes::cancel_change(&call, &request).await?, Tagged::of))
}

/// Record the review of an emergency change after its end. A caller that requested, opened, edited or approved it may not.
#[utoipa::path(post, path = "/itsm/changes/{id}/review", tag = "changes", request_body = ReviewChange,
    params(("id" = String, Path, description = "change"),
        ("If-Match" = Option<String>, Header, description = "the ETag that was read; 412 if the change is newer")),
    responses((status = 200, body = Change), (status = "4XX", body = Problem)))]
pub async fn review_change(
    CallBy(call, _): CallBy<Approver>,
    Json(request): Json<ReviewChange>,
) -> ApiResult<Tagged<Change>> {
    changes::review_change(&call, &request).await.map(Tagged::of)
}

/// Read a change by the link of an approval request, without a token of the platform.
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

/// Approve or reject by the link of an approval request, once. 409 `link-used`, `link-void` or `link-expired` if it
/// is not valid any more.
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
