//! Exceptions: a fix that need not be there until a day that is named. The service-level clock runs on.

use api_types::patch::{CreateException, Exception};
use chrono::{DateTime, TimeDelta, Utc};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    idempotency::{self, Begun},
};
use uuid::Uuid;

use super::package_set_matching;
use crate::{App, SERVICE, store};

/// No exception lasts longer; whoever needs it longer says so again.
const MAX_DURATION: TimeDelta = TimeDelta::days(366);
/// Ended in one look.
const BATCH: i64 = 100;

pub(crate) async fn create_exception(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateException,
) -> ApiResult<Exception> {
    let now = app.clock.now();
    check(&request, now)?;
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_exception", key, &request).await?
    {
        Begun::Replay(exception) => return Ok(exception),
        Begun::New(ticket) => ticket,
    };
    let exception = Exception {
        id: Uuid::now_v7(),
        owner: request.owner,
        reason: request.reason,
        expires_at: request.expires_at,
        ci_id: request.ci_id,
        advisory_id: request.advisory_id,
        package: request.package,
        compensating_control: request.compensating_control,
        created_by: caller.subject.clone(),
        created_at: now,
        active: true,
    };
    store::lock_results_for_change(&mut transaction).await?;
    store::exceptions::insert_exception(&mut transaction, &exception).await?;
    store::exceptions::mark_affected_hosts(&mut transaction, exception.id).await?;
    let record = audit::Record::new("create_exception", object(exception.id)).after(&exception);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &exception).await?;
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(exception)
}

fn check(request: &CreateException, now: DateTime<Utc>) -> ApiResult<()> {
    let text =
        |pointer: &str, text: &str, most: usize| match (1..=most).contains(&text.trim().chars().count()) {
            true => Ok(()),
            false => Err(ApiError::invalid(pointer, format!("must have 1 to {most} characters"))),
        };
    text("/owner", &request.owner, 200)?;
    text("/reason", &request.reason, 2000)?;
    for (pointer, value, most) in [
        ("/advisory_id", &request.advisory_id, 100),
        ("/package", &request.package, 300),
        ("/compensating_control", &request.compensating_control, 2000),
    ] {
        value.as_deref().map_or(Ok(()), |value| text(pointer, value, most))?;
    }
    if request.advisory_id.is_none() && request.package.is_none() {
        return Err(ApiError::invalid(
            "/advisory_id",
            "or `package` must be named: nothing is excepted from everything",
        ));
    }
    if request.expires_at <= now {
        return Err(ApiError::invalid("/expires_at", "must lie in the future"));
    }
    if request.expires_at > now + MAX_DURATION {
        return Err(ApiError::invalid("/expires_at", "must lie at most a year ahead"));
    }
    Ok(())
}

pub(crate) async fn get_exception(app: &App, id: Uuid) -> ApiResult<Exception> {
    let mut conn = app.pool.acquire().await?;
    store::exceptions::get_exception(&mut conn, id, app.clock.now()).await
}

/// Takes an exception back. One that has ended stays as it is.
pub(crate) async fn delete_exception(app: &App, caller: &Caller, id: Uuid) -> ApiResult<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    store::lock_results_for_change(&mut transaction).await?;
    let before = store::exceptions::get_exception(&mut transaction, id, now).await?;
    if store::exceptions::end_exception(&mut transaction, id, now).await? {
        store::exceptions::mark_affected_hosts(&mut transaction, id).await?;
        let record = audit::Record::new("delete_exception", object(id)).before(&before);
        audit::record(&mut transaction, caller, record).await?;
    }
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(())
}

/// Ends exceptions whose time is over: what they excepted is missing again.
pub(crate) async fn end_expired(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    let expired = store::exceptions::list_expired(&mut conn, now, BATCH).await?;
    drop(conn);
    let caller = Caller::internal(SERVICE, SERVICE);
    for id in expired {
        let mut transaction = app.pool.begin().await?;
        store::lock_results_for_change(&mut transaction).await?;
        if store::exceptions::end_exception(&mut transaction, id, now).await? {
            store::exceptions::mark_affected_hosts(&mut transaction, id).await?;
            audit::record(&mut transaction, &caller, audit::Record::new("expire_exception", object(id)))
                .await?;
        }
        transaction.commit().await?;
        tracing::info!(exception.id = %id, "exception `{id}` has expired");
    }
    Ok(())
}

fn object(id: Uuid) -> String {
    format!("exception/{id}")
}
