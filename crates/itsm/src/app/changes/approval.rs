//! Who may decide on a change, and what an approval covers: pure rules.

use api_types::{
    access::Role,
    itsm::{Approval, Change, Decision},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::change::{ChangeState, ChangeVerb};
use service_kit::{
    ApiError, ApiResult, Caller, clock,
    duties::{self, Decider, Part},
    problem_types,
};

/// What people did to a change. An editor may be the author of the policy that a run follows.
pub fn parts(change: &Change) -> impl Iterator<Item = Part<'_>> + Clone {
    let named = [Part::new("requested", &change.requested_by), Part::new("opened", &change.opened_by)];
    named.into_iter().chain(change.edited_by.iter().map(|editor| Part::new("edited", editor)))
}

/// Whether somebody may decide on a change, with a token or by a link.
pub fn may_decide(change: &Change, decider: &Decider) -> ApiResult<()> {
    duties::may_decide(decider, &format!("change {}", change.id), parts(change))
}

/// What is weaker if this person closes the change: its work, and what its record says of it, belong to who requested or opened
/// it. An editor is not an owner, since anybody may edit.
pub fn weakened_by_closing(change: &Change, closer: &Decider, verb: ChangeVerb) -> Vec<String> {
    if closer.is(&change.requested_by) || closer.is(&change.opened_by) {
        return Vec::new();
    }
    let (id, owner) = (&change.id, &change.requested_by);
    let said = match verb {
        ChangeVerb::Cancel => "its work cannot begin",
        ChangeVerb::Fail => "its record says that the work failed",
        _ => "its record says that the work succeeded",
    };
    vec![format!("change {id} of `{owner}` is closed: {said}")]
}

/// The caller's decision on the present change.
pub fn decision(
    change: &Change,
    approver: &str,
    decision: Decision,
    comment: &str,
    now: DateTime<Utc>,
) -> Approval {
    Approval {
        approver: approver.to_owned(),
        decision,
        comment: comment.to_owned(),
        plan_hash: change.plan_hash.clone(),
        ci_ids: change.ci_ids.clone(),
        start_at: change.start_at,
        end_at: change.end_at,
        decided_at: now,
        voided_at: None,
    }
}

/// The approvals that are valid for the present change. Edits void approvals; hash, CIs and span are also compared, so
/// that the work waits even if a defect let an edit through.
pub fn live(change: &Change) -> impl Iterator<Item = &Approval> {
    change.approvals.iter().filter(|approval| {
        approval.decision == Decision::Approved
            && approval.voided_at.is_none()
            && approval.plan_hash == change.plan_hash
            && approval.ci_ids == change.ci_ids
            && (approval.start_at, approval.end_at) == (change.start_at, change.end_at)
    })
}

/// Whether the approval of one covers the other: only the assignment group may differ.
pub fn is_same_work(one: &Change, other: &Change) -> bool {
    let other = Change { assignment_group: one.assignment_group.clone(), ..other.clone() };
    *one == other
}

/// Voids the decisions in the change that is returned.
pub fn void(change: &mut Change, now: DateTime<Utc>) {
    for approval in change.approvals.iter_mut().filter(|approval| approval.voided_at.is_none()) {
        approval.voided_at = Some(now);
    }
    change.state = change.state.after_edit(change.kind);
}

/// Whether work may begin on the change with the plan that is about to run. A service begins when the span opens by its own
/// clock, which may be ahead of this one.
pub fn may_execute(
    change: &Change,
    plan_hash: Option<&str>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    debug_assert_eq!(change.state, ChangeState::Approved);
    match (change.plan_hash.as_deref(), plan_hash) {
        (Some(_), None) => {
            return Err(ApiError::invalid(
                "/plan_hash",
                "must be the hash of the plan to run: this change is bound to one",
            ));
        }
        (approved, given) if approved != given => {
            return Err(ApiError::new(
                problem_types::APPROVAL_VOID,
                format!("change {} was approved for another plan; open a change for this one", change.id),
            ));
        }
        _ => {}
    }
    if live(change).next().is_none() {
        return Err(ApiError::new(
            problem_types::APPROVAL_VOID,
            format!("change {} has no approval for its present plan, CIs and span", change.id),
        ));
    }
    let ahead = if caller.is(Role::Service) { clock::TOLERANCE } else { TimeDelta::zero() };
    if (change.start_at - ahead..change.end_at).contains(&now) {
        Ok(())
    } else {
        Err(outside_window(change, "executed", now))
    }
}

pub fn outside_window(change: &Change, done: &str, now: DateTime<Utc>) -> ApiError {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    ApiError::new(
        problem_types::OUTSIDE_WINDOW,
        format!(
            "change {} can be {done} from {} to {}, and it is {}; move its span to do it at another time",
            change.id,
            time(change.start_at),
            time(change.end_at),
            time(now)
        ),
    )
}
