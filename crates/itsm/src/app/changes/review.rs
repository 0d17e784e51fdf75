//! The review of an emergency change, after its end.

use api_types::itsm::{Change, ReviewChange};
use domain::change::ChangeKind;
use service_kit::{
    ApiError, ApiResult, FieldErrors, audit,
    duties::{self, Decider, Part},
    idempotency::{self, Begun},
    problem_types,
};

use super::{Call, approval, no_change, object};
use crate::{app::checks, store::changes};

/// Records what a review found. A caller that requested, opened, edited or approved the change may not review it.
pub async fn review_change(call: &Call, request: &ReviewChange) -> ApiResult<Change> {
    let Call { app, caller, id, if_match, key } = call;
    let mut errors = FieldErrors::default();
    checks::required_prose(&mut errors, "/notes", &request.notes, checks::TEXT);
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "review_change", key, &(id, request)).await? {
        Begun::Replay(change) => return Ok(change),
        Begun::New(ticket) => ticket,
    };
    let before = changes::lock_change(&mut tx, id).await?.ok_or_else(|| no_change(id))?;
    if_match.check(before.version)?;
    let illegal =
        |why: &str| ApiError::new(problem_types::ILLEGAL_TRANSITION, format!("cannot review {id}: {why}"));
    if before.kind != ChangeKind::Emergency {
        return Err(illegal("only emergency changes are reviewed afterwards"));
    }
    if before.review_due_at.is_none() {
        return Err(illegal("its work has not ended"));
    }
    if before.reviewed_at.is_some() {
        return Err(illegal("it was already reviewed"));
    }
    let decider = Decider::of_caller(&mut tx, caller).await?;
    let approvals = approval::live(&before).map(|approval| Part::new("approved", &approval.approver));
    let parts = approval::parts(&before).chain(approvals);
    if let Err(refused) = duties::may_decide(&decider, &format!("change {id}"), parts) {
        tx.rollback().await?;
        duties::record_refusal(&app.pool, caller, "review_change", object(id), &refused).await?;
        return Err(refused);
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
