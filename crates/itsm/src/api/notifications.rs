//! `/itsm/notifications`: the outbox.

use api_types::{
    itsm::{CreateNotification, Notification},
    page::Page,
    problem::Problem,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::text::without_secrets;
use service_kit::{
    ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, extract::Created, page::PageRequest,
};
use uuid::Uuid;

use crate::{
    app::{Made, notifications},
    state::App,
    store::notifications::NotificationFilter,
};

/// List notifications with their delivery, newest first.
#[utoipa::path(get, path = "/itsm/notifications", tag = "notifications", params(NotificationFilter, PageRequest),
    responses((status = 200, body = Page<Notification>), (status = "4XX", body = Problem)))]
pub async fn list_notifications(
    State(app): State<App>,
    caller: Viewer,
    Query(filter): Query<NotificationFilter>,
    page: PageRequest,
) -> ApiResult<Json<Page<Notification>>> {
    let mut page = notifications::list_notifications(&app, filter, page).await?;
    page.items.iter_mut().for_each(|notification| hide_secrets(&caller, notification));
    Ok(Json(page))
}

/// Queue an e-mail or a webhook; 200 with the existing one if its `dedupe_key` is known. Delivery is at least once:
/// receivers recognise a duplicate by the notification's id. Webhooks are CloudEvents, signed as the Standard Webhooks specification
/// says, with the secret of the receiver that is registered at this address for this customer.
#[utoipa::path(post, path = "/itsm/notifications", tag = "notifications", request_body = CreateNotification,
    responses((status = 201, body = Notification), (status = 200, body = Notification), (status = "4XX", body = Problem)))]
pub async fn create_notification(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateNotification>,
) -> ApiResult<Response> {
    Ok(match notifications::create_notification(&app, &caller, &key, request).await? {
        Made::New(notification) => {
            Created(format!("/itsm/notifications/{}", notification.id), Json(notification)).into_response()
        }
        Made::Existing(notification) => Json(notification).into_response(),
    })
}

/// Read a notification with its delivery.
#[utoipa::path(get, path = "/itsm/notifications/{id}", tag = "notifications",
    params(("id" = Uuid, Path, description = "notification")),
    responses((status = 200, body = Notification), (status = "4XX", body = Problem)))]
pub async fn get_notification(
    State(app): State<App>,
    caller: Viewer,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<Notification>> {
    let mut notification = notifications::get_notification(&app, id).await?;
    hide_secrets(&caller, &mut notification);
    Ok(Json(notification))
}

/// The address of a webhook may contain a token, which readers must not see.
fn hide_secrets(caller: &Viewer, notification: &mut Notification) {
    if caller.only_reads() {
        let hidden = without_secrets(&notification.recipient).into_owned();
        // Who sends one message to many often makes the key from the recipient.
        if let Some(key) = &mut notification.dedupe_key {
            *key = key.replace(&notification.recipient, &hidden);
        }
        notification.recipient = hidden;
    }
}

/// Deliver a notification again, whether it failed, waits for its next attempt or was delivered.
#[utoipa::path(post, path = "/itsm/notifications/{id}/resend", tag = "notifications",
    params(("id" = Uuid, Path, description = "notification")),
    responses((status = 200, body = Notification), (status = "4XX", body = Problem)))]
pub async fn resend_notification(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
) -> ApiResult<Json<Notification>> {
    notifications::resend_notification(&app, &caller, &key, id).await.map(Json)
}
