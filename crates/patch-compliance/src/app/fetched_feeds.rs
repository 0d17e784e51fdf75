//! Which feeds the platform fetches itself: presets, rules, and what is late.

use std::sync::LazyLock;

use api_types::{
    page::Page,
    patch::{Feed, FeedPreset, FeedState, PutFeed},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::text::without_secrets;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    page::{PageRequest, page},
};

use crate::{
    App,
    store::{
        self,
        fetched_feeds::{FetchedFeed, Wanted},
    },
};

/// The publishers' addresses; which of them were checked against a documentation stands in docs/operations.md.
const PRESET_FILE: &str = include_str!("fetched_feeds/presets.json");
const MAX_FEEDS: i64 = 500;
const DEFAULT_MINUTES: i32 = 360;
const DEFAULT_LATE_HOURS: i32 = 48;

/// Read once. A test reads the file, so that it is never empty here.
static PRESETS: LazyLock<Vec<FeedPreset>> =
    LazyLock::new(|| serde_json::from_str(PRESET_FILE).unwrap_or_default());

pub(crate) fn presets() -> &'static [FeedPreset] {
    &PRESETS
}

/// Adds a feed, or changes it.
pub(crate) async fn put_feed(app: &App, caller: &Caller, id: &str, request: PutFeed) -> ApiResult<Feed> {
    let (url, checksum_url) = addresses(id, &request)?;
    check(app, &request, &url, checksum_url.as_deref())?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    if store::fetched_feeds::count_others(&mut transaction, id).await? >= MAX_FEEDS {
        return Err(ApiError::invalid("", format!("there are {MAX_FEEDS} feeds already; remove one")));
    }
    let before = store::fetched_feeds::find_feed(&mut transaction, id).await?;
    let wanted = Wanted {
        id,
        url: &url,
        checksum_url: checksum_url.as_deref(),
        every_minutes: request.every_minutes.unwrap_or(DEFAULT_MINUTES),
        late_after_hours: request.late_after_hours.unwrap_or(DEFAULT_LATE_HOURS),
        by: &caller.subject,
    };
    let feed = shown(store::fetched_feeds::upsert_feed(&mut transaction, &wanted, now).await?, now);
    let mut record = audit::Record::new("put_feed", object(id)).after(&feed);
    if let Some(before) = before {
        record = record.before(&shown(before, now));
    }
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(feed)
}

/// The addresses of a preset, or those of the request.
fn addresses(id: &str, request: &PutFeed) -> ApiResult<(String, Option<String>)> {
    let mut errors = FieldErrors::default();
    let is_named = (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".:_-".contains(&b));
    errors.require(is_named, "/id", "must be 1 to 64 of `a-z 0-9 . : _ -` and begin with a letter or digit");
    errors.require(
        request.preset.is_some() != request.url.is_some(),
        "/url",
        "give either the address of the feed or the name of a preset",
    );
    errors.require(
        request.preset.is_none() || request.checksum_url.is_none(),
        "/checksum_url",
        "is part of a preset; leave it out",
    );
    let within =
        |value: Option<i32>, most: i32, least: i32| value.is_none_or(|value| (least..=most).contains(&value));
    errors.require(within(request.every_minutes, 43_200, 5), "/every_minutes", "must be 5 to 43200");
    errors.require(within(request.late_after_hours, 8_760, 1), "/late_after_hours", "must be 1 to 8760");
    errors.finish()?;
    let Some(name) = &request.preset else {
        return Ok((request.url.clone().unwrap_or_default(), request.checksum_url.clone()));
    };
    match presets().iter().find(|preset| preset.name == *name) {
        Some(preset) => Ok((preset.url.clone(), preset.checksum_url.clone())),
        None => {
            let known: Vec<&str> = presets().iter().map(|preset| preset.name.as_str()).collect();
            Err(ApiError::invalid("/preset", format!("is not a preset; known are {}", known.join(", "))))
        }
    }
}

/// Addresses pass the outbound guard, as they are requested: behind a mirror only the mirror is.
fn check(app: &App, request: &PutFeed, url: &str, checksum_url: Option<&str>) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    let field = if request.preset.is_some() { "/preset" } else { "/url" };
    for (field, address) in [(field, Some(url)), ("/checksum_url", checksum_url)] {
        let Some(address) = address else { continue };
        let requested = super::feed_fetcher::mirrored(app.settings.feeds.feed_mirror.as_deref(), address);
        if let Err(refusal) = app.outbound.check(address).and_then(|_| app.outbound.check(&requested)) {
            errors.add(field, refusal.to_string());
        }
    }
    errors.finish()
}

