//! Sessions of browsers: a token of its own with a short life, which ends with the token it was made from.

use api_types::{
    access::{Me, Role, Session},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AccessState, new_secret};
use crate::{
    audit,
    auth::{self, Caller, Viewer},
    error::{ApiError, ApiResult},
    extract::Json,
    session,
};

/// A working shift; after it, the person enters the token again.
const LASTS: TimeDelta = TimeDelta::hours(8);
/// Open sessions of one token; a further one ends the oldest.
const MOST: i64 = 20;

/// Read who the caller is and what the caller may do.
#[utoipa::path(get, path = "/access/me", tag = "access",
    responses((status = 200, body = Me), (status = "4XX", body = Problem)))]
pub(super) async fn get_me(
    State(state): State<AccessState>,
    caller: Viewer,
    headers: HeaderMap,
) -> ApiResult<Json<Me>> {
    let mut conn = state.pool.acquire().await?;
    let token = find_token(&mut conn, caller_token(&caller)?).await?;
    let Viewer(Caller { subject, roles, .. }) = caller;
    let is_by_cookie = !headers.contains_key(header::AUTHORIZATION);
    let is_session = token.session_of.is_some() || (token.provider.is_some() && is_by_cookie);
    Ok(Json(Me { subject, roles, expires_at: token.expires_at, is_session, provider: token.provider }))
}

/// Start a session of a browser with the token of the request: the answer sets a cookie that scripts cannot read. It lasts 8
/// hours, and not longer than the token. Writes with the cookie need the header `X-Patch-Console`.
#[utoipa::path(post, path = "/access/session", tag = "access",
    responses((status = 201, body = Session), (status = "4XX", body = Problem)))]
pub(super) async fn start_session(
    State(state): State<AccessState>,
    caller: Viewer,
    headers: HeaderMap,
) -> ApiResult<Response> {
    if caller.is(Role::Service) {
        return Err(ApiError::forbidden("a service has no session"));
    }
    let (secret, id, parent, now) = (new_secret(), Uuid::now_v7(), caller_token(&caller)?, state.clock.now());
    let mut tx = state.pool.begin().await?;
    let token = find_token(&mut tx, parent).await?;
    if token.session_of.is_some() || token.provider.is_some() {
        return Err(ApiError::forbidden("a session cannot start another one; sign in with a token"));
    }
    let expires_at = token.expires_at.min(now + LASTS);
    end_oldest(&mut tx, parent, now).await?;
    let (hash, roles) = (auth::hash(&secret), auth::role_names(&caller.roles));
    sqlx::query!(
        "INSERT INTO platform.tokens (id, hash, subject, roles, created_at, expires_at, created_by, session_of)
         VALUES ($1, $2, $3, $4, $5, $6, $3, $7)",
        id,
        hash.as_slice(),
        caller.subject,
        &roles,
        now,
        expires_at,
        parent,
    )
    .execute(&mut *tx)
    .await?;
    audit::record(&mut tx, &caller, audit::Record::new("start_session", object(id))).await?;
    tx.commit().await?;
    let cookie = session::set_cookie(&headers, &secret, (expires_at - now).num_seconds())?;
    let Viewer(Caller { subject, roles, .. }) = caller;
    let session = Session { id, subject, roles, expires_at };
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(session)).into_response())
}

/// End the session of the request; the browser forgets its cookie.
#[utoipa::path(delete, path = "/access/session", tag = "access",
    responses((status = 204), (status = "4XX", body = Problem)))]
pub(super) async fn end_session(
    State(state): State<AccessState>,
    caller: Viewer,
    headers: HeaderMap,
) -> ApiResult<Response> {
    end(&state, &caller).await?;
    let cookie = session::set_cookie(&headers, "", 0)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Ends the session of the request, or its token if a sign-in at the identity provider gave it.
pub(super) async fn end(state: &AccessState, caller: &Caller) -> ApiResult<()> {
    let id = caller_token(caller)?;
    let mut tx = state.pool.begin().await?;
    let ended = sqlx::query!(
        "UPDATE platform.tokens SET revoked_at = coalesce(revoked_at, $2)
         WHERE id = $1 AND (session_of IS NOT NULL OR identity IS NOT NULL)",
        id,
        state.clock.now()
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if ended == 0 {
        return Err(ApiError::not_found("session of this request: it is signed in with a token"));
    }
    audit::record(&mut tx, caller, audit::Record::new("end_session", object(id))).await?;
    tx.commit().await?;
    Ok(())
}

fn caller_token(caller: &Caller) -> ApiResult<Uuid> {
    caller.token_id.ok_or_else(|| ApiError::internal("a caller without a token"))
}

fn object(id: Uuid) -> String {
    format!("session/{id}")
}

struct TokenLife {
    expires_at: DateTime<Utc>,
    session_of: Option<Uuid>,
    /// The issuer at which the person signed in for it.
    provider: Option<String>,
}

async fn find_token(conn: &mut PgConnection, id: Uuid) -> ApiResult<TokenLife> {
    sqlx::query_as!(
        TokenLife,
        r#"SELECT expires_at, session_of, issuer AS "provider?" FROM platform.tokens
           LEFT JOIN platform.identities ON identities.id = tokens.identity WHERE tokens.id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?
    .ok_or_else(|| ApiError::unauthenticated("this session has ended; sign in again"))
}

/// Removes the sessions of the token that have expired, and the oldest ones above the limit.
async fn end_oldest(conn: &mut PgConnection, parent: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM platform.tokens WHERE session_of = $1 AND (expires_at <= $2 OR revoked_at IS NOT NULL OR id NOT IN (
             SELECT id FROM platform.tokens WHERE session_of = $1 AND expires_at > $2 AND revoked_at IS NULL
             ORDER BY id DESC LIMIT $3))",
        parent,
        now,
        MOST - 1,
    )
    .execute(conn)
    .await?;
    Ok(())
}
