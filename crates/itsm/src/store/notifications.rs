//! The outbox.

use std::time::Duration;

use api_types::{
    access::CiId,
    itsm::{Channel, CreateNotification, DeliveryState, Notification},
};
use chrono::{DateTime, Utc};
use leases::LeasedTable;
use serde::Deserialize;
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;
use utoipa::IntoParams;
use uuid::Uuid;

/// Deliveries that are due.
pub const DELIVERIES: LeasedTable = LeasedTable {
    table: "itsm.notifications",
    key: "id",
    claimable: "state = 'pending' AND next_attempt_at <= now()",
    order_by: "next_attempt_at",
};

/// Wakes the delivery workers.
pub const CHANNEL: &str = "itsm_notifications";

struct NotificationRow {
    id: Uuid,
    channel: String,
    recipient: String,
    subject: String,
    body: String,
    dedupe_key: Option<String>,
    customer: Option<String>,
    state: String,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
}

impl TryFrom<NotificationRow> for Notification {
    type Error = sqlx::Error;

    fn try_from(row: NotificationRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            channel: from_text(row.channel)?,
            recipient: row.recipient,
            subject: row.subject,
            body: row.body,
            dedupe_key: row.dedupe_key,
            customer: row
                .customer
                .map(CiId::try_from)
                .transpose()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            state: from_text(row.state)?,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_error: row.last_error,
            created_at: row.created_at,
            delivered_at: row.delivered_at,
        })
    }
}

fn notification_of(row: Option<NotificationRow>) -> sqlx::Result<Option<Notification>> {
    row.map(Notification::try_from).transpose()
}

/// Inserts a delivery that is due at once; `None` if one has the same dedupe key.
pub async fn insert_notification(
    conn: &mut PgConnection,
    request: &CreateNotification,
    approval_link: Option<Uuid>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Notification>> {
    let row = sqlx::query_as!(
        NotificationRow,
        "INSERT INTO itsm.notifications (id, channel, recipient, subject, body, dedupe_key, next_attempt_at, created_at,
             approval_link, customer)
         VALUES ($1, $2, $3, $4, $5, $6, now(), $7, $8, $9) ON CONFLICT (dedupe_key) DO NOTHING
         RETURNING id, channel, recipient, subject, body, dedupe_key, customer, state, attempts, next_attempt_at, last_error,
             created_at, delivered_at",
        Uuid::now_v7(),
        to_text(&request.channel)?,
        request.recipient,
        request.subject,
        request.body,
        request.dedupe_key,
        now,
        approval_link,
        request.customer.as_ref().map(CiId::as_str),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if row.is_some() {
        leases::notify(conn, CHANNEL, "").await?;
    }
    notification_of(row)
}

pub async fn find_notification(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Notification>> {
    let row = sqlx::query_as!(
        NotificationRow,
        "SELECT id, channel, recipient, subject, body, dedupe_key, customer, state, attempts, next_attempt_at, last_error,
             created_at, delivered_at
         FROM itsm.notifications WHERE id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    notification_of(row)
}

pub async fn find_notification_by_dedupe_key(
    conn: &mut PgConnection,
    dedupe_key: &str,
) -> sqlx::Result<Option<Notification>> {
    let row = sqlx::query_as!(
        NotificationRow,
        "SELECT id, channel, recipient, subject, body, dedupe_key, customer, state, attempts, next_attempt_at, last_error,
             created_at, delivered_at
         FROM itsm.notifications WHERE dedupe_key = $1",
        dedupe_key
    )
    .fetch_optional(conn)
    .await?;
    notification_of(row)
}

/// Which deliveries to list; every condition given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NotificationFilter {
    /// Only notifications in this state of delivery.
    pub state: Option<DeliveryState>,
    /// Only e-mails or only webhooks.
    pub channel: Option<Channel>,
    /// Only notifications to this address.
    pub recipient: Option<String>,
    /// The notification with this key.
    pub dedupe_key: Option<String>,
}

/// Newest first, from below the id `before`.
pub async fn list_notifications(
    conn: &mut PgConnection,
    filter: &NotificationFilter,
    limit: i64,
    before: Option<Uuid>,
) -> sqlx::Result<Vec<Notification>> {
    let rows = sqlx::query_as!(
        NotificationRow,
        "SELECT id, channel, recipient, subject, body, dedupe_key, customer, state, attempts, next_attempt_at, last_error,
             created_at, delivered_at
         FROM itsm.notifications
         WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR channel = $3)
           AND ($4::text IS NULL OR recipient = $4) AND ($5::text IS NULL OR dedupe_key = $5)
         ORDER BY id DESC LIMIT $6",
        before,
        filter.state.as_ref().map(to_text).transpose()?,
        filter.channel.as_ref().map(to_text).transpose()?,
        filter.recipient,
        filter.dedupe_key,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Notification::try_from).collect()
}

/// Makes a delivery due now, with all its attempts left.
pub async fn restart_notification(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Notification>> {
    let row = sqlx::query_as!(
        NotificationRow,
        "UPDATE itsm.notifications SET state = 'pending', attempts = 0, next_attempt_at = now(), delivered_at = NULL
         WHERE id = $1
         RETURNING id, channel, recipient, subject, body, dedupe_key, customer, state, attempts, next_attempt_at, last_error,
             created_at, delivered_at",
        id
    )
    .fetch_optional(&mut *conn)
    .await?;
    leases::notify(conn, CHANNEL, "").await?;
    notification_of(row)
}

/// Counts an attempt before it starts, so that one that kills its process is counted, too.
pub async fn begin_attempt(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Notification> {
    sqlx::query_as!(
        NotificationRow,
        "UPDATE itsm.notifications SET attempts = attempts + 1 WHERE id = $1
         RETURNING id, channel, recipient, subject, body, dedupe_key, customer, state, attempts, next_attempt_at, last_error,
             created_at, delivered_at",
        id
    )
    .fetch_one(conn)
    .await?
    .try_into()
}

pub async fn record_delivered(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE itsm.notifications SET state = 'delivered', next_attempt_at = NULL, last_error = NULL, delivered_at = $2
         WHERE id = $1",
        id,
        now,
    )
    .execute(conn)
    .await
    .map(drop)
}

pub async fn record_retry(
    conn: &mut PgConnection,
    id: Uuid,
    error: &str,
    wait: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE itsm.notifications
         SET last_error = $2, next_attempt_at = clock_timestamp() + make_interval(secs => $3) WHERE id = $1",
        id,
        error,
        wait.as_secs_f64(),
    )
    .execute(conn)
    .await
    .map(drop)
}

pub async fn record_failed(conn: &mut PgConnection, id: Uuid, error: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE itsm.notifications SET state = 'failed', next_attempt_at = NULL, last_error = $2 WHERE id = $1",
        id,
        error,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// The one-time link of an e-mail, if it has one.
pub async fn find_approval_link(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Uuid>> {
    let link = sqlx::query_scalar!("SELECT approval_link FROM itsm.notifications WHERE id = $1", id)
        .fetch_optional(conn)
        .await?;
    Ok(link.flatten())
}
