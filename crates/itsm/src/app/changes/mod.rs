//! Change requests: opened, read, edited. `verbs` moves them from state to state.

mod approval;
mod links;
mod mail;
mod review;
mod summary;
mod verbs;

use api_types::{
    itsm::{Change, Conflict, Conflicts, CreateChange, UpdateChange},
    page::Page,
    patch::{AskFreezes, FreezeConflict},
};
use domain::{change::ChangeKind, ids::ChangeId};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit,
    duties::{self, Part},
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use sqlx::PgConnection;

use super::{checks, templates};
use crate::{
    state::App,
    store::{
        approvals,
        changes::{self, ChangeFilter, Opening},
    },
};

pub use links::LinkSigner;
pub use mail::with_link;
pub use review::review_change;
pub use verbs::{
    Call, approve_change, cancel_change, complete_change, decide_by_link, execute_change, fail_change,
    read_by_link, reject_change, submit_change,
};

/// Maximum number of addresses of one approval request.
const APPROVER_EMAILS: usize = 20;
/// Maximum number of subjects who wrote what a change is for.
const EDITORS: usize = 10_000;

pub async fn create_change(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    mut request: CreateChange,
) -> ApiResult<Change> {
    check_new(&mut request)?;
    if let (ChangeKind::Standard, Some(name)) = (request.kind, &request.template)
        && templates::find_template(&mut *app.pool.acquire().await?, name).await?.is_none()
    {
        return Err(ApiError::invalid("/template", "is not in the catalogue; see /itsm/templates"));
    }
    if request.requested_by.is_some() && !caller.is_service() {
        return Err(ApiError::forbidden(
            "`requested_by` is for services that act on somebody's behalf; omit it to open a change in your own name",
        ));
    }
    if (!request.editors.is_empty() || request.preapproved_by.is_some()) && !caller.is_service() {
        return Err(ApiError::forbidden(
            "`editors` and `preapproved_by` are for services that know who wrote and approved a plan; omit them",
        ));
    }
    let mut tx = app.pool.begin().await?;
    if !caller.is_service() {
        refuse_wrong_approvers(&mut tx, caller, &request.approver_emails).await?;
    }
    let ticket = match idempotency::begin(&mut tx, caller, "create_change", key, &request).await? {
        Begun::Replay(change) => return Ok(change),
        Begun::New(ticket) => ticket,
    };
    let requested_by = request.requested_by.as_deref().unwrap_or(&caller.subject);
    let opening = Opening { requested_by, opened_by: &caller.subject, now: app.clock.now() };
    let change = changes::insert_change(&mut tx, &request, opening).await?;
    audit::record(&mut tx, caller, audit::Record::new("create_change", object(&change.id)).after(&change))
        .await?;
    ticket.finish(&mut tx, &change).await?;
    tx.commit().await?;
    tracing::info!(change.id = %change.id, subject = caller.subject, "change {} opened", change.id);
    Ok(change)
}

/// An own change is sent only to people who may approve it. A service is not refused: its run must not fail because somebody has left
/// since the policy was written.
async fn refuse_wrong_approvers(
    conn: &mut PgConnection,
    requester: &Caller,
    addresses: &[String],
) -> ApiResult<()> {
    let parts = [Part::new("requested", &requester.subject)];
    let wrong = duties::wrong_addresses(conn, addresses, parts).await?;
    let wrong = wrong.into_iter().map(|(index, reason)| (format!("/approver_emails/{index}"), reason));
    wrong.collect::<FieldErrors>().finish()
}

fn check_new(request: &mut CreateChange) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    errors.require_line("/short_description", &request.short_description, checks::LINE);
    for (pointer, text) in [
        ("/description", &request.description),
        ("/implementation_plan", &request.implementation_plan),
        ("/backout_plan", &request.backout_plan),
        ("/test_plan", &request.test_plan),
    ] {
        checks::prose(&mut errors, pointer, text, checks::TEXT);
    }
    checks::optional_line(&mut errors, "/requested_by", request.requested_by.as_deref(), checks::NAME);
    errors.require(
        request.editors.len() <= EDITORS,
        "/editors",
        format!("must have at most {EDITORS} subjects"),
    );
    for (index, editor) in request.editors.iter().enumerate().take(EDITORS) {
        errors.require_line(&format!("/editors/{index}"), editor, checks::NAME);
    }
    checks::optional_line(
        &mut errors,
        "/assignment_group",
        request.assignment_group.as_deref(),
        checks::NAME,
    );
    checks::ci_ids(&mut errors, "/ci_ids", &mut request.ci_ids, 1);
    checks::plan_hash(&mut errors, "/plan_hash", request.plan_hash.as_deref());
    checks::span(&mut errors, &mut request.start_at, &mut request.end_at);
    checks::evidence(&mut errors, "/evidence", &request.evidence);
    match (request.kind, request.template.as_deref()) {
        (ChangeKind::Standard, None) => {
            errors.add("/template", "must be the template that approves this standard change");
        }
        (ChangeKind::Normal | ChangeKind::Emergency, Some(_)) => {
            errors.add("/template", "is only for standard changes");
        }
        _ => {}
    }
    if request.approver_emails.len() > APPROVER_EMAILS {
        errors.add("/approver_emails", format!("must have at most {APPROVER_EMAILS} addresses"));
    }
    for (index, address) in request.approver_emails.iter().enumerate().take(APPROVER_EMAILS) {
        checks::email(&mut errors, &format!("/approver_emails/{index}"), address);
    }
    errors.finish()
}

