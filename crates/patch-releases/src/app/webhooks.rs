//! Signed requests to deployers and to the checks of releases.

use std::time::Duration;

use futures::StreamExt;
use service_kit::webhooks::{Message, Unsent};

use crate::App;

const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Later(String),
}

impl From<Unsent> for PostError {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Never(reason) => Self::Refused(reason),
            Unsent::Later(reason) => Self::Later(reason),
        }
    }
}

/// Posts signed JSON to a receiver, under an id that is the same at every attempt. Returns the body of the answer.
pub(crate) async fn post(
    app: &App,
    (url, customer): (&str, Option<&str>),
    id: &str,
    body: &serde_json::Value,
    timeout: Duration,
) -> Result<Vec<u8>, PostError> {
    let content_type = "application/json";
    let message = Message { id, url, customer, content_type, body: body.to_string(), timeout };
    let answer = app.webhooks().send(message).await?;
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
