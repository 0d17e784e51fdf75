//! Exceptions: a fix that is not required until a date. The SLA clock keeps running.

use api_types::{
    access::Outcome,
    page::Page,
    patch::{CreateException, Exception},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::CiId;
use service_kit::{
    ApiResult, Caller, FieldErrors, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    second_person::{self, Weakening},
};
use uuid::Uuid;

use super::package_set_matching;
use crate::{App, SERVICE, store};

/// Maximum duration of an exception.
const MAX_DURATION: TimeDelta = TimeDelta::days(366);
/// Maximum exceptions that one round of housekeeping ends.
const BATCH: i64 = 100;

/// An exception for every host waits for a second person.
pub(crate) async fn create_exception(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateException,
) -> ApiResult<Outcome<Exception>> {
    let now = app.clock.now();
    check(&request, now)?;
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_exception", key, &request).await?
    {
        Begun::Replay(outcome) => return Ok(outcome),
        Begun::New(ticket) => ticket,
    };
    let write = Weakening {
        operation: "create_exception",
        object: "exceptions".to_owned(),
        weakens: weakens(&request),
        body: Some(serde_json::to_value(&request)?),
        replaces: serde_json::Value::Null,
    };
    if let Some(proposal) = second_person::ask(&mut transaction, caller, now, write).await? {
        let outcome = Outcome::Proposed(Box::new(proposal));
        ticket.finish(&mut transaction, &outcome).await?;
        transaction.commit().await?;
        return Ok(outcome);
    }
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
    let outcome = Outcome::Done(exception);
    ticket.finish(&mut transaction, &outcome).await?;
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(outcome)
}

/// An exception of one host is the decision of who owns it; one without a host hides the fix of the whole fleet.
fn weakens(request: &CreateException) -> Vec<String> {
    if request.ci_id.is_some() {
        return Vec::new();
    }
    let what = match (&request.advisory_id, &request.package) {
        (Some(advisory), Some(package)) => format!("`{advisory}` in `{package}`"),
        (Some(one), None) | (None, Some(one)) => format!("`{one}`"),
        (None, None) => "everything".to_owned(),
    };
    let until = request.expires_at.format("%Y-%m-%d");
    vec![format!("no host needs the fixes of {what} until {until}")]
}

fn check(request: &CreateException, now: DateTime<Utc>) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    for (pointer, text, most) in [
        ("/owner", Some(&request.owner), 200),
        ("/reason", Some(&request.reason), 2000),
        ("/advisory_id", request.advisory_id.as_ref(), 100),
        ("/package", request.package.as_ref(), 300),
        ("/compensating_control", request.compensating_control.as_ref(), 2000),
    ] {
        let is_valid = text.is_none_or(|text| (1..=most).contains(&text.trim().chars().count()));
        errors.require(is_valid, pointer, format!("must have 1 to {most} characters"));
    }
    errors.require(
        request.advisory_id.is_some() || request.package.is_some(),
        "/advisory_id",
        "or `package` is required: an exception cannot cover everything",
    );
    errors.require(request.expires_at > now, "/expires_at", "must be in the future");
    errors.require(request.expires_at <= now + MAX_DURATION, "/expires_at", "must be at most a year ahead");
    errors.finish()
}

/// Newest first.
pub(crate) async fn list_exceptions(
    app: &App,
    ci_id: Option<&CiId>,
    active: Option<bool>,
    request: &PageRequest,
) -> ApiResult<Page<Exception>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let (ci_id, now) = (ci_id.map(CiId::as_str), app.clock.now());
    let found = store::exceptions::list_exceptions(&mut conn, ci_id, active, now, after, limit + 1).await?;
    Ok(page(found, limit, |exception| exception.id))
}

pub(crate) async fn get_exception(app: &App, id: Uuid) -> ApiResult<Exception> {
    let mut conn = app.pool.acquire().await?;
    store::exceptions::get_exception(&mut conn, id, app.clock.now()).await
}

/// Ends an exception. One that has ended stays as it is.
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

/// Ends expired exceptions: the fixes they covered are required again.
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