pub async fn get_change(app: &App, id: &ChangeId) -> ApiResult<Change> {
    let mut conn = app.pool.acquire().await?;
    changes::find_change(&mut conn, id).await?.ok_or_else(|| no_change(id))
}

pub async fn list_changes(app: &App, filter: ChangeFilter, request: PageRequest) -> ApiResult<Page<Change>> {
    let (limit, before) = (request.limit()?, request.after::<i64>()?);
    let mut conn = app.pool.acquire().await?;
    let changes = changes::list_changes(&mut conn, &filter, limit + 1, before).await?;
    Ok(page(changes, limit, |one| one.number).map(|one| one.item))
}

pub async fn list_conflicts(app: &App, id: &ChangeId) -> ApiResult<Conflicts> {
    let mut conn = app.pool.acquire().await?;
    let change = changes::find_change(&mut conn, id).await?.ok_or_else(|| no_change(id))?;
    let mut conflicts = changes::list_conflicts(&mut conn, &change).await?;
    drop(conn);
    conflicts.extend(freezes(app, &change).await?);
    Ok(Conflicts { change_id: change.id, conflicts })
}

/// The freezes that overlap a change. If they cannot be read, the request fails: the list must be complete.
async fn freezes(app: &App, change: &Change) -> ApiResult<Vec<Conflict>> {
    let Some(calendars) = &app.calendars else { return Ok(Vec::new()) };
    let request = AskFreezes { ci_ids: change.ci_ids.clone(), starts: change.start_at, ends: change.end_at };
    let found = calendars.find_freezes(&request).await.map_err(|error| {
        ApiError::new(problem_types::DEPENDENCY_UNAVAILABLE, "the freezes cannot be read; try again")
            .with_source(error)
    })?;
    let conflict = |freeze: FreezeConflict| Conflict {
        kind: "freeze".to_owned(),
        with: freeze.name,
        state: None,
        ci_ids: freeze.ci_ids,
        start_at: freeze.starts,
        end_at: freeze.ends,
    };
    Ok(found.freezes.into_iter().map(conflict).collect())
}

/// Edits a change whose work has not begun. An edit of what the approvers read voids their approval, and they are
/// asked again.
pub async fn update_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    if_match: &IfMatch,
    request: UpdateChange,
) -> ApiResult<Change> {
    let mut tx = app.pool.begin().await?;
    let before = changes::lock_change(&mut tx, id).await?.ok_or_else(|| no_change(id))?;
    if_match.check(before.version)?;
    if !before.state.is_editable() {
        return Err(ApiError::new(
            problem_types::ILLEGAL_TRANSITION,
            format!("cannot edit a change that is {}", before.state),
        ));
    }
    let mut change = before.clone();
    apply(&mut change, request);
    check_edited(&mut change)?;
    if change == before {
        return Ok(before);
    }
    let now = app.clock.now();
    let is_other_work = !approval::is_same_work(&before, &change);
    if is_other_work {
        approval::void(&mut change, now);
        approvals::void_approvals(&mut tx, id, now).await?;
        crate::store::links::void_links(&mut tx, id, now).await?;
        if !change.edited_by.contains(&caller.subject) {
            change.edited_by.push(caller.subject.clone());
        }
    }
    change.version += 1;
    change.updated_at = now;
    changes::update_change(&mut tx, &change).await?;
    if is_other_work {
        mail::request_approval(app, &mut tx, caller, &change).await?;
    }
    let record = audit::Record::new("update_change", object(id)).before(&before).after(&change);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    tracing::info!(change.id = %id, subject = caller.subject, "change {id} edited");
    Ok(change)
}

fn apply(change: &mut Change, request: UpdateChange) {
    fn set<T>(field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
        }
    }
    set(&mut change.short_description, request.short_description);
    set(&mut change.description, request.description);
    set(&mut change.risk, request.risk);
    set(&mut change.assignment_group, request.assignment_group.map(Some));
    set(&mut change.ci_ids, request.ci_ids);
    set(&mut change.plan_hash, request.plan_hash.map(Some));
    set(&mut change.start_at, request.start_at);
    set(&mut change.end_at, request.end_at);
    set(&mut change.implementation_plan, request.implementation_plan);
    set(&mut change.backout_plan, request.backout_plan);
    set(&mut change.test_plan, request.test_plan);
}

fn check_edited(change: &mut Change) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    errors.require_line("/short_description", &change.short_description, checks::LINE);
    for (pointer, text) in [
        ("/description", &change.description),
        ("/implementation_plan", &change.implementation_plan),
        ("/backout_plan", &change.backout_plan),
        ("/test_plan", &change.test_plan),
    ] {
        checks::prose(&mut errors, pointer, text, checks::TEXT);
    }
    checks::optional_line(&mut errors, "/assignment_group", change.assignment_group.as_deref(), checks::NAME);
    checks::ci_ids(&mut errors, "/ci_ids", &mut change.ci_ids, 1);
    checks::plan_hash(&mut errors, "/plan_hash", change.plan_hash.as_deref());
    checks::span(&mut errors, &mut change.start_at, &mut change.end_at);
    errors.finish()
}

fn no_change(id: &ChangeId) -> ApiError {
    ApiError::not_found(format!("change `{id}`"))
}

/// The name of a change in the audit log.
fn object(id: &ChangeId) -> String {
    format!("change/{id}")
}
