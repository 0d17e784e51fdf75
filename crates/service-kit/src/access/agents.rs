//! Tokens of agents, which lie on hosts: an agent replaces its own token before it expires.

use api_types::{access::IssuedToken, problem::Problem};
use axum::{extract::State, http::StatusCode};
use chrono::TimeDelta;

use super::{AccessState, store};
use crate::{
    audit,
    auth::{Agent, Caller},
    error::{ApiError, ApiResult},
    extract::Json,
    people::Written,
};

/// The replaced token stays valid for this long: the answer with its successor may be lost.
const OVERLAP: TimeDelta = TimeDelta::hours(1);

/// Replace the token of an agent by a new one for the same CI and the same time; its secret is shown in this answer only. The old one
/// expires within an hour.
#[utoipa::path(post, path = "/access/tokens/rotate", tag = "access",
    responses((status = 201, body = IssuedToken), (status = "4XX", body = Problem)))]
pub(super) async fn rotate_token(
    State(state): State<AccessState>,
    Agent(caller): Agent,
) -> ApiResult<(StatusCode, Json<IssuedToken>)> {
    let (Some(id), Some(ci)) = (caller.token_id, caller.ci.as_deref()) else {
        return Err(no_agent(&caller));
    };
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    let lifetime = store::end_token(&mut tx, id, now, now + OVERLAP).await?.ok_or_else(|| {
        ApiError::unauthenticated("this token was revoked; an administrator issues another one")
    })?;
    let written = Written { by: &caller.subject, confirmed_by: None, at: now };
    let issued =
        store::insert_token(&mut tx, &caller.subject, &caller.roles, Some(ci), lifetime, written).await?;
    let record = audit::Record::new("rotate_token", format!("token/{id}"))
        .after(&serde_json::json!({ "successor": issued.id, "ci": ci, "expires_at": issued.expires_at }));
    audit::record(&mut tx, &caller, record).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(issued)))
}

fn no_agent(caller: &Caller) -> ApiError {
    ApiError::forbidden(format!(
        "only an agent replaces its own token; `{}` asks an administrator for another one",
        caller.subject
    ))
}
