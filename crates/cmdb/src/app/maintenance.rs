//! Maintenance: somebody's hold on a CI, for a reason and a time. It is never left on silently: reads take it for off once
//! it has expired, and the sweep writes the expiry into the history.

use api_types::{
    access::Role,
    cmdb::{Ci, CiStatus, Maintenance, SetMaintenance},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, FieldErrors, auth::Caller};
use sqlx::PgConnection;

use super::{
    App,
    cis::{lock_ci, touch},
    record::{Change, record_change},
    rules,
};
use crate::store;

/// No maintenance is planned further ahead than this.
const MAX_DAYS: i64 = 7;
const MAX_OWNER: usize = 200;

pub async fn set_maintenance(
    app: &App,
    caller: &Caller,
    id: &CiId,
    request: SetMaintenance,
) -> ApiResult<Ci> {
    let now = app.clock.now();
    check(&request, now)?;
    let mut transaction = app.pool.begin().await?;
    let ci = lock_ci(&mut transaction, id, now).await?;
    let ci = match request {
        SetMaintenance::On { owner, reason, expires_at } => {
            let since = ci.maintenance.as_ref().map_or(now, |held| held.since);
            let wanted = Maintenance { owner, reason, since, expires_at: to_micros(expires_at) };
            begin(&mut transaction, caller, ci, wanted, now).await?
        }
        SetMaintenance::Off { owner } => end(&mut transaction, caller, ci, &owner, now).await?,
    };
    transaction.commit().await?;
    Ok(ci)
}

/// The CI as it is at `now`: an expired maintenance is none.
pub fn as_of(mut ci: Ci, now: DateTime<Utc>) -> Ci {
    ci.maintenance = ci.maintenance.filter(|held| held.expires_at > now);
    ci
}

/// Ends the maintenance of a locked CI when it has expired, with an entry in its history.
pub async fn settle_expired(connection: &mut PgConnection, ci: Ci, now: DateTime<Utc>) -> ApiResult<Ci> {
    let Some(expired) = ci.maintenance.clone().filter(|held| held.expires_at <= now) else { return Ok(ci) };
    let mut after = Ci { maintenance: None, ..ci };
    touch(&mut after, now);
    store::cis::update_cis(connection, std::slice::from_ref(&after)).await?;
    let why = format!("expired at {}", expired.expires_at.to_rfc3339());
    let change = Change::new("expire_maintenance", &after.id).before(&expired).why(Some(&why));
    record_change(connection, &Caller::internal("cmdb", "service:cmdb"), now, change).await?;
    Ok(after)
}

/// A CI somebody is at work on is not taken away meanwhile.
pub fn refuse_while_held(ci: &Ci) -> ApiResult<()> {
    ci.maintenance.as_ref().map_or(Ok(()), |held| Err(held_by_another(&ci.id, held)))
}

async fn begin(
    connection: &mut PgConnection,
    caller: &Caller,
    before: Ci,
    wanted: Maintenance,
    now: DateTime<Utc>,
) -> ApiResult<Ci> {
    if before.status == CiStatus::Decommissioned {
        return Err(ApiError::conflict("decommissioned", format!("CI `{}` is decommissioned", before.id)));
    }
    if let Some(held) = &before.maintenance
        && held.owner != wanted.owner
    {
        return Err(held_by_another(&before.id, held));
    }
    if before.maintenance.as_ref() == Some(&wanted) {
        return Ok(before);
    }
    let mut after = Ci { maintenance: Some(wanted.clone()), ..before.clone() };
    touch(&mut after, now);
    store::cis::update_cis(connection, std::slice::from_ref(&after)).await?;
    let mut change = Change::new("begin_maintenance", &after.id).after(&wanted).why(Some(&wanted.reason));
    if let Some(held) = &before.maintenance {
        change = change.before(held);
    }
    record_change(connection, caller, now, change).await?;
    Ok(after)
}

async fn end(
    connection: &mut PgConnection,
    caller: &Caller,
    before: Ci,
    owner: &str,
    now: DateTime<Utc>,
) -> ApiResult<Ci> {
    let Some(held) = before.maintenance.clone() else { return Ok(before) };
    if held.owner != owner && !caller.is(Role::Admin) {
        return Err(held_by_another(&before.id, &held));
    }
    let mut after = Ci { maintenance: None, ..before };
    touch(&mut after, now);
    store::cis::update_cis(connection, std::slice::from_ref(&after)).await?;
    let why = (held.owner != owner).then(|| format!("ended by an administrator for `{owner}`"));
    let change = Change::new("end_maintenance", &after.id).before(&held).why(why.as_deref());
    record_change(connection, caller, now, change).await?;
    Ok(after)
}

fn held_by_another(id: &CiId, held: &Maintenance) -> ApiError {
    ApiError::conflict(
        "in-maintenance",
        format!(
            "CI `{id}` is in maintenance by `{}` until {}; its owner or an administrator may end it",
            held.owner,
            held.expires_at.to_rfc3339()
        ),
    )
}

fn check(request: &SetMaintenance, now: DateTime<Utc>) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    match request {
        SetMaintenance::On { owner, reason, expires_at } => {
            errors.require_line("/owner", owner, MAX_OWNER);
            errors.require_line("/reason", reason, rules::MAX_REASON);
            if *expires_at <= now || *expires_at > now + TimeDelta::days(MAX_DAYS) {
                errors.add("/expires_at", format!("must lie ahead, by at most {MAX_DAYS} days"));
            }
        }
        SetMaintenance::Off { owner } => errors.require_line("/owner", owner, MAX_OWNER),
    }
    errors.finish()
}

/// The precision that is stored, so that a time read back equals the time written.
fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
