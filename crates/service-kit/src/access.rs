//! `/access`: tokens and the audit log, served by every service over the shared schema `platform`.

use api_types::{
    access::{AuditRecord, CreateToken, IssuedToken, Role, Token},
    page::Page,
};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use chrono::{DateTime, TimeDelta, Utc};
use domain::text::has_hidden;
use rand::RngCore;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    audit,
    auth::{self, Admin, Caller},
    clock::Clock,
    error::{ApiError, ApiResult},
    extract::{Json, Path, Query},
    page::{PageRequest, page},
};

#[derive(Clone)]
pub(crate) struct AccessState {
    pub pool: PgPool,
    pub clock: Clock,
}

pub(crate) fn routes() -> OpenApiRouter<AccessState> {
    OpenApiRouter::new()
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(revoke_token))
        .routes(routes!(list_audit))
}

/// A fresh token: 256 bits of the operating system's randomness.
pub fn new_secret() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("pm_{}", hex::encode(bytes))
}

/// Stores the hash of `secret`, so that it is accepted from now on; an existing token with that hash stays as it is.
pub async fn ensure_token(
    conn: &mut PgConnection,
    secret: &str,
    subject: &str,
    roles: &[Role],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let roles: Vec<String> = roles.iter().map(|role| auth::role_name(*role).to_owned()).collect();
    let hash = auth::hash(secret);
    sqlx::query!(
        "INSERT INTO platform.tokens (id, hash, subject, roles, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (hash) DO NOTHING",
        Uuid::now_v7(),
        hash.as_slice(),
        subject,
        &roles,
        now,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Issue a token; its secret is shown in this answer only.
#[utoipa::path(post, path = "/access/tokens", tag = "access", request_body = CreateToken,
    responses((status = 201, body = IssuedToken), (status = "4XX", body = api_types::problem::Problem)))]
async fn create_token(
    State(state): State<AccessState>,
    caller: Admin,
    Json(request): Json<CreateToken>,
) -> ApiResult<impl IntoResponse> {
    if request.subject.is_empty() || request.subject.len() > 200 || has_hidden(&request.subject) {
        return Err(ApiError::invalid(
            "/subject",
            "must be 1 to 200 characters without control or bidirectional characters",
        ));
    }
    if request.roles.is_empty() {
        return Err(ApiError::invalid("/roles", "must name at least one role"));
    }
    if !(1..=365).contains(&request.expires_in_days) {
        return Err(ApiError::invalid("/expires_in_days", "must be 1 to 365"));
    }
    let (now, secret, id) = (state.clock.now(), new_secret(), Uuid::now_v7());
    let expires_at = now + TimeDelta::days(i64::from(request.expires_in_days));
    let roles: Vec<String> = request.roles.iter().map(|role| auth::role_name(*role).to_owned()).collect();
    let hash = auth::hash(&secret);
    let mut tx = state.pool.begin().await?;
    sqlx::query!(
        "INSERT INTO platform.tokens (id, hash, subject, roles, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        hash.as_slice(),
        request.subject,
        &roles,
        now,
        expires_at,
    )
    .execute(&mut *tx)
    .await?;
    let record = audit::Record::new("create_token", format!("token/{id}")).after(&request);
    audit::record(&mut tx, &caller, record).await?;
    tx.commit().await?;
    let issued =
        IssuedToken { id, token: secret, subject: request.subject, roles: request.roles, expires_at };
    Ok((StatusCode::CREATED, Json(issued)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// List tokens, newest first, without their secrets.
#[utoipa::path(get, path = "/access/tokens", tag = "access", params(ListParams),
    responses((status = 200, body = Page<Token>), (status = "4XX", body = api_types::problem::Problem)))]
async fn list_tokens(
    State(state): State<AccessState>,
    _: Admin,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<Token>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let rows = sqlx::query!(
        "SELECT id, subject, roles, created_at, expires_at, revoked_at FROM platform.tokens
         WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
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
            roles: row.roles.iter().filter_map(|role| auth::role_of(role)).collect(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        })
        .collect();
    Ok(Json(page(tokens, limit, |token: &Token| token.id)))
}

/// Revoke a token; it is refused everywhere within seconds.
#[utoipa::path(delete, path = "/access/tokens/{id}", tag = "access", params(("id" = Uuid, Path, description = "token")),
    responses((status = 204), (status = "4XX", body = api_types::problem::Problem)))]
async fn revoke_token(
    State(state): State<AccessState>,
    caller: Admin,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    let mut tx = state.pool.begin().await?;
    let revoked = sqlx::query!(
        "UPDATE platform.tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1",
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

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct AuditParams {
    /// Only records of this object, such as `policy/policy-rhel9-baseline`.
    object: Option<String>,
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// Read the audit log, newest first.
#[utoipa::path(get, path = "/access/audit", tag = "access", params(AuditParams),
    responses((status = 200, body = Page<AuditRecord>), (status = "4XX", body = api_types::problem::Problem)))]
async fn list_audit(
    State(state): State<AccessState>,
    _: Admin,
    Query(params): Query<AuditParams>,
) -> ApiResult<Json<Page<AuditRecord>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<i64>()?);
    let records = sqlx::query_as!(
        AuditRecord,
        "SELECT sequence, at, service, subject, action, object, before, after, reason, request_id FROM platform.audit_log
         WHERE ($1::bigint IS NULL OR sequence < $1) AND ($2::text IS NULL OR object = $2)
         ORDER BY sequence DESC LIMIT $3",
        after,
        params.object,
        limit + 1,
    )
    .fetch_all(&state.pool)
    .await?;
    Ok(Json(page(records, limit, |record: &AuditRecord| record.sequence)))
}

/// The subject of a service's own token.
pub fn service_subject(service: &str) -> String {
    format!("service:{service}")
}

impl Caller {
    /// Whether the caller is one of the platform's services, which may act on a person's behalf.
    pub fn is_service(&self) -> bool {
        self.is(Role::Service)
    }
}
