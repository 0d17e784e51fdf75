//! `/itsm/notifications`: the outbox.

use api_types::{
    itsm::{Channel, CreateNotification, DeliveryState, Notification},
    page::Page,
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use service_kit::{ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, page::PageRequest};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    app::{App, Made, notifications},
    store::notifications::NotificationFilter,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct NotificationParams {
    /// Only notifications in this state of delivery.
    state: Option<DeliveryState>,
    /// Only e-mails or only webhooks.
    channel: Option<Channel>,
    /// Only notifications to this address.
    recipient: Option<String>,
    /// The notification with this key.
    dedupe_key: Option<String>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List notifications with their delivery, newest first.
#[utoipa::path(get, path = "/itsm/notifications", tag = "notifications", params(NotificationParams),
    responses((status = 200, body = Page<Notification>), (status = "4XX", body = Problem)))]
pub async fn list_notifications(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<NotificationParams>,
) -> ApiResult<Json<Page<Notification>>> {
    let NotificationParams { state, channel, recipient, dedupe_key, limit, page_token } = params;
    let filter = NotificationFilter { state, channel, recipient, dedupe_key };
    notifications::list_notifications(&app, filter, PageRequest::new(limit, page_token)).await.map(Json)
}

/// Queue an e-mail or a webhook; 200 with the one there is when its `dedupe_key` is known. Delivery is at least once:
/// receivers know a repeated one by the notification's id. Webhooks are CloudEvents, signed in
/// `X-Signature: a=sha256&id=<secret id>&s=<HMAC of the body in hexadecimal>`.
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
            let place = [(header::LOCATION, format!("/itsm/notifications/{}", notification.id))];
            (StatusCode::CREATED, place, Json(notification)).into_response()
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
    _: Viewer,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<Notification>> {
    notifications::get_notification(&app, id).await.map(Json)
}

/// Deliver a notification anew, whether it failed, waits for its next attempt or was delivered.
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
