//! Releases: registered, changed, their checklists, and sign-offs.

use std::collections::BTreeSet;

use api_types::{
    page::Page,
    patch::{CreateRelease, Release, SignOff, TickItem, TickState, UpdateRelease},
};
use domain::{
    release::{Checklist, ItemState, Version, check_version},
    text::has_hidden,
};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit, clock,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use sqlx::PgConnection;

use super::lines::known_versions;
use crate::{
    App,
    store::{customers as customer_store, releases as store},
};

const MAX_NOTES_CHARS: usize = 20_000;
const MAX_ARTEFACT_BYTES: usize = 1000;
const MAX_ISSUES: usize = 200;
const MAX_ISSUE_CHARS: usize = 200;

/// Highest version first.
pub(crate) async fn list_releases(app: &App, request: &PageRequest) -> ApiResult<Page<Release>> {
    let (limit, below) = (request.limit()?, request.after::<Version>()?);
    let mut conn = app.pool.acquire().await?;
    let mut found = store::list_releases(&mut conn, below, limit + 1).await?;
    let policies = customer_store::get_release_policies(&mut conn).await?.policies;
    for release in &mut found {
        release.checklist.require_tests(policies.has_checks());
    }
    Ok(page(found, limit, |release| release.version))
}

pub(crate) async fn get_release(app: &App, version: Version) -> ApiResult<Release> {
    let mut conn = app.pool.acquire().await?;
    load_release(&mut conn, version).await
}

/// A release with the checklist that applies now: it depends on the configured checks, which may have changed since.
pub(super) async fn load_release(conn: &mut PgConnection, version: Version) -> ApiResult<Release> {
    let mut release = store::get_release(&mut *conn, version).await?;
    let policies = customer_store::get_release_policies(conn).await?.policies;
    release.checklist.require_tests(policies.has_checks());
    Ok(release)
}

pub(crate) async fn create_release(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: CreateRelease,
) -> ApiResult<Release> {
    check_texts(Some(&request.notes), request.artefact.as_deref(), request.rollback_artefact.as_deref())?;
    check_issues(&request.resolves)?;
    let now = app.clock.now();
    if request.identified_at.is_some_and(|at| at > now + clock::TOLERANCE) {
        return Err(ApiError::invalid("/identified_at", "must not be in the future"));
    }
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_release", key, &request).await? {
        Begun::Replay(release) => return Ok(release),
        Begun::New(ticket) => ticket,
    };
    let known = known_versions(&mut transaction).await?;
    let base =
        request.base_version.unwrap_or_else(|| default_base(request.version, &known, request.allow_gap));
    check_version(request.version, base, &known, request.allow_gap)
        .map_err(|error| ApiError::invalid("/version", error.to_string()))?;
    let policies = customer_store::get_release_policies(&mut transaction).await?.policies;
    let policy = policies.of(request.kind);
    let mut checklist = Checklist::of(&policy.checklist);
    checklist.require_tests(policies.has_checks());
    let release = Release {
        version: request.version,
        kind: request.kind,
        urgency: request.urgency.unwrap_or(policy.urgency),
        base_version: base,
        notes: request.notes,
        artefact: request.artefact,
        rollback_artefact: request.rollback_artefact,
        checklist,
        resolves: request.resolves,
        identified_at: request.identified_at.map_or(now, |at| at.min(now)),
        revision: 1,
        created_at: now,
        created_by: caller.subject.clone(),
    };
    if !store::insert_release(&mut transaction, &release).await? {
        let reason = format!("release `{}` already exists; a version cannot be used twice", release.version);
        return Err(ApiError::new(problem_types::RELEASE_EXISTS, reason));
    }
    let record = audit::Record::new("create_release", object(release.version)).after(&release);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &release).await?;
    transaction.commit().await?;
    Ok(release)
}

/// The previous patch version; if a gap is allowed, the highest known version below.
fn default_base(version: Version, known: &BTreeSet<Version>, allow_gap: bool) -> Version {
    let base = version.default_base();
    let below = known.iter().rev().find(|known| known.same_line(version) && **known < version);
    match below.filter(|_| allow_gap && !known.contains(&base)) {
        Some(below) => *below,
        None => base,
    }
}

