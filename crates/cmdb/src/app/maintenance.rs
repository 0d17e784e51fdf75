//! Maintenance: a CI is reserved by an owner, for a reason and a time. It never stays on silently: reads treat it as off once
//! it has expired, and housekeeping records the expiry in the history.

use api_types::{
    access::Role,
    cmdb::{Ci, CiStatus, Maintenance, SetMaintenance},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, FieldErrors, Lifetime, auth::Caller, problem_types};
use sqlx::PgConnection;

use super::{
    cis::{lock_ci, touch},
    record::{Change, record_change},
    rules,
};
use crate::{state::App, store};

/// Maintenance ends at most this many days ahead.
const MAX_DAYS: i64 = 7;
const MAX_OWNER: usize = 200;

pub async fn set_maintenance(
    app: &App,
    caller: &Caller,
    id: &CiId,
    request: SetMaintenance,
) -> ApiResult<Ci> {
    let now = app.clock.now();
    let wanted = check(request, now)?;
    let mut tx = app.pool.begin().await?;
    let ci = lock_ci(&mut tx, id, now).await?;
    let ci = match wanted {
        Wanted::On(wanted) => {
            let since = ci.maintenance.as_ref().map_or(now, |held| held.since);
            begin(&mut tx, caller, ci, Maintenance { since, ..wanted }, now).await?
        }
        Wanted::Off { owner } => end(&mut tx, caller, ci, &owner, now).await?,
    };
    tx.commit().await?;
    Ok(ci)
}

/// The CI as of `now`: without expired maintenance.
pub fn as_of(mut ci: Ci, now: DateTime<Utc>) -> Ci {
    ci.maintenance = ci.maintenance.filter(|held| held.expires_at > now);
    ci
}

/// Ends the maintenance of a locked CI if it has expired, with an entry in its history.
pub async fn settle_expired(conn: &mut PgConnection, ci: Ci, now: DateTime<Utc>) -> ApiResult<Ci> {
    let Some(expired) = ci.maintenance.clone().filter(|held| held.expires_at <= now) else { return Ok(ci) };
    let mut after = Ci { maintenance: None, ..ci };
    touch(&mut after, now);
    store::cis::update_cis(conn, std::slice::from_ref(&after)).await?;
    let why = format!("expired at {}", expired.expires_at.to_rfc3339());
    let change = Change::new("expire_maintenance", &after.id).before(&expired).why(Some(&why));
    record_change(conn, &Caller::internal("cmdb", "service:cmdb"), now, change).await?;
    Ok(after)
}

/// A CI in maintenance cannot be decommissioned.
pub fn refuse_while_held(ci: &Ci) -> ApiResult<()> {
    ci.maintenance.as_ref().map_or(Ok(()), |held| Err(held_by_another(&ci.id, held)))
}

async fn begin(
    conn: &mut PgConnection,
    caller: &Caller,
    before: Ci,
    wanted: Maintenance,
    now: DateTime<Utc>,
) -> ApiResult<Ci> {
    if before.status == CiStatus::Decommissioned {
        return Err(ApiError::new(
            problem_types::DECOMMISSIONED,
            format!("CI `{}` is decommissioned", before.id),
        ));
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
    store::cis::update_cis(conn, std::slice::from_ref(&after)).await?;
    let mut change = Change::new("begin_maintenance", &after.id).after(&wanted).why(Some(&wanted.reason));
    if let Some(held) = &before.maintenance {
        change = change.before(held);
    }
    record_change(conn, caller, now, change).await?;
    Ok(after)
}

async fn end(
    conn: &mut PgConnection,
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
    store::cis::update_cis(conn, std::slice::from_ref(&after)).await?;
    let why = (held.owner != owner).then(|| format!("ended by an administrator for `{owner}`"));
    let change = Change::new("end_maintenance", &after.id).before(&held).why(why.as_deref());
    record_change(conn, caller, now, change).await?;
    Ok(after)
}

fn held_by_another(id: &CiId, held: &Maintenance) -> ApiError {
    ApiError::new(
        problem_types::IN_MAINTENANCE,
        format!(
            "CI `{id}` is in maintenance by `{}` until {}; its owner or an administrator may end it",
            held.owner,
            held.expires_at.to_rfc3339()
        ),
    )
}

/// A request that is complete and in its limits.
enum Wanted {
    On(Maintenance),
    Off { owner: String },
}

fn check(request: SetMaintenance, now: DateTime<Utc>) -> ApiResult<Wanted> {
    let mut errors = FieldErrors::default();
    match request {
        SetMaintenance::On { owner, reason, duration_seconds, expires_at } => {
            errors.require_line("/owner", &owner, MAX_OWNER);
            errors.require_line("/reason", &reason, rules::MAX_REASON);
            let lifetime = Lifetime { duration_seconds, expires_at };
            let end = lifetime.end(now, TimeDelta::days(MAX_DAYS), &mut errors);
            errors.finish()?;
            let expires_at = to_micros(end);
            Ok(Wanted::On(Maintenance { owner, reason, since: now, expires_at }))
        }
        SetMaintenance::Off { owner } => {
            errors.require_line("/owner", &owner, MAX_OWNER);
            errors.finish()?;
            Ok(Wanted::Off { owner })
        }
    }
}

/// The precision that is stored, so that a time read back equals the time written.
fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
