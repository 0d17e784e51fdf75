//! `/itsm/problems`: the records, which on the wire are called `ProblemRecord` beside the problems that errors are.

use api_types::{
    itsm::{CreateProblem, Problem as ProblemRecord, ProblemState, UpdateProblem},
    page::Page,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer, extract::Tagged,
    page::PageRequest,
};
use utoipa::IntoParams;

use super::created;
use crate::app::{App, problems};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ProblemParams {
    /// Only problems in this state.
    state: Option<ProblemState>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List problems, newest first.
#[utoipa::path(get, path = "/itsm/problems", tag = "problems", params(ProblemParams),
    responses((status = 200, body = Page<ProblemRecord>), (status = "4XX", body = Problem)))]
pub async fn list_problems(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ProblemParams>,
) -> ApiResult<Json<Page<ProblemRecord>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    problems::list_problems(&app, params.state, request).await.map(Json)
}

/// Open a problem over incidents that point to none yet.
#[utoipa::path(post, path = "/itsm/problems", tag = "problems", request_body = CreateProblem,
    responses((status = 201, body = ProblemRecord), (status = "4XX", body = Problem)))]
pub async fn create_problem(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateProblem>,
) -> ApiResult<Response> {
    let problem = problems::create_problem(&app, &caller, &key, request).await?;
    Ok(created(format!("/itsm/problems/{}", problem.id), problem.version, problem))
}

/// Read a problem with the ids of its incidents.
#[utoipa::path(get, path = "/itsm/problems/{id}", tag = "problems",
    params(("id" = String, Path, description = "problem")),
    responses((status = 200, body = ProblemRecord), (status = "4XX", body = Problem)))]
pub async fn get_problem(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<String>,
) -> ApiResult<Tagged<ProblemRecord>> {
    let problem = problems::get_problem(&app, &id).await?;
    Ok(Tagged(problem.version, problem))
}

/// Edit a problem. A `known_error` needs a workaround, a `resolved` one its root cause.
#[utoipa::path(patch, path = "/itsm/problems/{id}", tag = "problems", request_body = UpdateProblem,
    params(("id" = String, Path, description = "problem")),
    responses((status = 200, body = ProblemRecord), (status = "4XX", body = Problem)))]
pub async fn update_problem(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(request): Json<UpdateProblem>,
) -> ApiResult<Tagged<ProblemRecord>> {
    let problem = problems::update_problem(&app, &caller, &id, &if_match, request).await?;
    Ok(Tagged(problem.version, problem))
}
