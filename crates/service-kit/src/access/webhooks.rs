//! Receivers of webhooks: registered, listed, given another secret, removed.

use api_types::{
    access::CiId,
    page::Page,
    problem::Problem,
    problem_types,
    webhooks::{CreateWebhookReceiver, IssuedWebhookSecret, RotateWebhookSecret, WebhookReceiver},
};
use axum::{extract::State, http::StatusCode};
use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::AccessState;
use crate::{
    audit,
    auth::{Admin, Caller, Viewer},
    error::{ApiError, ApiResult},
    extract::{Json, Path},
    outbound,
    page::{PageRequest, page},
    webhooks::store::{self, NewReceiver},
};

/// Hours for which two secrets sign at most: a month.
const LONGEST_OVERLAP: u32 = 720;

/// List receivers of webhooks in the order of their registration, without the texts of their secrets.
#[utoipa::path(get, path = "/access/webhooks", tag = "access", params(PageRequest),
    responses((status = 200, body = Page<WebhookReceiver>), (status = "4XX", body = Problem)))]
pub(super) async fn list_webhooks(
    State(state): State<AccessState>,
    caller: Viewer,
    request: PageRequest,
) -> ApiResult<Json<Page<WebhookReceiver>>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = state.pool.acquire().await?;
    let found = store::list_receivers(&mut conn, after, limit + 1, state.clock.now()).await?;
    let mut found = page(found, limit, |receiver: &WebhookReceiver| receiver.id);
    if caller.only_reads() {
        found.items = found.items.into_iter().map(WebhookReceiver::hidden).collect();
    }
    Ok(Json(found))
}

/// Register a receiver of webhooks; its secret is shown in this answer only. Messages are signed as the Standard Webhooks
/// specification says.
#[utoipa::path(post, path = "/access/webhooks", tag = "access", request_body = CreateWebhookReceiver,
    responses((status = 201, body = IssuedWebhookSecret), (status = "4XX", body = Problem)))]
pub(super) async fn create_webhook(
    State(state): State<AccessState>,
    caller: Admin,
    Json(request): Json<CreateWebhookReceiver>,
) -> ApiResult<(StatusCode, Json<IssuedWebhookSecret>)> {
    require_key(&state)?;
    let url = outbound::parse(&request.url)
        .map_err(|refusal| ApiError::invalid("/url", format!("the address {refusal}")))?;
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    let new = NewReceiver {
        url: url.as_str(),
        customer: request.customer.as_ref().map(CiId::as_str),
        by: &caller.subject,
    };
    let id = store::insert_receiver(&mut tx, &new, now).await?.ok_or_else(|| {
        let reason =
            "a receiver with this address and customer is registered; rotate its secret, or delete it first";
        ApiError::new(problem_types::EXISTS, reason)
    })?;
    let secret = store::insert_secret(&mut tx, id, now, now).await?;
    let issued = issued(&mut tx, &state, id, secret).await?;
    record(&mut tx, &caller, "create_webhook", None, Some(&issued.receiver)).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Replace the secret of a receiver; the new one is shown in this answer only. For the stated hours, messages have a signature of
/// each, and callbacks may have either. A secret that is still in its overlap from an earlier rotation ends at once.
#[utoipa::path(post, path = "/access/webhooks/{id}/rotate", tag = "access", request_body = RotateWebhookSecret,
    params(("id" = Uuid, Path, description = "receiver")),
    responses((status = 200, body = IssuedWebhookSecret), (status = "4XX", body = Problem)))]
pub(super) async fn rotate_webhook(
    State(state): State<AccessState>,
    caller: Admin,
    Path(id): Path<Uuid>,
    Json(request): Json<RotateWebhookSecret>,
) -> ApiResult<Json<IssuedWebhookSecret>> {
    require_key(&state)?;
    if request.overlap_hours > LONGEST_OVERLAP {
        return Err(ApiError::invalid("/overlap_hours", format!("must be 0 to {LONGEST_OVERLAP}")));
    }
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    if !store::lock_receiver(&mut tx, id).await? {
        return Err(not_found(id));
    }
    let before = store::find_receiver(&mut tx, id, now).await?;
    let old_ends_at = now + TimeDelta::hours(request.overlap_hours.into());
    let secret = store::insert_secret(&mut tx, id, now, old_ends_at).await?;
    let issued = issued(&mut tx, &state, id, secret).await?;
    record(&mut tx, &caller, "rotate_webhook", before.as_ref(), Some(&issued.receiver)).await?;
    tx.commit().await?;
    Ok(Json(issued))
}

/// Remove a receiver and its secrets: messages to it fail, and its callbacks are refused.
#[utoipa::path(delete, path = "/access/webhooks/{id}", tag = "access", params(("id" = Uuid, Path, description = "receiver")),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub(super) async fn delete_webhook(
    State(state): State<AccessState>,
    caller: Admin,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    let mut tx = state.pool.begin().await?;
    let before = store::find_receiver(&mut tx, id, state.clock.now()).await?;
    if !store::delete_receiver(&mut tx, id).await? {
        return Err(not_found(id));
    }
    record(&mut tx, &caller, "delete_webhook", before.as_ref(), None).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Without a key there is no secret to show.
fn require_key(state: &AccessState) -> ApiResult<()> {
    if state.webhook_key.is_available() {
        return Ok(());
    }
    let reason = "this service has no key of webhooks; start it with --webhook-key-file or WEBHOOK_KEY_FILE";
    Err(ApiError::new(problem_types::NO_WEBHOOK_KEY, reason))
}

async fn issued(
    conn: &mut PgConnection,
    state: &AccessState,
    receiver: Uuid,
    secret: Uuid,
) -> ApiResult<IssuedWebhookSecret> {
    let receiver = store::find_receiver(conn, receiver, state.clock.now()).await?;
    let secret = state.webhook_key.secret(secret);
    match (receiver, secret) {
        (Some(receiver), Some(secret)) => Ok(IssuedWebhookSecret { receiver, secret: secret.text() }),
        _ => Err(ApiError::internal("a receiver without a secret was written")),
    }
}

/// The address may contain a secret of the receiver, which the log must not.
async fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    action: &str,
    before: Option<&WebhookReceiver>,
    after: Option<&WebhookReceiver>,
) -> ApiResult<()> {
    let Some(id) = after.or(before).map(|receiver| receiver.id) else { return Ok(()) };
    let mut record = audit::Record::new(action, format!("webhook/{id}"));
    if let Some(before) = before {
        record = record.before(&before.clone().hidden());
    }
    if let Some(after) = after {
        record = record.after(&after.clone().hidden());
    }
    audit::record(conn, caller, record).await
}

fn not_found(id: Uuid) -> ApiError {
    ApiError::not_found(format!("receiver `{id}`"))
}
