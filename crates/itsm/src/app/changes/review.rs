//! The review of an emergency change: it was begun on one word, so somebody looks at it afterwards.

use api_types::itsm::{Change, ReviewChange};
use domain::{change::ChangeKind, ids::ChangeId};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    idempotency::{self, Begun},
};

use super::{Preconditions, approval, no_change, object};
use crate::{
    app::{App, checks},
    store::changes,
};

/// Records what a review found. Not by who asked for the change, sent it, edited it or approved it.
pub async fn review_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &ReviewChange,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    let mut errors = FieldErrors::default();
    checks::required_prose(&mut errors, "/notes", &request.notes, checks::TEXT);
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let begun =
        idempotency::begin(&mut tx, caller, "review_change", &preconditions.key, &(id, request)).await?;
    let ticket = match begun {
        Begun::Replay(change) => return Ok(change),
        Begun::New(ticket) => ticket,
    };
    let before = changes::lock_change(&mut tx, id).await?.ok_or_else(|| no_change(id))?;
    preconditions.if_match.check(before.version)?;
    let illegal = |why: &str| ApiError::conflict("illegal-transition", format!("cannot review {id}: {why}"));
    if before.kind != ChangeKind::Emergency {
        return Err(illegal("only emergency changes are reviewed afterwards"));
    }
    if before.review_due_at.is_none() {
        return Err(illegal("its work has not ended"));
    }
    if before.reviewed_at.is_some() {
        return Err(illegal("it was reviewed already"));
    }
    approval::may_decide(&before, caller)?;
    if approval::live(&before).any(|approval| approval.approver == caller.subject) {
        return Err(ApiError::forbidden(format!(
            "`{}` approved change {id} and cannot review it; ask another approver",
            caller.subject
        )));
    }
    let now = app.clock.now();
    let mut change = before.clone();
    change.reviewed_by = Some(caller.subject.clone());
    change.reviewed_at = Some(now);
    change.review_notes = Some(request.notes.clone());
    change.version += 1;
    change.updated_at = now;
    changes::update_change(&mut tx, &change).await?;
    let record = audit::Record::new("review_change", object(id)).before(&before).after(&change);
    audit::record(&mut tx, caller, record.reason(Some(&request.notes))).await?;
    ticket.finish(&mut tx, &change).await?;
    tx.commit().await?;
    tracing::info!(change.id = %id, subject = caller.subject, "change {id} was reviewed");
    Ok(change)
}