fn check_texts(
    notes: Option<&str>,
    artefact: Option<&str>,
    rollback_artefact: Option<&str>,
) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    errors.require(
        notes.is_none_or(|notes| notes.chars().count() <= MAX_NOTES_CHARS),
        "/notes",
        format!("must be at most {MAX_NOTES_CHARS} characters"),
    );
    let fits = |text: &str| (1..=MAX_ARTEFACT_BYTES).contains(&text.len()) && !has_hidden(text);
    for (pointer, text) in [("/artefact", artefact), ("/rollback_artefact", rollback_artefact)] {
        let reason = format!("must have 1 to {MAX_ARTEFACT_BYTES} printable bytes");
        errors.require(text.is_none_or(fits), pointer, reason);
    }
    errors.finish()
}

fn check_issues(issues: &[String]) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    let most = format!("must be at most {MAX_ISSUES} issues");
    errors.require(issues.len() <= MAX_ISSUES, "/resolves", most);
    for (index, issue) in issues.iter().enumerate().take(MAX_ISSUES) {
        errors.require_line(&format!("/resolves/{index}"), issue, MAX_ISSUE_CHARS);
    }
    errors.finish()
}

pub(super) fn check_reason(reason: &str) -> ApiResult<()> {
    if (10..=1000).contains(&reason.trim().chars().count()) {
        Ok(())
    } else {
        Err(ApiError::invalid("/reason", "must have 10 to 1000 characters"))
    }
}

pub(crate) async fn update_release(
    app: &App,
    caller: &Caller,
    version: Version,
    if_match: &IfMatch,
    request: UpdateRelease,
) -> ApiResult<Release> {
    check_texts(request.notes.as_deref(), request.artefact.as_deref(), request.rollback_artefact.as_deref())?;
    check_issues(request.resolves.as_deref().unwrap_or_default())?;
    change_release(app, caller, version, "update_release", |release| {
        if_match.check(release.revision)?;
        release.urgency = request.urgency.unwrap_or(release.urgency);
        release.notes = request.notes.clone().unwrap_or_else(|| release.notes.clone());
        release.artefact = request.artefact.clone().or(release.artefact.take());
        release.rollback_artefact = request.rollback_artefact.clone().or(release.rollback_artefact.take());
        release.resolves = request.resolves.clone().unwrap_or_else(|| release.resolves.clone());
        Ok(())
    })
    .await
}

/// Ticks an item of the checklist, waives it with a name and a reason, or opens it again.
pub(crate) async fn tick_item(
    app: &App,
    caller: &Caller,
    version: Version,
    item: &str,
    request: &TickItem,
) -> ApiResult<Release> {
    let (by, at) = (caller.subject.clone(), app.clock.now());
    if request.reason.chars().count() > 1000 {
        return Err(ApiError::invalid("/reason", "must be at most 1000 characters"));
    }
    let state = match request.state {
        TickState::Open => ItemState::Open,
        TickState::Done => ItemState::Done { by, at },
        TickState::Waived => ItemState::Waived { by, at, reason: request.reason.clone() },
    };
    change_release(app, caller, version, "tick_item", |release| {
        use domain::release::ChecklistError;
        release.checklist.set(item, state.clone()).map_err(|error| match error {
            ChecklistError::NoItem { .. } => {
                ApiError::not_found(format!("item `{item}`: the checklist {error}"))
            }
            ChecklistError::NoReason => ApiError::invalid("/reason", error.to_string()),
        })
    })
    .await
}

/// Changes a release and records the change as `action`.
pub(super) async fn change_release(
    app: &App,
    caller: &Caller,
    version: Version,
    action: &str,
    change: impl Fn(&mut Release) -> ApiResult<()>,
) -> ApiResult<Release> {
    let mut transaction = app.pool.begin().await?;
    store::lock_release(&mut transaction, version).await?;
    let before = load_release(&mut transaction, version).await?;
    let mut release = before.clone();
    change(&mut release)?;
    release.revision = store::update_release(&mut transaction, &release).await?;
    let record = audit::Record::new(action, object(version)).before(&before).after(&release);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(release)
}

/// Allows the next tier to start without enough evidence, after its time limit.
pub(crate) async fn sign_off_release(
    app: &App,
    caller: &Caller,
    version: Version,
    request: &SignOff,
) -> ApiResult<Release> {
    check_reason(&request.reason)?;
    let mut transaction = app.pool.begin().await?;
    store::lock_release(&mut transaction, version).await?;
    let release = load_release(&mut transaction, version).await?;
    store::insert_signoff(&mut transaction, version, &caller.subject, &request.reason, app.clock.now())
        .await?;
    let record = audit::Record::new("sign_off_release", object(version)).after(request);
    audit::record(&mut transaction, caller, record.reason(Some(&request.reason))).await?;
    transaction.commit().await?;
    Ok(release)
}

pub(super) fn object(version: Version) -> String {
    format!("release/{version}")
}
