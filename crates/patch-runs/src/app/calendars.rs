//! Freeze calendars: when nothing may be changed, and on which hosts.

use api_types::access::Outcome;
use api_types::itsm::limits;
use api_types::page::Page;
use api_types::patch::{AskFreezes, Calendar, CreateCalendar, FreezeConflict, FreezeConflicts};
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    selector::Tags,
    time::{CalendarError, Effect, Freeze, FreezeCalendar, FreezeFields, Span, Verdict},
};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
    second_person::{self, Weakening},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::freeze_prices;
use crate::{App, store};

/// A freeze is added at once; an allowance that gives more time to hosts which have another one waits for a second person.
pub async fn create_calendar(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateCalendar,
) -> ApiResult<Outcome<Calendar>> {
    let id = Uuid::now_v7();
    let freezes = freezes(&request, id)?;
    // Before the transaction: on a large fleet this takes seconds.
    let prices = freeze_prices::list_prices(app, &mut *app.pool.acquire().await?, freezes.entries()).await?;
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_calendar", key, &request).await? {
        Begun::Replay(outcome) => return Ok(outcome),
        Begun::New(ticket) => ticket,
    };
    store::calendars::lock_calendars(&mut transaction).await?;
    let write = Weakening {
        operation: "create_calendar",
        object: "calendars".to_owned(),
        weakens: load_freezes(&mut transaction).await?.weakened_by_addition(&freezes),
        body: Some(serde_json::to_value(&request)?),
        replaces: serde_json::Value::Null,
    };
    if let Some(proposal) = second_person::ask(&mut transaction, caller, app.clock.now(), write).await? {
        let outcome = Outcome::Proposed(Box::new(proposal));
        ticket.finish(&mut transaction, &outcome).await?;
        transaction.commit().await?;
        return Ok(outcome);
    }
    let mut calendar = Calendar {
        id,
        name: request.name,
        reason: request.reason,
        scope: request.scope,
        freezes: serde_json::to_value(&freezes)?,
        created_by: caller.subject.clone(),
        created_at: app.clock.now(),
        prices: Vec::new(),
    };
    store::calendars::insert_calendar(&mut transaction, &calendar).await?;
    // The limit of entries applies to all calendars together.
    load_freezes(&mut transaction).await.map_err(|error| {
        if error.status().is_client_error() {
            ApiError::new(problem_types::TOO_MANY_FREEZES, error.to_string())
        } else {
            error
        }
    })?;
    let record = audit::Record::new("create_calendar", object(id)).after(&calendar);
    audit::record(&mut transaction, caller, record).await?;
    calendar.prices = prices;
    let outcome = Outcome::Done(calendar);
    ticket.finish(&mut transaction, &outcome).await?;
    transaction.commit().await?;
    Ok(outcome)
}

fn freezes(request: &CreateCalendar, id: Uuid) -> ApiResult<FreezeCalendar> {
    let mut errors = FieldErrors::default();
    errors.require_line("/name", &request.name, 200);
    errors.require(request.reason.chars().count() <= 4000, "/reason", "must be at most 4000 characters");
    for (pointer, given) in
        [("/recurrence", request.recurrence.is_some()), ("/time_zone", request.time_zone.is_some())]
    {
        errors.require(
            request.ical.is_none() || !given,
            pointer,
            "is part of the iCalendar text; leave it out",
        );
    }
    errors.finish()?;
    let entries = match (&request.ical, request.starts, request.ends) {
        (None, Some(starts), Some(ends)) => vec![FreezeFields {
            uid: id.to_string(),
            name: request.name.clone(),
            reason: request.reason.clone(),
            effect: Effect::Deny,
            scope: request.scope.clone(),
            starts,
            ends,
            time_zone: request.time_zone.unwrap_or_default(),
            recurrence: request.recurrence.clone(),
            except: Vec::new(),
            keep_open_days: request.keep_open_days,
        }],
        (Some(text), None, None) => {
            let calendar = FreezeCalendar::from_ical(text)
                .map_err(|error| ApiError::invalid("/ical", error.to_string()))?;
            if calendar.entries().is_empty() {
                return Err(ApiError::invalid("/ical", "contains no event"));
            }
            let entries: Vec<Freeze> = calendar.into();
            entries.into_iter().map(|entry| with_defaults(entry.into(), request)).collect()
        }
        (Some(_), ..) => {
            return Err(ApiError::invalid("/ical", "contains its own times; leave out `starts` and `ends`"));
        }
        (None, None, _) => {
            return Err(ApiError::invalid("/starts", "is missing; set `starts` and `ends`, or `ical`"));
        }
        (None, _, None) => {
            return Err(ApiError::invalid("/ends", "is missing; set `starts` and `ends`, or `ical`"));
        }
    };
    let checked = entries.into_iter().map(Freeze::try_from).collect::<Result<Vec<_>, _>>();
    let invalid = |error: CalendarError| {
        let pointer = if request.ical.is_some() { "/ical" } else { pointer_of(&error) };
        ApiError::invalid(pointer, error.to_string())
    };
    FreezeCalendar::new(checked.map_err(invalid)?).map_err(invalid)
}

