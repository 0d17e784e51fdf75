//! Configuration items: created, changed, decommissioned, never deleted.

use api_types::{
    cmdb::{Ci, CiStatus, CreateCi, HistoryEntry, UpdateCi},
    page::Page,
};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::Value;
use service_kit::{
    ApiError, ApiResult, FieldErrors,
    auth::Caller,
    extract::IfMatch,
    idempotency::{self, Begun, IdempotencyKey},
    page::{PageRequest, page},
    problem_types,
};
use sqlx::PgConnection;

use super::{
    maintenance, os_tag,
    record::{Change, decided, record_change},
    rules,
};
use crate::{
    state::App,
    store::{self, cis::CiFilter},
};

pub async fn create_ci(app: &App, caller: &Caller, key: &IdempotencyKey, request: CreateCi) -> ApiResult<Ci> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "create_ci", key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(ci) => return Ok(ci),
    };
    let reason = request.reason.clone();
    let ci = new_ci(request, now);
    let mut errors = check_ci(&ci);
    rules::check_reason(&mut errors, "/reason", reason.as_deref());
    errors.finish()?;
    if store::cis::insert_cis(&mut tx, std::slice::from_ref(&ci)).await? == 0 {
        return Err(ApiError::new(
            problem_types::EXISTS,
            format!("a CI `{}` already exists, perhaps decommissioned; change it instead", ci.id),
        ));
    }
    let mut change = Change::new("create_ci", &ci.id).why(reason.as_deref());
    change.after = decided(&ci);
    record_change(&mut tx, caller, now, change).await?;
    ticket.finish(&mut tx, &ci).await?;
    tx.commit().await?;
    Ok(ci)
}

pub async fn get_ci(app: &App, id: &CiId) -> ApiResult<Ci> {
    let mut conn = app.pool.acquire().await?;
    let ci = store::cis::find_ci(&mut conn, id).await?.ok_or_else(|| not_found(id))?;
    Ok(maintenance::as_of(ci, app.clock.now()))
}

pub async fn list_cis(app: &App, filter: CiFilter, request: PageRequest) -> ApiResult<Page<Ci>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let having = os_tag::by_release(&mut conn, &filter.tags).await?;
    let cis = store::cis::list_cis(&mut conn, &filter, &having, after.as_deref(), limit + 1).await?;
    let now = app.clock.now();
    let cis = cis.into_iter().map(|ci| maintenance::as_of(ci, now)).collect();
    Ok(page(cis, limit, |ci: &Ci| ci.id.clone()))
}

pub async fn update_ci(
    app: &App,
    caller: &Caller,
    id: &CiId,
    if_match: &IfMatch,
    request: UpdateCi,
) -> ApiResult<Ci> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let before = lock_ci(&mut tx, id, now).await?;
    if_match.check(before.version)?;
    let reason = request.reason.clone();
    let mut after = before.clone();
    change_ci(&mut after, request);
    let mut errors = check_ci(&after);
    rules::check_reason(&mut errors, "/reason", reason.as_deref());
    errors.finish()?;
    if after != before {
        if before.status != after.status {
            maintenance::refuse_while_held(&before)?;
        }
        touch(&mut after, now);
        store::cis::update_cis(&mut tx, std::slice::from_ref(&after)).await?;
        let mut change = Change::new("update_ci", id).why(reason.as_deref());
        (change.before, change.after) = (decided(&before), decided(&after));
        record_change(&mut tx, caller, now, change).await?;
    }
    tx.commit().await?;
    Ok(after)
}

/// Keeps the CI and its history but omits it from lists, graphs and inventories. Repeating it changes nothing.
pub async fn decommission_ci(
    app: &App,
    caller: &Caller,
    id: &CiId,
    if_match: &IfMatch,
    reason: Option<String>,
) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    rules::check_reason(&mut errors, "reason", reason.as_deref());
    errors.finish()?;
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let before = lock_ci(&mut tx, id, now).await?;
    if_match.check(before.version)?;
    if before.status == CiStatus::Active {
        maintenance::refuse_while_held(&before)?;
        let mut after = before.clone();
        after.status = CiStatus::Decommissioned;
        touch(&mut after, now);
        store::cis::update_cis(&mut tx, std::slice::from_ref(&after)).await?;
        let mut change = Change::new("decommission_ci", id).why(reason.as_deref());
        (change.before, change.after) = (decided(&before), decided(&after));
        record_change(&mut tx, caller, now, change).await?;
    }
    tx.commit().await?;
    Ok(())
}

pub async fn list_history(app: &App, id: &CiId, request: PageRequest) -> ApiResult<Page<HistoryEntry>> {
    let (limit, before) = (request.limit()?, request.after::<i64>()?);
    let mut conn = app.pool.acquire().await?;
    store::cis::find_ci(&mut conn, id).await?.ok_or_else(|| not_found(id))?;
    let entries = store::history::list_history(&mut conn, id, before, limit + 1).await?;
    Ok(page(entries, limit, |entry: &HistoryEntry| entry.sequence))
}

pub fn not_found(id: &CiId) -> ApiError {
    ApiError::not_found(format!("CI `{id}`"))
}

/// Locks a CI for a change. Expired maintenance is ended first and recorded.
pub async fn lock_ci(conn: &mut PgConnection, id: &CiId, now: DateTime<Utc>) -> ApiResult<Ci> {
    let ci = store::cis::lock_ci(conn, id).await?.ok_or_else(|| not_found(id))?;
    maintenance::settle_expired(conn, ci, now).await
}

/// Every change increments the version, which is the ETag.
pub fn touch(ci: &mut Ci, now: DateTime<Utc>) {
    ci.version += 1;
    ci.updated_at = now;
}

pub fn new_ci(request: CreateCi, now: DateTime<Utc>) -> Ci {
    let name = request.name.unwrap_or_else(|| request.id.to_string());
    Ci {
        id: request.id,
        ci_type: request.ci_type,
        name,
        status: CiStatus::Active,
        tags: request.tags,
        attributes: request.attributes,
        maintenance: None,
        patch_state: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

pub fn check_ci(ci: &Ci) -> FieldErrors {
    let mut errors = FieldErrors::default();
    errors.require_line("/name", &ci.name, rules::MAX_NAME);
    rules::check_tags(&mut errors, &ci.tags);
    rules::check_attributes(&mut errors, &ci.attributes);
    errors
}

/// Applies a change: absent fields stay; a tag or attribute of value `null` is removed.
pub fn change_ci(ci: &mut Ci, request: UpdateCi) {
    if let Some(name) = request.name {
        ci.name = name;
    }
    if let Some(ci_type) = request.ci_type {
        ci.ci_type = ci_type;
    }
    if let Some(status) = request.status {
        ci.status = status;
    }
    for (key, value) in request.tags {
        match value {
            Some(value) => ci.tags.insert(key, value),
            None => ci.tags.remove(&key),
        };
    }
    for (name, value) in request.attributes {
        match value {
            Value::Null => ci.attributes.remove(&name),
            value => ci.attributes.insert(name, value),
        };
    }
}
