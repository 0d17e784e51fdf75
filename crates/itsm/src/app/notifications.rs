//! The outbox seen from outside: queued, read, sent again.

use api_types::{
    itsm::{Channel, CreateNotification, Notification},
    page::Page,
};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
};
use uuid::Uuid;

use super::{App, Made, checks};
use crate::store::notifications::{self, NotificationFilter};

/// Characters of a body.
const BODY: usize = 100_000;

/// Queues a notification; the same dedupe key gets the one that is queued already, whatever else it says.
pub async fn create_notification(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateNotification,
) -> ApiResult<Made<Notification>> {
    check_new(app, &request)?;
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "create_notification", key, &request).await? {
        Begun::Replay(made) => return Ok(made),
        Begun::New(ticket) => ticket,
    };
    let made = match notifications::insert_notification(&mut tx, &request, None, app.clock.now()).await? {
        Some(notification) => {
            let record =
                audit::Record::new("create_notification", object(notification.id)).after(&notification);
            audit::record(&mut tx, caller, record).await?;
            Made::New(notification)
        }
        None => {
            let dedupe_key = request.dedupe_key.as_deref().unwrap_or_default();
            let existing = notifications::find_notification_by_dedupe_key(&mut tx, dedupe_key).await?;
            Made::Existing(existing.ok_or_else(|| {
                ApiError::internal("a notification refused for its dedupe key is not there")
            })?)
        }
    };
    ticket.finish(&mut tx, &made).await?;
    tx.commit().await?;
    Ok(made)
}

fn check_new(app: &App, request: &CreateNotification) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    match request.channel {
        Channel::Email => checks::email(&mut errors, "/recipient", &request.recipient),
        Channel::Webhook => {
            if let Err(refusal) = app.receivers.check(&request.recipient) {
                errors.add("/recipient", refusal.to_string());
            }
        }
    }
    errors.require_line("/subject", &request.subject, checks::NAME);
    checks::prose(&mut errors, "/body", &request.body, BODY);
    checks::optional_line(&mut errors, "/dedupe_key", request.dedupe_key.as_deref(), checks::NAME);
    errors.finish()
}

pub async fn get_notification(app: &App, id: Uuid) -> ApiResult<Notification> {
    let mut connection = app.pool.acquire().await?;
    notifications::find_notification(&mut connection, id).await?.ok_or_else(|| no_notification(id))
}

pub async fn list_notifications(
    app: &App,
    filter: NotificationFilter,
    request: PageRequest,
) -> ApiResult<Page<Notification>> {
    let (limit, before) = (request.limit()?, request.after::<Uuid>()?);
    let mut connection = app.pool.acquire().await?;
    let notifications =
        notifications::list_notifications(&mut connection, &filter, limit + 1, before).await?;
    Ok(page(notifications, limit, |one| one.id))
}

/// Delivers a notification anew, whether it failed, waits for its next attempt, or was delivered.
pub async fn resend_notification(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    id: Uuid,
) -> ApiResult<Notification> {
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "resend_notification", key, &id).await? {
        Begun::Replay(notification) => return Ok(notification),
        Begun::New(ticket) => ticket,
    };
    let before = notifications::find_notification(&mut tx, id).await?;
    let notification =
        notifications::restart_notification(&mut tx, id).await?.ok_or_else(|| no_notification(id))?;
    let record = audit::Record::new("resend_notification", object(id)).before(&before).after(&notification);
    audit::record(&mut tx, caller, record).await?;
    ticket.finish(&mut tx, &notification).await?;
    tx.commit().await?;
    Ok(notification)
}

fn no_notification(id: Uuid) -> ApiError {
    ApiError::not_found(format!("notification `{id}`"))
}

fn object(id: Uuid) -> String {
    format!("notification/{id}")
}
