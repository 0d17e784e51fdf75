//! `/access`: tokens, people, what waits for a second person, and the audit log, served by every service over the shared
//! schema `platform`.

mod agents;
mod audit;
mod oidc;
mod oidc_store;
mod people;
pub(crate) mod proposals;
mod sessions;
mod sign_in;
mod store;
mod tokens;
mod webhooks;

use api_types::access::Role;
use axum::{Router, routing::get};
use chrono::{DateTime, Utc};
use rand::RngCore;
use sqlx::{PgConnection, PgPool};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    audit_export::AuditExports,
    auth::{self, Caller},
    clock::Clock,
    oidc::Oidc,
    webhooks::WebhookKey,
};

#[derive(Clone)]
pub(crate) struct AccessState {
    pub pool: PgPool,
    pub clock: Clock,
    pub webhook_key: WebhookKey,
    pub exports: AuditExports,
    pub oidc: Oidc,
    pub service: &'static str,
    /// The service's own routes, which carry out the requests of confirmed proposals.
    pub routes: Router,
}

pub(crate) fn routes() -> OpenApiRouter<AccessState> {
    OpenApiRouter::new()
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(agents::rotate_token))
        .routes(routes!(people::list_people))
        .routes(routes!(people::put_person, people::delete_person))
        .routes(routes!(people::list_approvers))
        .routes(routes!(proposals::list_proposals))
        .routes(routes!(proposals::confirm_proposal))
        .routes(routes!(proposals::reject_proposal))
        .routes(routes!(audit::list_audit))
        .routes(routes!(audit::check_audit))
        .routes(routes!(audit::list_audit_hashes))
        .routes(routes!(audit::list_audit_exports))
        .routes(routes!(webhooks::list_webhooks, webhooks::create_webhook))
        .routes(routes!(webhooks::delete_webhook))
        .routes(routes!(webhooks::rotate_webhook))
        .routes(routes!(sessions::get_me))
        .routes(routes!(sessions::start_session, sessions::end_session))
        .routes(routes!(oidc::get_sign_in_ways))
        .routes(routes!(oidc::exchange_id_token))
        .routes(routes!(oidc::sign_out))
        // Pages: a browser goes there, no program.
        .route("/access/oidc/login", get(oidc::login))
        .route("/access/oidc/callback", get(oidc::callback))
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
