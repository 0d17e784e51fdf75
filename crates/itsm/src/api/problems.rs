//! `/itsm/problems`. The schema is called `ProblemRecord`, because `Problem` is that of an error.

use api_types::{
    itsm::{CreateProblem, Problem as ProblemRecord, ProblemState, UpdateProblem},
    page::Page,
    problem::Problem,
};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::{Created, Tagged},
    page::PageRequest,
};
use utoipa::IntoParams;

use crate::{app::problems, state::App};

#[derive(Debug, Deserialize, IntoParams)]
pub struct ProblemParams {
    /// Only problems in this state.
    state: Option<ProblemState>,
}

/// List problems, newest first.
#[utoipa::path(get, path = "/itsm/problems", tag = "problems", params(ProblemParams, PageRequest),
    responses((status = 200, body = Page<ProblemRecord>), (status = "4XX", body = Problem)))]
pub async fn list_problems(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ProblemParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<ProblemRecord>>> {
    problems::list_problems(&app, params.state, page).await.map(Json)
}

/// Open a problem for incidents that have none yet.
#[utoipa::path(post, path = "/itsm/problems", tag = "problems", request_body = CreateProblem,
    responses((status = 201, body = ProblemRecord), (status = "4XX", body = Problem)))]
pub async fn create_problem(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateProblem>,
) -> ApiResult<Created<Tagged<ProblemRecord>>> {
    let problem = problems::create_problem(&app, &caller, &key, request).await?;
    Ok(Created(format!("/itsm/problems/{}", problem.id), Tagged::of(problem)))
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
    problems::get_problem(&app, &id).await.map(Tagged::of)
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
    problems::update_problem(&app, &caller, &id, &if_match, request).await.map(Tagged::of)
}
