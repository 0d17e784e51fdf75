//! Writes that one person alone must not do: a second administrator or an approver confirms them.

use api_types::{
    access::{
        CiId, Confirmed, CreateToken, IssuedToken, Outcome, Person, Proposal, ProposalState, Proposed,
        PutPerson, Role, WeakenControl,
    },
    page::Page,
    problem::Problem,
    problem_types,
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AccessState, store};
use crate::{
    audit,
    auth::{Caller, Viewer},
    duties::{self, Decider},
    error::{ApiError, ApiResult},
    extract::{Json, Path, Query},
    page::{PageRequest, page},
    people::{self, Written},
    second_person::{self, CarriedOut},
};

/// A proposal that nobody decides on expires.
const EXPIRES_AFTER: TimeDelta = TimeDelta::days(7);

/// What a proposed write has made.
pub(super) enum Made {
    Token(IssuedToken),
    Person(Person),
}

impl IntoResponse for Made {
    fn into_response(self) -> Response {
        match self {
            Self::Token(token) => (StatusCode::CREATED, Json(token)).into_response(),
            Self::Person(person) => Json(person).into_response(),
        }
    }
}

/// Does the write, or proposes it if a second person must confirm it.
pub(super) async fn perform_or_propose(
    state: &AccessState,
    caller: &Caller,
    proposed: Proposed,
) -> ApiResult<Outcome<Made>> {
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    store::lock_approvers(&mut tx).await?;
    check_addresses(&mut tx, &proposed).await?;
    let outcome = match need(&mut tx, &proposed).await? {
        need @ (Need::Nobody | Need::NobodyYet) => {
            let written = Written { by: &caller.subject, confirmed_by: None, at: now };
            Outcome::Done(perform(&mut tx, caller, &proposed, written, need.reason()).await?)
        }
        Need::SecondPerson => Outcome::Proposed(Box::new(propose(&mut tx, caller, proposed, now).await?)),
    };
    tx.commit().await?;
    Ok(outcome)
}

/// Records what waits for a second person.
pub(crate) async fn propose(
    conn: &mut PgConnection,
    caller: &Caller,
    proposed: Proposed,
    now: DateTime<Utc>,
) -> ApiResult<Proposal> {
    let proposal = Proposal {
        id: Uuid::now_v7(),
        proposed,
        proposed_by: caller.subject.clone(),
        proposed_at: now,
        expires_at: now + EXPIRES_AFTER,
        state: ProposalState::Pending,
        decided_by: None,
        decided_at: None,
    };
    store::insert_proposal(&mut *conn, &proposal).await?;
    let record = audit::Record::new("propose", object(proposal.id)).after(&proposal);
    audit::record(conn, caller, record).await?;
    Ok(proposal)
}

/// Who must agree to a write, in addition to the administrator who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nobody,
    /// It makes the first approver, so that there is nobody who could confirm it.
    NobodyYet,
    SecondPerson,
}

impl Need {
    /// For the audit record.
    fn reason(self) -> Option<&'static str> {
        (self == Self::NobodyYet).then_some("the first approver, created by one administrator alone")
    }
}

/// Approvers and administrators are made by two people: an administrator alone could otherwise make the second person of every
/// other decision. The caller has locked the approvers.
async fn need(conn: &mut PgConnection, proposed: &Proposed) -> ApiResult<Need> {
    let is_guarded = |role: &Role| matches!(role, Role::Approver | Role::Admin);
    if !proposed.roles().iter().any(is_guarded) {
        return Ok(Need::Nobody);
    }
    if let Proposed::PutPerson { subject, emails, roles } = proposed
        && let Some(before) = people::find_person(conn, subject.as_str()).await?
    {
        let has_role = |role: &Role| !is_guarded(role) || before.roles.contains(role);
        if roles.iter().all(has_role) && emails.iter().all(|address| before.emails.contains(address)) {
            return Ok(Need::Nobody);
        }
    }
    let Some(subject) = proposed.subject() else { return Ok(Need::SecondPerson) };
    let history = store::read_approver_history(conn, subject.as_str()).await?;
    let is_first = match proposed {
        // The record of the first approver comes before the token: the holder of a token confirms what follows.
        Proposed::PutPerson { .. } => !history.tokens && !history.own_record && !history.other_records,
        Proposed::CreateToken { .. } => !history.tokens && !history.other_records,
        Proposed::WeakenControl(_) => false,
    };
    let makes_admin = proposed.roles().contains(&Role::Admin);
    Ok(if is_first && !makes_admin { Need::NobodyYet } else { Need::SecondPerson })
}

