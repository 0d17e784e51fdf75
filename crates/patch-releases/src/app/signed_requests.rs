//! Signed requests to the outside, and the check of signatures on callbacks.

use std::time::Duration;

use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use service_kit::outbound::Unresolved;
use sha2::Sha256;

use crate::App;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Later(String),
}

impl From<Unresolved> for PostError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Never(reason) => Self::Refused(reason),
            Unresolved::Later(reason) => Self::Later(reason),
        }
    }
}

/// Posts signed JSON to an external receiver. Returns the body of the answer.
pub(crate) async fn post_signed(
    app: &App,
    url: &str,
    body: &serde_json::Value,
    timeout: Duration,
) -> Result<Vec<u8>, PostError> {
    let secret = app.outside.webhook_secret.as_ref().ok_or_else(|| {
        PostError::Refused(
            "no webhook secret is configured; start with PATCH_WEBHOOK_SECRET_FILE or --webhook-secret-file"
                .to_owned(),
        )
    })?;
    let receiver = app.outside.receivers.resolve(url).await?;
    let client = receiver
        .client(CONNECT_TIMEOUT)
        .map_err(|_| PostError::Later("no HTTP client could be created".to_owned()))?;
    let body = body.to_string();
    let sent = client
        .post(receiver.url)
        .header("Content-Type", "application/json")
        .header("X-Signature", format!("a=sha256&s={}", sign(secret, body.as_bytes())))
        .timeout(timeout)
        .body(body)
        .send()
        .await;
    let answer = sent.map_err(|error| {
        // The URL may contain a secret of the receiver.
        PostError::Later(format!(
            "the receiver could not be reached: {}",
            service_kit::error::chain(&error.without_url())
        ))
    })?;
    let status = answer.status();
    if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(PostError::Refused(format!("the receiver answered {status}")));
    }
    if !status.is_success() {
        return Err(PostError::Later(format!("the receiver answered {status}")));
    }
    let mut kept = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        if kept.len() + chunk.len() > MAX_ANSWER_BYTES {
            break;
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept)
}

/// HMAC of a body in hexadecimal.
fn sign(secret: &SecretString, body: &[u8]) -> String {
    hex::encode(mac(secret, body).finalize().into_bytes())
}

/// Whether a body has a valid signature with this secret; compared in constant time.
pub(crate) fn is_signed(secret: &SecretString, body: &[u8], header: &str) -> bool {
    let Some(given) = header.split('&').find_map(|part| part.strip_prefix("s=")) else { return false };
    let Ok(given) = hex::decode(given) else { return false };
    mac(secret, body).verify_slice(&given).is_ok()
}

fn mac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length"));
    mac.update(body);
    mac
}
