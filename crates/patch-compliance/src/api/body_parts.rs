//! Bodies that are read in parts, because they may be too large for memory.

use axum::body::{BodyDataStream, Bytes};
use futures::StreamExt;
use service_kit::{ApiError, ApiResult};

/// The next part of a body; `None` at its end.
pub(super) async fn next_part(parts: &mut BodyDataStream) -> ApiResult<Option<Bytes>> {
    let part = parts.next().await.transpose();
    part.map_err(|error| {
        ApiError::malformed("the body could not be read to its end: it broke off, came too slowly, or its compression is damaged")
            .with_source(error)
    })
}