/// The field of a request that an entry of its own is refused for.
fn pointer_of(error: &CalendarError) -> &'static str {
    match error {
        CalendarError::EqualsInKey { .. } => "/scope",
        CalendarError::RecurrenceOutOfRange { .. }
        | CalendarError::RecurrenceEndsBeforeStart { .. }
        | CalendarError::TooManyDays { .. }
        | CalendarError::NthWithoutMonth { .. } => "/recurrence",
        CalendarError::StartIsNotSelected { .. } => "/starts",
        _ => "/ends",
    }
}

/// An event without a scope has the scope of its calendar, and one without open days those of its calendar.
fn with_defaults(mut entry: FreezeFields, request: &CreateCalendar) -> FreezeFields {
    if entry.scope.is_empty() {
        entry.scope = request.scope.clone();
    }
    if entry.keep_open_days.is_none() && entry.effect == Effect::Deny {
        entry.keep_open_days = request.keep_open_days;
    }
    entry
}

/// Oldest first.
pub(crate) async fn list_calendars(app: &App, request: &PageRequest) -> ApiResult<Page<Calendar>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let found = store::calendars::list_calendars(&mut conn, after, limit + 1).await?;
    let mut calendars = page(found, limit, |calendar| calendar.id);
    add_prices(app, &mut conn, &mut calendars.items).await?;
    Ok(calendars)
}

pub async fn get_calendar(app: &App, id: Uuid) -> ApiResult<Calendar> {
    let mut conn = app.pool.acquire().await?;
    let mut calendar = store::calendars::get_calendar(&mut conn, id).await?;
    add_prices(app, &mut conn, std::slice::from_mut(&mut calendar)).await?;
    Ok(calendar)
}

/// Adds to each calendar what its freezes cost.
async fn add_prices(app: &App, conn: &mut PgConnection, calendars: &mut [Calendar]) -> ApiResult<()> {
    let mut freezes = Vec::new();
    let mut lengths = Vec::new();
    for calendar in calendars.iter() {
        let entries: Vec<Freeze> = serde_json::from_value(calendar.freezes.clone())?;
        lengths.push(entries.len());
        freezes.extend(entries);
    }
    let mut prices = freeze_prices::list_prices(app, conn, &freezes).await?.into_iter();
    for (calendar, length) in calendars.iter_mut().zip(lengths) {
        calendar.prices = prices.by_ref().take(length).collect();
    }
    Ok(())
}

/// Waits for a second person, unless every freeze of the calendar has ended.
pub async fn delete_calendar(app: &App, caller: &Caller, id: Uuid) -> ApiResult<Outcome<()>> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let before = store::calendars::get_calendar(&mut transaction, id).await?;
    let freezes: FreezeCalendar = serde_json::from_value(before.freezes.clone())?;
    let write = Weakening {
        operation: "delete_calendar",
        object: object(id),
        weakens: freezes.weakened_by_removal(now),
        body: None,
        replaces: before.freezes.clone(),
    };
    if let Some(proposal) = second_person::ask(&mut transaction, caller, now, write).await? {
        transaction.commit().await?;
        return Ok(Outcome::Proposed(Box::new(proposal)));
    }
    store::calendars::delete_calendar(&mut transaction, id).await?;
    let record = audit::Record::new("delete_calendar", object(id)).before(&before);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(Outcome::Done(()))
}

/// One calendar as iCalendar.
pub fn ical(calendar: &Calendar, now: DateTime<Utc>) -> ApiResult<String> {
    let freezes: FreezeCalendar = serde_json::from_value(calendar.freezes.clone())?;
    Ok(freezes.to_ical(now))
}

/// All calendars as one iCalendar.
pub async fn export_ical(app: &App) -> ApiResult<String> {
    let mut conn = app.pool.acquire().await?;
    Ok(load_freezes(&mut conn).await?.to_ical(app.clock.now()))
}

/// Names of the freezes that forbid changes to a CI with these tags during the span.
pub async fn find_freeze_names(
    conn: &mut PgConnection,
    (starts, ends): (DateTime<Utc>, DateTime<Utc>),
    tags: &Tags,
) -> ApiResult<Vec<String>> {
    Ok(freeze_names(&load_freezes(conn).await?, (starts, ends), tags))
}