/// An address belongs to one person.
async fn check_addresses(conn: &mut PgConnection, proposed: &Proposed) -> ApiResult<()> {
    let Proposed::PutPerson { subject, emails, .. } = proposed else { return Ok(()) };
    let others = people::list_by_names(conn, emails).await?;
    let owner = |address: &String| {
        others.iter().find(|other| other.subject != subject.as_str() && other.emails.contains(address))
    };
    let errors = emails.iter().enumerate().filter_map(|(index, address)| {
        let owner = owner(address)?;
        let reason = format!("belongs to `{}`; remove it there first", owner.subject);
        Some((format!("/emails/{index}"), reason))
    });
    errors.collect::<crate::error::FieldErrors>().finish()
}

async fn perform(
    conn: &mut PgConnection,
    caller: &Caller,
    proposed: &Proposed,
    written: Written<'_>,
    reason: Option<&str>,
) -> ApiResult<Made> {
    match proposed {
        Proposed::CreateToken { subject, roles, ci, expires_in_days } => {
            let lifetime = TimeDelta::days(i64::from(*expires_in_days));
            let of_ci = ci.as_ref().map(CiId::as_str);
            let issued = store::insert_token(conn, subject.as_str(), roles, of_ci, lifetime, written).await?;
            let request = CreateToken {
                subject: subject.clone(),
                roles: roles.clone(),
                ci: ci.clone(),
                expires_in_days: *expires_in_days,
            };
            let record = audit::Record::new("create_token", format!("token/{}", issued.id)).after(&request);
            audit::record(conn, caller, record.reason(reason)).await?;
            Ok(Made::Token(issued))
        }
        Proposed::PutPerson { subject, emails, roles } => {
            let request = PutPerson { emails: emails.clone(), roles: roles.clone() };
            let before = people::find_person(conn, subject.as_str()).await?;
            let person = people::put_person(conn, subject.as_str(), &request, written)
                .await?
                .ok_or_else(|| ApiError::internal("a person that was written does not exist"))?;
            let record = audit::Record::new("put_person", format!("person/{subject}"));
            let record = record.before(&before).after(&person).reason(reason);
            audit::record(conn, caller, record).await?;
            Ok(Made::Person(person))
        }
        Proposed::WeakenControl(_) => Err(ApiError::internal("the routes carry out a request, not this")),
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ProposalParams {
    /// Only proposals in this state.
    state: Option<ProposalState>,
}

/// List proposals, newest first. A caller who only reads does not see the bodies of requests.
#[utoipa::path(get, path = "/access/proposals", tag = "access", params(ProposalParams, PageRequest),
    responses((status = 200, body = Page<Proposal>), (status = "4XX", body = Problem)))]
pub(super) async fn list_proposals(
    State(state): State<AccessState>,
    caller: Viewer,
    Query(params): Query<ProposalParams>,
    request: PageRequest,
) -> ApiResult<Json<Page<Proposal>>> {
    let (limit, before) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = state.pool.acquire().await?;
    let mut found = store::list_proposals(&mut conn, params.state, before, limit + 1).await?;
    if caller.only_reads() {
        for proposal in &mut found {
            if let Proposed::WeakenControl(WeakenControl { body, .. }) = &mut proposal.proposed {
                *body = None;
            }
        }
    }
    Ok(Json(page(found, limit, |proposal: &Proposal| proposal.id)))
}

/// Confirm what somebody else proposed, as an administrator or an approver. It takes effect with this answer, which is the only
/// one that shows the secret of a token. A request is carried out by the service that it was sent to; its errors leave the
/// proposal open.
#[utoipa::path(post, path = "/access/proposals/{id}/confirm", tag = "access",
    params(("id" = Uuid, Path, description = "proposal")),
    responses((status = 200, body = Confirmed), (status = "4XX", body = Problem)))]
pub(super) async fn confirm_proposal(
    State(state): State<AccessState>,
    Viewer(caller): Viewer,
    Path(id): Path<Uuid>,
) -> ApiResult<Response> {
    let mut tx = state.pool.begin().await?;
    store::lock_approvers(&mut tx).await?;
    let now = state.clock.now();
    let mut proposal = lock_open(&mut tx, id, now).await?;
    let decider = Decider::of_caller(&mut tx, &caller).await?;
    if let Err(refused) = may_confirm(&caller, &decider, &proposal) {
        tx.rollback().await?;
        duties::record_refusal(&state.pool, &caller, "confirm_proposal", object(id), &refused).await?;
        return Err(refused);
    }
    if let Proposed::WeakenControl(weakening) = &proposal.proposed {
        // The transaction of the request locks the proposal again.
        tx.rollback().await?;
        return match second_person::carry_out(&state.routes, &caller, &proposal, weakening).await? {
            CarriedOut::Done(answer) => confirmed(&state, id, answer).await.map(IntoResponse::into_response),
            CarriedOut::Refused(response) => Ok(response),
        };
    }
    check_addresses(&mut tx, &proposal.proposed).await?;
    let written = Written { by: &proposal.proposed_by, confirmed_by: Some(&caller.subject), at: now };
    let made = perform(&mut tx, &caller, &proposal.proposed, written, None).await?;
    decide(&mut tx, &caller, &mut proposal, ProposalState::Confirmed, now).await?;
    tx.commit().await?;
    let (token, person) = match made {
        Made::Token(token) => (Some(token), None),
        Made::Person(person) => (None, Some(person)),
    };
    Ok(Json(Confirmed { proposal, token, person, answer: None }).into_response())
}

