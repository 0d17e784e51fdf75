//! Bodies that are read in parts, because they may be too large for memory.

use axum::body::{BodyDataStream, Bytes};
use futures::StreamExt;
use service_kit::{ApiResult, extract};

/// The next part of a body; `None` at its end.
pub(super) async fn next_part(parts: &mut BodyDataStream) -> ApiResult<Option<Bytes>> {
    parts.next().await.transpose().map_err(extract::unread)
}
