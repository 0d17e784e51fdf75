//! `Idempotency-Key`: the same key and body return the same answer, however often they are sent.
//!
//! The key is claimed and its answer stored in the transaction that does the work: a crash undoes both or neither. A
//! second request with the same key waits for the first one's commit.

use api_types::problem_types;
use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{
    auth::Caller,
    error::{ApiError, ApiResult},
};

/// The header, if it was sent: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, Default)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Self(Some(key.to_owned())))
            }
            _ => Err(ApiError::malformed(
                "the header Idempotency-Key must be 1 to 255 visible ASCII characters",
            )),
        }
    }
}

/// Whether the work under a key is new.
#[derive(Debug)]
pub enum Begun<T> {
    /// Do the work, then [`Ticket::finish`].
    New(Ticket),
    /// It was done, with this answer.
    Replay(T),
}

/// The claim on a key.
#[derive(Debug)]
pub struct Ticket(Option<(String, String, &'static str, String)>);

/// Claims `key` for `operation` in the caller's transaction. Without a key the work is always new.
pub async fn begin<T: DeserializeOwned>(
    conn: &mut PgConnection,
    caller: &Caller,
    operation: &'static str,
    key: &IdempotencyKey,
    request: &impl Serialize,
) -> ApiResult<Begun<T>> {
    let Some(key) = &key.0 else { return Ok(Begun::New(Ticket(None))) };
    let body_hash = Sha256::digest(serde_json::to_vec(request)?).to_vec();
    let claimed = sqlx::query!(
        "INSERT INTO platform.idempotency_keys (service, subject, operation, key, body_hash)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        caller.service,
        caller.subject,
        operation,
        key,
        body_hash,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if claimed == 1 {
        return Ok(Begun::New(Ticket(Some((
            caller.service.to_owned(),
            caller.subject.clone(),
            operation,
            key.clone(),
        )))));
    }
    let stored = sqlx::query!(
        "SELECT body_hash, response FROM platform.idempotency_keys
         WHERE service = $1 AND subject = $2 AND operation = $3 AND key = $4",
        caller.service,
        caller.subject,
        operation,
        key,
    )
    .fetch_one(conn)
    .await?;
    if stored.body_hash != body_hash {
        return Err(ApiError::invalid(
            "Idempotency-Key",
            "was already used with another body; use a new key for a new request",
        ));
    }
    let response = stored.response.ok_or_else(|| {
        ApiError::new(problem_types::IN_FLIGHT, "the first request with this key is still in progress")
    })?;
    Ok(Begun::Replay(serde_json::from_value(response)?))
}

impl Ticket {
    /// Stores the answer under the key, in the same transaction.
    pub async fn finish(self, conn: &mut PgConnection, response: &impl Serialize) -> ApiResult<()> {
        let Some((service, subject, operation, key)) = self.0 else { return Ok(()) };
        sqlx::query!(
            "UPDATE platform.idempotency_keys SET response = $5
             WHERE service = $1 AND subject = $2 AND operation = $3 AND key = $4",
            service,
            subject,
            operation,
            key,
            serde_json::to_value(response)?,
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}