/// The proposal of a request that was carried out.
async fn confirmed(
    state: &AccessState,
    id: Uuid,
    answer: Option<serde_json::Value>,
) -> ApiResult<Json<Confirmed>> {
    let mut conn = state.pool.acquire().await?;
    let proposal = store::lock_proposal(&mut conn, id).await?;
    let proposal = proposal
        .filter(|proposal| proposal.state == ProposalState::Confirmed)
        .ok_or_else(|| ApiError::internal("a request was carried out and its proposal is still open"))?;
    Ok(Json(Confirmed { proposal, token: None, person: None, answer }))
}

/// Reject a proposal as an administrator or an approver, or withdraw an own one.
#[utoipa::path(post, path = "/access/proposals/{id}/reject", tag = "access",
    params(("id" = Uuid, Path, description = "proposal")),
    responses((status = 200, body = Proposal), (status = "4XX", body = Problem)))]
pub(super) async fn reject_proposal(
    State(state): State<AccessState>,
    Viewer(caller): Viewer,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<Proposal>> {
    let mut tx = state.pool.begin().await?;
    let now = state.clock.now();
    let mut proposal = lock_open(&mut tx, id, now).await?;
    if proposal.proposed_by != caller.subject {
        has_say(&caller)?;
    }
    decide(&mut tx, &caller, &mut proposal, ProposalState::Rejected, now).await?;
    tx.commit().await?;
    Ok(Json(proposal))
}

fn has_say(caller: &Caller) -> ApiResult<()> {
    if caller.is(Role::Admin) || caller.is(Role::Approver) {
        return Ok(());
    }
    Err(ApiError::forbidden(format!(
        "this needs the role `admin` or `approver`; the token of `{}` has neither",
        caller.subject
    )))
}

/// A second person, who does not become by it what that person is not yet.
fn may_confirm(caller: &Caller, decider: &Decider, proposal: &Proposal) -> ApiResult<()> {
    has_say(caller)?;
    if decider.is(&proposal.proposed_by) {
        return Err(ApiError::forbidden(format!(
            "`{}` proposed this and cannot confirm it; ask another administrator or an approver",
            caller.subject
        )));
    }
    let gains = proposal.proposed.roles().iter().any(|role| !caller.is(*role));
    let is_for_caller = proposal.proposed.subject().is_some_and(|subject| decider.is(subject.as_str()));
    if is_for_caller && gains {
        return Err(ApiError::forbidden(format!(
            "`{}` would get a role by this and cannot confirm it; ask another administrator or an approver",
            caller.subject
        )));
    }
    Ok(())
}

/// A proposal that can be decided on; other decisions wait until the transaction ends.
pub(crate) async fn lock_open(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> ApiResult<Proposal> {
    let proposal = store::lock_proposal(conn, id)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("proposal `{id}`")))?;
    let closed =
        |why: &str| Err(ApiError::new(problem_types::PROPOSAL_CLOSED, format!("proposal `{id}` {why}")));
    match proposal.state {
        ProposalState::Confirmed => closed("was already confirmed"),
        ProposalState::Rejected => closed("was rejected"),
        ProposalState::Pending if proposal.expires_at <= now => closed("has expired; propose it again"),
        ProposalState::Pending => Ok(proposal),
    }
}

pub(crate) async fn decide(
    conn: &mut PgConnection,
    caller: &Caller,
    proposal: &mut Proposal,
    to: ProposalState,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let before = proposal.clone();
    proposal.state = to;
    proposal.decided_by = Some(caller.subject.clone());
    proposal.decided_at = Some(now);
    store::update_proposal(&mut *conn, proposal).await?;
    let action = if to == ProposalState::Confirmed { "confirm_proposal" } else { "reject_proposal" };
    let record = audit::Record::new(action, object(proposal.id)).before(&before).after(&*proposal);
    audit::record(conn, caller, record).await
}

fn object(id: Uuid) -> String {
    format!("proposal/{id}")
}
