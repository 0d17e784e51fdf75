//! Weakening a control takes two people. There is one mechanism for every service: the request becomes a proposal, and when
//! somebody else confirms it, the service carries out the same request in the name of who sent it.
//!
//! What weakens a control is decided by a pure function of each control; a request that weakens nothing is not delayed.

use api_types::{
    access::{Outcome, Proposal, ProposalState, Proposed, WeakenControl},
    problem_types,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::sync::Arc;
use tower::ServiceExt;

use crate::{
    access::proposals,
    auth::{Asked, Caller, Confirmation},
    error::{ApiError, ApiResult},
    extract::Json,
};

/// Largest answer of a request that was carried out.
const LARGEST_ANSWER: usize = 16 << 20;

/// A write that may weaken a control.
pub struct Weakening {
    /// `delete_calendar`.
    pub operation: &'static str,
    /// As in the audit log: `calendar/<id>`.
    pub object: String,
    /// What becomes weaker, one sentence each. Nothing: no second person is necessary.
    pub weakens: Vec<String>,
    /// The body of the request, if it has one.
    pub body: Option<Value>,
    /// What the write replaces.
    pub replaces: Value,
}

/// Proposes the write if it weakens a control: the caller of this function then commits the transaction, does nothing else and
/// answers with the proposal. `None`: go on. If the request carries out a confirmed proposal, the proposal is closed in the
/// transaction of the write.
pub async fn ask(
    conn: &mut PgConnection,
    caller: &Caller,
    now: DateTime<Utc>,
    write: Weakening,
) -> ApiResult<Option<Proposal>> {
    let replaces = fingerprint(&write.replaces)?;
    if let Some(confirmation) = &caller.confirmation {
        close(conn, confirmation, now, &replaces).await?;
        return Ok(None);
    }
    // Services do what people have agreed on already; they never write on their own account.
    if write.weakens.is_empty() || caller.is_service() {
        return Ok(None);
    }
    let Some(asked) = &caller.asked else {
        return Err(ApiError::internal("a caller without a request weakens a control"));
    };
    let proposed = WeakenControl {
        service: caller.service.to_owned(),
        operation: write.operation.to_owned(),
        object: write.object,
        weakens: write.weakens,
        method: asked.method.to_string(),
        path: asked.path.clone(),
        body: write.body,
        replaces,
        roles: caller.roles.clone(),
    };
    proposals::propose(conn, caller, Proposed::WeakenControl(proposed), now).await.map(Some)
}

/// 202 with the proposal, or the answer of the write.
pub fn respond<T, R: IntoResponse>(outcome: Outcome<T>, done: impl FnOnce(T) -> R) -> Response {
    match outcome {
        Outcome::Proposed(proposal) => (StatusCode::ACCEPTED, Json(proposal)).into_response(),
        Outcome::Done(result) => done(result).into_response(),
    }
}

fn fingerprint(value: &impl Serialize) -> ApiResult<String> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(value)?)))
}

/// Closes the proposal, unless somebody else was faster or it is about something that has changed.
async fn close(
    conn: &mut PgConnection,
    confirmation: &Confirmation,
    now: DateTime<Utc>,
    replaces: &str,
) -> ApiResult<()> {
    let mut proposal = proposals::lock_open(conn, confirmation.proposal, now).await?;
    match &proposal.proposed {
        Proposed::WeakenControl(weakening) if weakening.replaces == replaces => {}
        _ => {
            return Err(ApiError::new(
                problem_types::PROPOSAL_VOID,
                format!(
                    "what proposal `{}` would replace has changed since; reject it and propose it again",
                    proposal.id
                ),
            ));
        }
    }
    proposals::decide(conn, &confirmation.by, &mut proposal, ProposalState::Confirmed, now).await
}

/// What became of a confirmed request.
pub(crate) enum CarriedOut {
    /// Its answer, if it has one.
    Done(Option<Value>),
    /// An error, which leaves the proposal open.
    Refused(Response),
}

/// Sends the proposed request to the routes of this service, in the name of who proposed it.
pub(crate) async fn carry_out(
    routes: &Router,
    confirmer: &Caller,
    proposal: &Proposal,
    weakening: &WeakenControl,
) -> ApiResult<CarriedOut> {
    let request = request(confirmer, proposal, weakening)?;
    let response = match routes.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if !response.status().is_success() {
        return Ok(CarriedOut::Refused(response));
    }
    let body = to_bytes(response.into_body(), LARGEST_ANSWER).await.map_err(ApiError::internal)?;
    if body.is_empty() {
        return Ok(CarriedOut::Done(None));
    }
    Ok(CarriedOut::Done(Some(serde_json::from_slice(&body)?)))
}

fn request(confirmer: &Caller, proposal: &Proposal, weakening: &WeakenControl) -> ApiResult<Request> {
    if weakening.service != confirmer.service {
        return Err(ApiError::new(
            problem_types::PROPOSAL_ELSEWHERE,
            format!("the service `{0}` carries out this proposal; confirm it at `{0}`", weakening.service),
        ));
    }
    let method = weakening.method.parse().map_err(|_| ApiError::internal("a proposal without a method"))?;
    let caller = Caller {
        subject: proposal.proposed_by.clone(),
        roles: weakening.roles.clone(),
        token_id: None,
        ci: None,
        service: confirmer.service,
        request_id: confirmer.request_id.clone(),
        asked: Some(Asked { method, path: weakening.path.clone() }),
        confirmation: Some(Arc::new(Confirmation { proposal: proposal.id, by: confirmer.clone() })),
    };
    let body = match &weakening.body {
        Some(body) => Body::from(serde_json::to_vec(body)?),
        None => Body::empty(),
    };
    Request::builder()
        .method(weakening.method.as_str())
        .uri(&weakening.path)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(caller)
        .body(body)
        .map_err(ApiError::internal)
}
