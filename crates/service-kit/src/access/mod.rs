//! `/access`: tokens, people, what waits for a second person, and the audit log, served by every service over the shared
//! schema `platform`.

mod people;
mod proposals;
mod sessions;
mod store;
mod tokens;

use api_types::{
    access::{AuditRecord, Role},
    page::Page,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use rand::RngCore;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::{self, Admin, Caller},
    clock::Clock,
    error::ApiResult,
    extract::{Json, Query},
    page::{PageRequest, page},
};

#[derive(Clone)]
pub(crate) struct AccessState {
    pub pool: PgPool,
    pub clock: Clock,
}

pub(crate) fn routes() -> OpenApiRouter<AccessState> {
    OpenApiRouter::new()
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(people::list_people))
        .routes(routes!(people::put_person, people::delete_person))
        .routes(routes!(people::list_approvers))
        .routes(routes!(proposals::list_proposals))
        .routes(routes!(proposals::confirm_proposal))
        .routes(routes!(proposals::reject_proposal))
        .routes(routes!(sessions::get_me))
        .routes(routes!(sessions::start_session, sessions::end_session))
        .routes(routes!(list_audit))
}

/// A fresh token: 256 bits of the operating system's randomness.
pub fn new_secret() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("pm_{}", hex::encode(bytes))
}

/// Stores the hash of `secret`, so that it is accepted from now on; an existing token with that hash stays as it is. This is
/// for secrets from files: a caller of the API gets tokens by `POST /access/tokens`, which asks a second person for an approver.
pub async fn ensure_token(
    conn: &mut PgConnection,
    secret: &str,
    subject: &str,
    roles: &[Role],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let roles = auth::role_names(roles);
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
