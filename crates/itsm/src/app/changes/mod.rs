//! Change requests: opened, read, edited. What moves them from state to state is in `verbs`.

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
    idempotency::{self, Begun},
    page::{PageRequest, page},
};

use super::{App, checks, templates};
use crate::store::{
    approvals,
    changes::{self, ChangeFilter, Opening},
};

pub use links::LinkSigner;
pub use mail::with_link;
pub use review::review_change;
pub use verbs::{
    Preconditions, approve_change, cancel_change, complete_change, decide_by_link, execute_change,
    fail_change, read_by_link, reject_change, submit_change,
};

/// Addresses one approval request goes to at most.
const APPROVER_EMAILS: usize = 20;

pub async fn create_change(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    mut request: CreateChange,
) -> ApiResult<Change> {
    check_new(&mut request)?;
    if request.requested_by.is_some() && !caller.is_service() {
        return Err(ApiError::forbidden(
            "`requested_by` is for services that act on somebody's behalf; leave it out to open a change in your own name",
        ));
    }
    let mut tx = app.pool.begin().await?;
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
            errors.add("/template", "must name the template that approves this standard change");
        }
        (ChangeKind::Standard, Some(name)) if templates::find_template(name).is_none() => {
            errors.add("/template", "is not in the catalogue; /itsm/templates lists it");
        }
        (ChangeKind::Normal | ChangeKind::Emergency, Some(_)) => {
            errors.add("/template", "is for standard changes alone");
        }
        _ => {}
    }
    if request.approver_emails.len() > APPROVER_EMAILS {
        errors.add("/approver_emails", format!("must be at most {APPROVER_EMAILS} addresses"));
    }
    for (index, address) in request.approver_emails.iter().enumerate().take(APPROVER_EMAILS) {
        checks::email(&mut errors, &format!("/approver_emails/{index}"), address);
    }
    errors.finish()
}

pub async fn get_change(app: &App, id: &ChangeId) -> ApiResult<Change> {
    let mut connection = app.pool.acquire().await?;
    changes::find_change(&mut connection, id).await?.ok_or_else(|| no_change(id))
}

pub async fn list_changes(app: &App, filter: ChangeFilter, request: PageRequest) -> ApiResult<Page<Change>> {
    let (limit, before) = (request.limit()?, request.after::<i64>()?);
    let mut connection = app.pool.acquire().await?;
    let changes = changes::list_changes(&mut connection, &filter, limit + 1, before).await?;
    let numbered = page(changes, limit, |one| one.number);
    Ok(Page {
        items: numbered.items.into_iter().map(|one| one.change).collect(),
        next_page_token: numbered.next_page_token,
    })
}

pub async fn list_conflicts(app: &App, id: &ChangeId) -> ApiResult<Conflicts> {
    let mut connection = app.pool.acquire().await?;
    let change = changes::find_change(&mut connection, id).await?.ok_or_else(|| no_change(id))?;
    let mut conflicts = changes::list_conflicts(&mut connection, &change).await?;
    drop(connection);
    conflicts.extend(freezes(app, &change).await?);
    Ok(Conflicts { change_id: change.id, conflicts })
}

/// The freezes that fall on a change. The list is whole or there is none: what cannot be asked is not left out.
async fn freezes(app: &App, change: &Change) -> ApiResult<Vec<Conflict>> {
    let Some(calendars) = &app.calendars else { return Ok(Vec::new()) };
    let request = AskFreezes { ci_ids: change.ci_ids.clone(), starts: change.start_at, ends: change.end_at };
    let found = calendars.find_freezes(&request).await.map_err(|error| {
        ApiError::unavailable("dependency-unavailable", "the freezes cannot be asked for now; try again")
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

/// Edits a change whose work has not begun. An edit of what its approvers read voids their approval, and they are
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
        return Err(ApiError::conflict(
            "illegal-transition",
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
    let is_other_work = !approval::reads_the_same(&before, &change);
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
        mail::request_approval(app, &mut tx, &change).await?;
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

/// How the audit log names a change.
fn object(id: &ChangeId) -> String {
    format!("change/{id}")
}
