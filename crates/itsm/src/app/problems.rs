//! Problems: the causes behind incidents.

use api_types::{
    itsm::{CreateProblem, Problem, ProblemState, UpdateProblem},
    page::Page,
};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
};

use super::{App, checks, incidents as incident_rules};
use crate::store::{incidents, problems};

/// Incidents a problem is opened with at most; more are linked one by one.
const INCIDENTS: usize = 1000;

pub async fn create_problem(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    mut request: CreateProblem,
) -> ApiResult<Problem> {
    request.incident_ids.sort();
    request.incident_ids.dedup();
    let mut errors = FieldErrors::default();
    errors.require_line("/short_description", &request.short_description, checks::LINE);
    checks::prose(&mut errors, "/description", &request.description, checks::TEXT);
    if request.incident_ids.len() > INCIDENTS {
        errors.add("/incident_ids", format!("must be at most {INCIDENTS} incidents"));
    }
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "create_problem", key, &request).await? {
        Begun::Replay(problem) => return Ok(problem),
        Begun::New(ticket) => ticket,
    };
    let id = problems::insert_problem(&mut tx, &request, app.clock.now()).await?;
    // In the order of their ids: two problems opened over the same incidents wait for each other instead of locking up.
    for (index, incident_id) in request.incident_ids.iter().enumerate() {
        let pointer = || format!("/incident_ids/{index}");
        let incident = incidents::lock_incident(&mut tx, incident_id)
            .await?
            .ok_or_else(|| ApiError::invalid(pointer(), "names no incident"))?;
        if let Some(other) = &incident.problem_id {
            return Err(ApiError::conflict(
                "already-linked",
                format!(
                    "incident {incident_id} points to problem {other} already; change its `problem_id` instead"
                ),
            ));
        }
        incident_rules::link(&mut tx, app, caller, &incident, &id).await?;
    }
    let problem = problems::find_problem(&mut tx, &id)
        .await?
        .ok_or_else(|| ApiError::internal("a problem just inserted is not there"))?;
    audit::record(&mut tx, caller, audit::Record::new("create_problem", object(&id)).after(&problem)).await?;
    ticket.finish(&mut tx, &problem).await?;
    tx.commit().await?;
    tracing::info!(problem.id, subject = caller.subject, "problem {id} opened");
    Ok(problem)
}

pub async fn get_problem(app: &App, id: &str) -> ApiResult<Problem> {
    let mut connection = app.pool.acquire().await?;
    problems::find_problem(&mut connection, id).await?.ok_or_else(|| no_problem(id))
}

pub async fn list_problems(
    app: &App,
    state: Option<ProblemState>,
    request: PageRequest,
) -> ApiResult<Page<Problem>> {
    let (limit, before) = (request.limit()?, request.after::<i64>()?);
    let mut connection = app.pool.acquire().await?;
    let problems = problems::list_problems(&mut connection, state, limit + 1, before).await?;
    let numbered = page(problems, limit, |one| one.number);
    Ok(Page {
        items: numbered.items.into_iter().map(|one| one.problem).collect(),
        next_page_token: numbered.next_page_token,
    })
}

/// Edits a problem. A known error has a workaround and a resolved problem a root cause, else the words mean nothing.
pub async fn update_problem(
    app: &App,
    caller: &Caller,
    id: &str,
    if_match: &IfMatch,
    request: UpdateProblem,
) -> ApiResult<Problem> {
    let mut errors = FieldErrors::default();
    checks::optional_line(
        &mut errors,
        "/short_description",
        request.short_description.as_deref(),
        checks::LINE,
    );
    for (pointer, text) in [
        ("/description", &request.description),
        ("/root_cause", &request.root_cause),
        ("/workaround", &request.workaround),
    ] {
        checks::prose(&mut errors, pointer, text.as_deref().unwrap_or_default(), checks::TEXT);
    }
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let before = problems::lock_problem(&mut tx, id).await?.ok_or_else(|| no_problem(id))?;
    if_match.check(before.version)?;
    let mut problem = before.clone();
    apply(&mut problem, request);
    check_state(&problem)?;
    if problem == before {
        return Ok(before);
    }
    problem.version += 1;
    problem.updated_at = app.clock.now();
    problems::update_problem(&mut tx, &problem).await?;
    let record = audit::Record::new("update_problem", object(id)).before(&before).after(&problem);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    Ok(problem)
}

fn apply(problem: &mut Problem, request: UpdateProblem) {
    if let Some(short_description) = request.short_description {
        problem.short_description = short_description;
    }
    if let Some(description) = request.description {
        problem.description = description;
    }
    if let Some(state) = request.state {
        problem.state = state;
    }
    problem.root_cause = request.root_cause.or(problem.root_cause.take());
    problem.workaround = request.workaround.or(problem.workaround.take());
}

fn check_state(problem: &Problem) -> ApiResult<()> {
    let is_empty = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().is_empty();
    let mut errors = FieldErrors::default();
    if problem.state == ProblemState::KnownError && is_empty(&problem.workaround) {
        errors.add("/workaround", "must be known before the problem is a `known_error`");
    }
    if problem.state == ProblemState::Resolved && is_empty(&problem.root_cause) {
        errors.add("/root_cause", "must be known before the problem is `resolved`");
    }
    errors.finish()
}

fn no_problem(id: &str) -> ApiError {
    ApiError::not_found(format!("problem `{id}`"))
}

fn object(id: &str) -> String {
    format!("problem/{id}")
}
