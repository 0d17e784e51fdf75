//! What is left of a body that was refused before it had been read.
//!
//! A server that answers and closes while the client still sends makes the client see a broken connection instead of the
//! answer. So the rest is read and thrown away, within bounds, before the refusal is sent.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::header,
};
use futures::{StreamExt, stream};
use tokio::sync::Mutex;

/// Smaller bodies lie in the server's buffer already.
const SMALL_BODY: u64 = 64 * 1024;
/// Beyond these the client is cut off after all.
const MOST_BYTES: usize = 96 << 20;
const MOST_TIME: Duration = Duration::from_secs(5);

/// The body of a request, kept to be read to its end.
pub(crate) struct Unread(Option<Arc<Mutex<BodyDataStream>>>);

impl Unread {
    /// Keeps a hold on the body of a request that may be large; others go on as they are.
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

    /// Reads what is left; `false` when the client still had more to say and is to be cut off.
    pub(crate) async fn drain(self) -> bool {
        let Some(kept) = self.0 else { return true };
        let drained = tokio::time::timeout(MOST_TIME, async {
            let mut body = kept.lock().await;
            let mut bytes = 0;
            while let Some(Ok(piece)) = body.next().await {
                bytes += piece.len();
                if bytes > MOST_BYTES {
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
