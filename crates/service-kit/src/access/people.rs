//! People and their verified addresses, and who can approve.

use api_types::{
    access::{ApproverInfo, Person, Proposal, Proposed, PutPerson, Subject},
    page::Page,
    problem::Problem,
};
use axum::{extract::State, http::StatusCode, response::Response};

use super::{AccessState, oidc_store, proposals, store};
use crate::{
    audit,
    auth::{Admin, Viewer},
    error::{ApiError, ApiResult, FieldErrors},
    extract::{Json, Path},
    page::{PageRequest, page},
    people::{self, Written, check_person},
    second_person,
};

/// List people with their verified addresses and roles, in the order of their subjects.
#[utoipa::path(get, path = "/access/people", tag = "access", params(PageRequest),
    responses((status = 200, body = Page<Person>), (status = "4XX", body = Problem)))]
pub(super) async fn list_people(
    State(state): State<AccessState>,
    _: Viewer,
    request: PageRequest,
) -> ApiResult<Json<Page<Person>>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = state.pool.acquire().await?;
    let found = people::list_people(&mut conn, after.as_deref(), limit + 1).await?;
    Ok(Json(page(found, limit, |person: &Person| person.subject.clone())))
}

/// Write the record of a person. 202 with a proposal if a second person must confirm it.
#[utoipa::path(put, path = "/access/people/{subject}", tag = "access", request_body = PutPerson,
    params(("subject" = String, Path, description = "subject of the person")),
    responses((status = 200, body = Person), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
pub(super) async fn put_person(
    State(state): State<AccessState>,
    caller: Admin,
    Path(subject): Path<String>,
    Json(mut request): Json<PutPerson>,
) -> ApiResult<Response> {
    let mut errors = FieldErrors::default();
    let parsed = Subject::new(&subject).map_err(|error| errors.add("subject", error.to_string()));
    check_person(&mut errors, &mut request);
    errors.finish()?;
    let Ok(subject) = parsed else { return Err(ApiError::internal("a wrong subject was accepted")) };
    let PutPerson { emails, roles } = request;
    let proposed = Proposed::PutPerson { subject, emails, roles };
    let outcome = proposals::perform_or_propose(&state, &caller, proposed).await?;
    Ok(second_person::respond(outcome, |made| made))
}

/// Remove the record of a person: no link decides for them any more, and they cannot sign in at the identity provider. Their other
/// tokens stay; revoke them.
#[utoipa::path(delete, path = "/access/people/{subject}", tag = "access",
    params(("subject" = String, Path, description = "subject of the person")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub(super) async fn delete_person(
    State(state): State<AccessState>,
    caller: Admin,
    Path(subject): Path<String>,
) -> ApiResult<StatusCode> {
    let mut tx = state.pool.begin().await?;
    let before = people::find_person(&mut tx, &subject).await?;
    let written = Written { by: &caller.subject, confirmed_by: None, at: state.clock.now() };
    if !people::remove_person(&mut tx, &subject, written).await? {
        return Err(ApiError::not_found(format!("person `{subject}`")));
    }
    oidc_store::end_sign_ins_of(&mut tx, &subject, state.clock.now()).await?;
    let record = audit::Record::new("delete_person", format!("person/{subject}")).before(&before);
    audit::record(&mut tx, &caller, record).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List who can approve changes now, and who made them approvers; not paged, at most 1000.
#[utoipa::path(get, path = "/access/approvers", tag = "access",
    responses((status = 200, body = Vec<ApproverInfo>), (status = "4XX", body = Problem)))]
pub(super) async fn list_approvers(
    State(state): State<AccessState>,
    _: Viewer,
) -> ApiResult<Json<Vec<ApproverInfo>>> {
    let mut conn = state.pool.acquire().await?;
    Ok(Json(store::list_approvers(&mut conn, state.clock.now()).await?))
}
