//! SQL of receivers, their secrets and their messages.

use api_types::{
    access::CiId,
    webhooks::{WebhookReceiver, WebhookSecret},
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Old messages that one callback removes.
const MOST_REMOVED: i64 = 1000;

/// Where messages go.
pub struct NewReceiver<'a> {
    pub url: &'a str,
    pub customer: Option<&'a str>,
    pub by: &'a str,
}

/// `None` if there is one for this address and customer.
pub async fn insert_receiver(
    conn: &mut PgConnection,
    new: &NewReceiver<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "INSERT INTO platform.webhook_receivers (id, url, customer, created_at, created_by) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (url, customer) DO NOTHING RETURNING id",
        Uuid::now_v7(),
        new.url,
        new.customer.unwrap_or_default(),
        now,
        new.by,
    )
    .fetch_optional(conn)
    .await
}

pub async fn find_receiver_id(
    conn: &mut PgConnection,
    url: &str,
    customer: Option<&str>,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM platform.webhook_receivers WHERE url = $1 AND customer = $2",
        url,
        customer.unwrap_or_default(),
    )
    .fetch_optional(conn)
    .await
}

/// Other writes of the receiver wait until the transaction ends. `false` if there is none.
pub async fn lock_receiver(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!("SELECT id FROM platform.webhook_receivers WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

struct ReceiverRow {
    id: Uuid,
    url: String,
    customer: String,
    created_at: DateTime<Utc>,
    created_by: String,
}

impl ReceiverRow {
    fn with_secrets(self, secrets: &[SecretRow]) -> sqlx::Result<WebhookReceiver> {
        let customer = match self.customer.as_str() {
            "" => None,
            slug => Some(CiId::new(slug).map_err(|error| sqlx::Error::Decode(Box::new(error)))?),
        };
        let own = secrets.iter().filter(|secret| secret.receiver_id == self.id);
        let secret = |row: &SecretRow| WebhookSecret {
            id: row.id,
            created_at: row.created_at,
            expires_at: row.expires_at,
        };
        Ok(WebhookReceiver {
            id: self.id,
            url: self.url,
            customer,
            created_at: self.created_at,
            created_by: self.created_by,
            secrets: own.map(secret).collect(),
        })
    }
}

struct SecretRow {
    id: Uuid,
    receiver_id: Uuid,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

/// In the order of their registration, from after the receiver `after`.
pub async fn list_receivers(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<WebhookReceiver>> {
    let rows = sqlx::query_as!(
        ReceiverRow,
        "SELECT id, url, customer, created_at, created_by FROM platform.webhook_receivers
         WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let secrets = list_secrets(conn, &ids, now).await?;
    rows.into_iter().map(|row| row.with_secrets(&secrets)).collect()
}

pub async fn find_receiver(
    conn: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<WebhookReceiver>> {
    let row = sqlx::query_as!(
        ReceiverRow,
        "SELECT id, url, customer, created_at, created_by FROM platform.webhook_receivers WHERE id = $1",
        id,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let secrets = list_secrets(conn, &[id], now).await?;
    row.with_secrets(&secrets).map(Some)
}

/// The secrets that are valid, newest first.
async fn list_secrets(
    conn: &mut PgConnection,
    receivers: &[Uuid],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SecretRow>> {
    sqlx::query_as!(
        SecretRow,
        "SELECT id, receiver_id, created_at, expires_at FROM platform.webhook_secrets
         WHERE receiver_id = ANY($1) AND (expires_at IS NULL OR expires_at > $2) ORDER BY id DESC",
        receivers,
        now,
    )
    .fetch_all(conn)
    .await
}

/// The ids of the secrets of a receiver that are valid, newest first.
pub async fn list_secret_ids(
    conn: &mut PgConnection,
    receiver: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Uuid>> {
    Ok(list_secrets(conn, &[receiver], now).await?.into_iter().map(|secret| secret.id).collect())
}

/// Adds a secret. The one before it stays valid until `old_ends_at`; an older one ends.
pub async fn insert_secret(
    conn: &mut PgConnection,
    receiver: Uuid,
    now: DateTime<Utc>,
    old_ends_at: DateTime<Utc>,
) -> sqlx::Result<Uuid> {
    sqlx::query!(
        "DELETE FROM platform.webhook_secrets WHERE receiver_id = $1 AND expires_at IS NOT NULL",
        receiver
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE platform.webhook_secrets SET expires_at = $2 WHERE receiver_id = $1",
        receiver,
        old_ends_at
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        "INSERT INTO platform.webhook_secrets (id, receiver_id, created_at) VALUES ($1, $2, $3) RETURNING id",
        Uuid::now_v7(),
        receiver,
        now,
    )
    .fetch_one(conn)
    .await
}

/// With its secrets and messages. `false` if there is none.
pub async fn delete_receiver(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let deleted =
        sqlx::query!("DELETE FROM platform.webhook_receivers WHERE id = $1", id).execute(conn).await?;
    Ok(deleted.rows_affected() == 1)
}

/// Notes the id of a message; `false` if it was noted before.
pub async fn insert_message(
    conn: &mut PgConnection,
    receiver: Uuid,
    message: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO platform.webhook_messages (receiver_id, message_id, received_at) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
        receiver,
        message,
        now,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Removes messages from before a time, some of them if there are many.
pub async fn delete_messages(conn: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM platform.webhook_messages WHERE (receiver_id, message_id) IN (
             SELECT receiver_id, message_id FROM platform.webhook_messages WHERE received_at < $1
             ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        before,
        MOST_REMOVED,
    )
    .execute(conn)
    .await
    .map(drop)
}
