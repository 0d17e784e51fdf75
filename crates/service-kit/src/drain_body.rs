//! Reads the rest of a request body that was refused before it was read.
//!
//! If a server answers and closes the connection while the client is still sending, the client sees a broken connection
//! instead of the answer. The rest is therefore read and discarded, within limits, before the refusal is sent.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::header,
};
use futures::{StreamExt, stream};
use tokio::sync::Mutex;

/// Smaller bodies are in the server's buffer already.
const SMALL_BODY: u64 = 64 * 1024;
/// Beyond these limits the connection is closed anyway.
const MAX_BYTES: usize = 96 << 20;
const MAX_TIME: Duration = Duration::from_secs(5);

/// A handle to the body of a request, with which the rest can be read later.
pub(crate) struct DrainBody(Option<Arc<Mutex<BodyDataStream>>>);

impl DrainBody {
    /// Keeps a handle to a body that may be large. Other requests pass unchanged.
    pub(crate) fn keep(request: Request) -> (Request, Self) {
        if !has_large_body(&request) {
            return (request, Self(None));
        }
        let (parts, body) = request.into_parts();
        let kept = Arc::new(Mutex::new(body.into_data_stream()));
        let pieces = stream::unfold(kept.clone(), |body| async move {
            let piece = body.lock().await.next().await?;
            Some((piece, body))
        });
        (Request::from_parts(parts, Body::from_stream(pieces)), Self(Some(kept)))
    }

    /// Reads the rest; `false` if there is more and the connection must be closed.
    pub(crate) async fn drain(self) -> bool {
        let Some(kept) = self.0 else { return true };
        let drained = tokio::time::timeout(MAX_TIME, async {
            let mut body = kept.lock().await;
            let mut bytes = 0;
            while let Some(Ok(piece)) = body.next().await {
                bytes += piece.len();
                if bytes > MAX_BYTES {
                    return false;
                }
            }
            true
        });
        drained.await.unwrap_or(false)
    }
}

fn has_large_body(request: &Request) -> bool {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) => length > SMALL_BODY,
        None => request.headers().contains_key(header::TRANSFER_ENCODING),
    }
}