/// As [`find_freeze_names`], with freezes that are loaded already.
pub fn freeze_names(
    calendar: &FreezeCalendar,
    (starts, ends): (DateTime<Utc>, DateTime<Utc>),
    tags: &Tags,
) -> Vec<String> {
    match calendar.verdict_over(Span { starts, ends }, tags) {
        Verdict::Permitted => Vec::new(),
        Verdict::Frozen(freezes) => freezes.into_iter().map(|freeze| freeze.name.clone()).collect(),
        Verdict::OutsideAllowed => {
            let allowances = calendar
                .entries()
                .iter()
                .filter(|entry| entry.effect == Effect::Allow && entry.applies_to(tags));
            allowances.map(|entry| format!("outside of {}", entry.name)).collect()
        }
    }
}

/// Limit of the conflicts in one answer.
const MAX_CONFLICTS: usize = 1000;

/// The freezes of these CIs in the span, with each of their times in it.
pub async fn find_freezes(app: &App, request: &AskFreezes) -> ApiResult<FreezeConflicts> {
    if request.ci_ids.len() > limits::CIS {
        return Err(ApiError::invalid("/ci_ids", format!("must have at most {} CIs", limits::CIS)));
    }
    if request.ends <= request.starts {
        return Err(ApiError::invalid("/ends", "must be later than `starts`"));
    }
    let mut conn = app.pool.acquire().await?;
    let names: Vec<String> = request.ci_ids.iter().map(ToString::to_string).collect();
    let tags = patch_compliance::app::hosts::find_tags(&mut conn, &names).await?;
    let calendar = load_freezes(&mut conn).await?;
    let none = Tags::new();
    let mut freezes = Vec::new();
    for entry in calendar.entries().iter().filter(|entry| entry.effect == Effect::Deny) {
        let concerned = |id: &&CiId| entry.applies_to(tags.get(id.as_str()).unwrap_or(&none));
        let ci_ids: Vec<CiId> = request.ci_ids.iter().filter(concerned).cloned().collect();
        if ci_ids.is_empty() {
            continue;
        }
        let times = entry.times_in(Span { starts: request.starts, ends: request.ends });
        freezes.extend(times.take(MAX_CONFLICTS - freezes.len()).map(|time| FreezeConflict {
            name: entry.name.clone(),
            ci_ids: ci_ids.clone(),
            starts: time.starts,
            ends: time.ends,
        }));
    }
    freezes.sort_by(|one, other| (one.starts, &one.name).cmp(&(other.starts, &other.name)));
    Ok(FreezeConflicts { freezes })
}

/// The freezes of all calendars together.
pub async fn load_freezes(conn: &mut PgConnection) -> ApiResult<FreezeCalendar> {
    let entries = store::calendars::list_freezes(conn).await?;
    FreezeCalendar::new(entries)
        .map_err(|error| ApiError::invalid("/ical", format!("together with the other calendars: {error}")))
}

fn object(id: Uuid) -> String {
    format!("calendar/{id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_support::TestDatabase;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn freezes_apply_to_their_scope_and_time() {
        let database = TestDatabase::create().await;
        let pool = service_kit::database::connect(database.url(), "test", 4).unwrap();
        service_kit::database::migrate(&pool, patch_compliance::SCHEMA, patch_compliance::migrator())
            .await
            .unwrap();
        let freezes = json!([
            { "uid": "sale", "name": "sale", "scope": { "env": "prod" }, "starts": "2026-04-10T00:00:00Z", "ends": "2026-04-12T00:00:00Z" },
            { "uid": "nights", "name": "nights", "effect": "allow", "scope": { "tier": "db" }, "starts": "2026-04-01T20:00:00Z", "ends": "2026-04-02T04:00:00Z" }
        ]);
        sqlx::query("INSERT INTO patch.calendars VALUES (gen_random_uuid(), 'c', '', '{}', $1, 'o', now())")
            .bind(freezes)
            .execute(&pool)
            .await
            .unwrap();
        let mut conn = pool.acquire().await.unwrap();
        let mut ask = async |at: &str, (key, value): (&str, &str)| {
            let at: DateTime<Utc> = at.parse().unwrap();
            let tags = Tags::from([(key.to_owned(), value.to_owned())]);
            find_freeze_names(&mut conn, (at, at), &tags).await.unwrap()
        };
        assert_eq!(ask("2026-04-11T00:00:00Z", ("env", "prod")).await, ["sale"]);
        assert_eq!(ask("2026-04-12T00:00:00Z", ("env", "prod")).await, Vec::<String>::new());
        assert_eq!(ask("2026-04-11T00:00:00Z", ("env", "dev")).await, Vec::<String>::new());
        assert_eq!(ask("2026-04-01T12:00:00Z", ("tier", "db")).await, ["outside of nights"]);
        assert_eq!(ask("2026-04-01T21:00:00Z", ("tier", "db")).await, Vec::<String>::new());
    }
}
