//! What receivers report back, signed like what they get.

use api_types::problem_types;
use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{TIMESTAMP_TOLERANCE, WebhookKey, store, verify};
use crate::error::{ApiError, ApiResult};

/// Ids of messages are kept for longer than a message is accepted by its timestamp, early and late.
const KEPT_FOR: TimeDelta = TimeDelta::hours(1);
const _: () = assert!(KEPT_FOR.num_seconds() > 2 * TIMESTAMP_TOLERANCE.num_seconds());

/// Accepts a message of a receiver once, in the transaction that acts on it: if that fails, the message may be sent again.
pub async fn accept_callback(
    conn: &mut PgConnection,
    key: &WebhookKey,
    receiver: Uuid,
    (headers, body): (&HeaderMap, &[u8]),
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let ids = store::list_secret_ids(conn, receiver, now).await?;
    let secrets: Vec<_> = ids.into_iter().filter_map(|id| key.secret(id)).collect();
    let id = verify(&secrets, headers, body, now)
        .map_err(|fault| ApiError::new(problem_types::BAD_SIGNATURE, fault.to_string()))?;
    if !store::insert_message(conn, receiver, id, now).await? {
        return Err(ApiError::new(
            problem_types::REPLAYED_MESSAGE,
            "the message with this `webhook-id` was accepted before",
        ));
    }
    store::delete_messages(conn, now - KEPT_FOR).await?;
    Ok(())
}
