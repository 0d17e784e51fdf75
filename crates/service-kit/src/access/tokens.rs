//! Tokens: issued, listed, revoked.

use api_types::{
    access::{CreateToken, IssuedToken, Proposal, Proposed, Role, Token},
    page::Page,
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use uuid::Uuid;

use super::{AccessState, proposals};
use crate::{
    audit,
    auth::{self, Admin, Auditor},
    error::{ApiError, ApiResult, FieldErrors},
    extract::{Json, Path, Query},
    page::{PageRequest, page},
    people::check_roles,
    second_person,
};

/// Issue a token; its secret is shown in this answer only. 202 with a proposal if a second person must confirm it.
#[utoipa::path(post, path = "/access/tokens", tag = "access", request_body = CreateToken,
    responses((status = 201, body = IssuedToken), (status = 202, body = Proposal),
        (status = "4XX", body = api_types::problem::Problem)))]
pub(super) async fn create_token(
    State(state): State<AccessState>,
    caller: Admin,
    Json(request): Json<CreateToken>,
) -> ApiResult<Response> {
    let mut errors = FieldErrors::default();
    check_roles(&mut errors, &request.roles);
    check_agent(&mut errors, &request);
    errors.require((1..=365).contains(&request.expires_in_days), "/expires_in_days", "must be 1 to 365");
    errors.finish()?;
    let CreateToken { subject, mut roles, ci, expires_in_days } = request;
    roles.sort();
    roles.dedup();
    let proposed = Proposed::CreateToken { subject, roles, ci, expires_in_days };
    let outcome = proposals::perform_or_propose(&state, &caller, proposed).await?;
    Ok(second_person::respond(outcome, |made| made))
}

/// An agent belongs to one CI and has no other role: its token lies on the host.
fn check_agent(errors: &mut FieldErrors, request: &CreateToken) {
    let is_agent = request.roles.contains(&Role::Agent);
    errors.require(
        !is_agent || request.roles.iter().all(|role| *role == Role::Agent),
        "/roles",
        "must have no other role next to `agent`",
    );
    errors.require(
        is_agent == request.ci.is_some(),
        "/ci",
        "is required for the role `agent`, and only for it",
    );
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// List tokens, newest first, without their secrets and without sessions.
#[utoipa::path(get, path = "/access/tokens", tag = "access", params(ListParams),
    responses((status = 200, body = Page<Token>), (status = "4XX", body = api_types::problem::Problem)))]
pub(super) async fn list_tokens(
    State(state): State<AccessState>,
    _: Auditor,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<Token>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let rows = sqlx::query!(
        "SELECT id, subject, roles, ci_id, created_at, expires_at, revoked_at, created_by, confirmed_by FROM platform.tokens
         WHERE session_of IS NULL AND identity IS NULL AND ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
        after,
        limit + 1,
    )
    .fetch_all(&state.pool)
    .await?;
    let tokens = rows
        .into_iter()
        .map(|row| Token {
            id: row.id,
            subject: row.subject,
            roles: auth::roles_of(&row.roles),
            ci: row.ci_id,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            created_by: row.created_by,
            confirmed_by: row.confirmed_by,
        })
        .collect();
    Ok(Json(page(tokens, limit, |token: &Token| token.id)))
}

/// Revoke a token and its sessions; they are refused everywhere within seconds. With the token of an agent, all tokens of agents of its
/// CI are revoked, because a rotated one has the id of its successor.
#[utoipa::path(delete, path = "/access/tokens/{id}", tag = "access", params(("id" = Uuid, Path, description = "token")),
    responses((status = 204), (status = "4XX", body = api_types::problem::Problem)))]
pub(super) async fn revoke_token(
    State(state): State<AccessState>,
    caller: Admin,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    let mut tx = state.pool.begin().await?;
    let revoked = sqlx::query!(
        "UPDATE platform.tokens SET revoked_at = coalesce(revoked_at, $2)
         WHERE id = $1 OR session_of = $1 OR ci_id = (SELECT one.ci_id FROM platform.tokens one WHERE one.id = $1)",
        id,
        state.clock.now()
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if revoked == 0 {
        return Err(ApiError::not_found(format!("token `{id}`")));
    }
    audit::record(&mut tx, &caller, audit::Record::new("revoke_token", format!("token/{id}"))).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