pub(crate) async fn list_feeds(app: &App, request: &PageRequest) -> ApiResult<Page<Feed>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let rows = store::fetched_feeds::list_feeds(&mut conn, after.as_deref(), limit + 1).await?;
    let now = app.clock.now();
    let feeds = rows.into_iter().map(|row| shown(row, now)).collect();
    Ok(page(feeds, limit, |feed| feed.id.clone()))
}

pub(crate) async fn get_feed(app: &App, id: &str) -> ApiResult<Feed> {
    let mut conn = app.pool.acquire().await?;
    Ok(shown(store::fetched_feeds::get_feed(&mut conn, id).await?, app.clock.now()))
}

/// What was imported stays.
pub(crate) async fn delete_feed(app: &App, caller: &Caller, id: &str) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    let feed = shown(store::fetched_feeds::get_feed(&mut transaction, id).await?, app.clock.now());
    store::fetched_feeds::delete_feed(&mut transaction, id).await?;
    let record = audit::Record::new("delete_feed", object(id)).before(&feed);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(())
}

/// Makes a feed due now.
pub(crate) async fn fetch_feed(app: &App, caller: &Caller, id: &str) -> ApiResult<Feed> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    store::fetched_feeds::get_feed(&mut transaction, id).await?;
    store::fetched_feeds::mark_due(&mut transaction, id, now).await?;
    let feed = shown(store::fetched_feeds::get_feed(&mut transaction, id).await?, now);
    let record = audit::Record::new("fetch_feed", object(id)).after(&feed);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(feed)
}

/// Late feeds without an incident.
pub async fn list_late(app: &App) -> ApiResult<Vec<Feed>> {
    let now = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    let rows = store::fetched_feeds::list_without_incident(&mut conn, MAX_FEEDS).await?;
    let feeds = rows.into_iter().map(|row| shown(row, now));
    Ok(feeds.filter(|feed| feed.state == FeedState::Late).collect())
}

/// Keeps the incident about a late feed.
pub async fn record_incident(app: &App, id: &str, incident: &str) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    store::fetched_feeds::record_incident(&mut conn, id, incident).await
}

fn object(id: &str) -> String {
    format!("feeds/{id}")
}

fn shown(row: FetchedFeed, now: DateTime<Utc>) -> Feed {
    let is_late =
        now - row.fetched_at.unwrap_or(row.created_at) > TimeDelta::hours(i64::from(row.late_after_hours));
    let state = match (&row.problem, row.fetched_at) {
        _ if is_late => FeedState::Late,
        (Some(_), _) => FeedState::Failing,
        (None, None) => FeedState::Waiting,
        (None, Some(_)) => FeedState::Current,
    };
    let is_public = |url: &str| {
        presets().iter().any(|preset| preset.url == url || preset.checksum_url.as_deref() == Some(url))
    };
    let address = |url: String| if is_public(&url) { url } else { without_secrets(&url).into_owned() };
    Feed {
        id: row.id,
        url: address(row.url),
        checksum_url: row.checksum_url.map(address),
        every_minutes: row.every_minutes,
        late_after_hours: row.late_after_hours,
        state,
        checked_at: row.checked_at,
        fetched_at: row.fetched_at,
        next_at: row.next_at,
        failures: row.failures,
        problem: row.problem,
        import_id: row.import_id,
        incident_id: row.incident_id,
        created_by: row.created_by,
        created_at: row.created_at,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn presets_are_named_once_and_have_public_addresses() {
        let presets: Vec<FeedPreset> = serde_json::from_str(PRESET_FILE).unwrap();
        let names: BTreeSet<&str> = presets.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(names.len(), presets.len());
        let receivers = service_kit::outbound::Receivers::new(&[]).unwrap();
        for preset in &presets {
            for url in std::iter::once(&preset.url).chain(&preset.checksum_url) {
                assert!(url.starts_with("https://"), "{url}");
                receivers.check(url).unwrap();
            }
            assert!(!preset.covers.is_empty(), "{}", preset.name);
        }
    }
}
