//! The verbs that move a change from state to state. Each locks the change, asks the state machine, and writes an audit
//! record with the change before and after.

use api_types::{
    access::{Outcome, Person},
    itsm::{
        Approval, Change, CloseChange, CloseCode, Decide, DecideByLink, Decision, ExecuteChange, LinkedChange,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    change::{ChangeKind, ChangeState, ChangeVerb},
    ids::ChangeId,
};
use serde::Serialize;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit,
    duties::{self, Decider},
    idempotency::{self, Begun, Ticket},
    people, problem_types,
    second_person::{self, Weakening},
};
use sqlx::{PgConnection, Postgres, Transaction};

use super::{LinkSigner, approval, links, mail, no_change, object};
use crate::{
    app::{checks, templates},
    state::App,
    store::{self, approvals, changes, links::ApprovalLink},
};

/// An emergency change must be reviewed within this time after its end.
const REVIEW_WITHIN: TimeDelta = TimeDelta::days(7);

/// Who calls a verb on which change, and under which preconditions.
pub struct Call {
    pub app: App,
    pub caller: Caller,
    pub id: ChangeId,
    pub if_match: IfMatch,
    pub key: IdempotencyKey,
}

/// Whether a verb is new or was done under the same idempotency key.
enum Start {
    New(Box<Act>),
    Replay(Box<Outcome<Change>>),
}

/// One verb on one change, in one transaction.
struct Act {
    tx: Transaction<'static, Postgres>,
    ticket: Ticket,
    verb: ChangeVerb,
    before: Change,
    change: Change,
    now: DateTime<Utc>,
}

impl Act {
    async fn begin(call: &Call, verb: ChangeVerb, request: &(impl Serialize + Sync)) -> ApiResult<Start> {
        let Call { app, caller, id, if_match, key } = call;
        let mut tx = app.pool.begin().await?;
        let begun = idempotency::begin(&mut tx, caller, operation(verb), key, &(id, request)).await?;
        let ticket = match begun {
            Begun::Replay(outcome) => return Ok(Start::Replay(Box::new(outcome))),
            Begun::New(ticket) => ticket,
        };
        let before = changes::lock_change(&mut tx, id).await?.ok_or_else(|| no_change(id))?;
        if_match.check(before.version)?;
        let (change, now) = (before.clone(), app.clock.now());
        Ok(Start::New(Box::new(Self { tx, ticket, verb, before, change, now })))
    }

    /// Refuses a caller who may not decide on the change, and records the attempt.
    async fn decided_by(mut self: Box<Self>, call: &Call) -> ApiResult<Box<Self>> {
        let decider = Decider::of_caller(&mut self.tx, &call.caller).await?;
        let Err(refused) = approval::may_decide(&self.change, &decider) else { return Ok(self) };
        self.tx.rollback().await?;
        let object = object(&self.change.id);
        duties::record_refusal(&call.app.pool, &call.caller, operation(self.verb), object, &refused).await?;
        Err(refused)
    }

    /// Moves the state, or refuses the verb.
    fn advance(&mut self) -> ApiResult<()> {
        self.change.state = self
            .change
            .state
            .after(self.verb, self.change.kind)
            .map_err(|illegal| ApiError::new(problem_types::ILLEGAL_TRANSITION, illegal.to_string()))?;
        Ok(())
    }

    async fn add_approval(&mut self, approval: Approval) -> ApiResult<()> {
        approvals::insert_approval(&mut self.tx, &self.change.id, &approval).await?;
        self.change.approvals.push(approval);
        Ok(())
    }

    /// Stores the change and completes the idempotency key.
    async fn finish(mut self, call: &Call, reason: &str) -> ApiResult<Change> {
        let Call { app, caller, .. } = call;
        let (verb, id) = (self.verb, self.change.id.clone());
        self.change.version += 1;
        self.change.updated_at = self.now;
        changes::update_change(&mut self.tx, &self.change).await?;
        if verb == ChangeVerb::Submit {
            mail::request_approval(app, &mut self.tx, caller, &self.change).await?;
        }
        let record = audit::Record::new(operation(verb), object(&id))
            .before(&self.before)
            .after(&self.change)
            .reason(Some(reason).filter(|reason| !reason.is_empty()));
        audit::record(&mut self.tx, caller, record).await?;
        self.ticket.finish(&mut self.tx, &self.change).await?;
        self.tx.commit().await?;
        tracing::info!(change.id = %id, subject = caller.subject, "change {id} is {}", self.change.state);
        Ok(self.change)
    }
}

fn operation(verb: ChangeVerb) -> &'static str {
    match verb {
        ChangeVerb::Submit => "submit_change",
        ChangeVerb::Approve => "approve_change",
        ChangeVerb::Reject => "reject_change",
        ChangeVerb::Execute => "execute_change",
        ChangeVerb::Complete => "complete_change",
        ChangeVerb::Fail => "fail_change",
        ChangeVerb::Cancel => "cancel_change",
    }
}

/// Begins an act, or returns the earlier answer from the calling function.
macro_rules! begin {
    ($call:expr, $verb:expr, $request:expr) => {
        match Act::begin($call, $verb, $request).await? {
            Start::New(act) => act,
            Start::Replay(outcome) => return done(*outcome),
        }
    };
}

/// The change after a verb that is never proposed.
fn done(outcome: Outcome<Change>) -> ApiResult<Change> {
    outcome.done().ok_or_else(|| ApiError::internal("a proposal under the key of a verb that has none"))
}

/// Submits a draft to its approvers, or to its template, which approves at once.
pub async fn submit_change(call: &Call) -> ApiResult<Change> {
    let mut act = begin!(call, ChangeVerb::Submit, &());
    act.advance()?;
    if act.change.end_at <= act.now {
        return Err(approval::outside_window(&act.change, "submitted", act.now));
    }
    if act.change.kind == ChangeKind::Standard {
        let Act { tx, change, .. } = &mut *act;
        let template = templates::approving_template(&call.app, tx, change).await?;
        let approver = format!("template:{}", template.name);
        let by = change.preapproved_by.as_ref().map(|by| format!(", approved by {by}"));
        let comment = format!("{}{}", template.description, by.unwrap_or_default());
        let by_template = approval::decision(&act.change, &approver, Decision::Approved, &comment, act.now);
        act.add_approval(by_template).await?;
    }
    act.finish(call, "").await
}

/// Approves. A second approval by the same approver changes nothing and returns the change.
pub async fn approve_change(call: &Call, request: &Decide) -> ApiResult<Change> {
    check_decision(request)?;
    let act = begin!(call, ChangeVerb::Approve, request);
    let mut act = act.decided_by(call).await?;
    names_the_plan(&act.change, request)?;
    let is_repeated = approval::live(&act.change).any(|approval| approval.approver == call.caller.subject);
    if act.change.state == ChangeState::Approved && is_repeated {
        return Ok(act.before);
    }
    act.advance()?;
    if act.change.end_at <= act.now {
        return Err(approval::outside_window(&act.change, "approved", act.now));
    }
    let decision =
        approval::decision(&act.change, &call.caller.subject, Decision::Approved, &request.comment, act.now);
    act.add_approval(decision).await?;
    act.finish(call, &request.comment).await
}

/// Rejects a change that waits, or withdraws the approval of one whose work has not begun.
pub async fn reject_change(call: &Call, request: &Decide) -> ApiResult<Change> {
    check_decision(request)?;
    let act = begin!(call, ChangeVerb::Reject, request);
    let mut act = act.decided_by(call).await?;
    names_the_plan(&act.change, request)?;
    act.advance()?;
    let decision =
        approval::decision(&act.change, &call.caller.subject, Decision::Rejected, &request.comment, act.now);
    act.add_approval(decision).await?;
    act.finish(call, &request.comment).await
}

/// What the holder of a link decides on.
pub async fn read_by_link(app: &App, id: &ChangeId, token: &str) -> ApiResult<LinkedChange> {
    let mut conn = app.pool.acquire().await?;
    let link = proven_link(app, &mut conn, id, token).await?;
    let change = changes::find_change(&mut conn, id).await?.ok_or_else(|| no_change(id))?;
    links::check_usable(&link, &change, app.clock.now())?;
    let approver = holder(&mut conn, &link).await?.subject;
    Ok(LinkedChange { change, approver, expires_at: link.expires_at })
}

/// The person for whom a link decides, as the records are now.
async fn holder(conn: &mut PgConnection, link: &ApprovalLink) -> ApiResult<Person> {
    let people = people::list_by_names(conn, std::slice::from_ref(&link.approver)).await?;
    let is_holder = |person: &Person| {
        person.emails.iter().any(|address| address.eq_ignore_ascii_case(&link.approver))
            && link.subject.as_ref().is_none_or(|subject| *subject == person.subject)
    };
    people.into_iter().find(is_holder).ok_or_else(|| {
        ApiError::forbidden(format!(
            "`{}` does not belong to the approver to whom this link was sent; decide with a token, or have the change \
             submitted again",
            link.approver
        ))
    })
}

/// Approves or rejects as the person a link was sent to, once.
pub async fn decide_by_link(app: &App, id: &ChangeId, request: &DecideByLink) -> ApiResult<Change> {
    let mut errors = FieldErrors::default();
    checks::prose(&mut errors, "/comment", &request.comment, checks::COMMENT);
    errors.finish()?;
    let mut conn = app.pool.acquire().await?;
    let link = proven_link(app, &mut conn, id, &request.token).await?;
    let person = holder(&mut conn, &link).await?;
    drop(conn);
    let caller = Caller { roles: person.roles, ..Caller::internal(crate::NAME, person.subject) };
    let verb = match request.decision {
        Decision::Approved => ChangeVerb::Approve,
        Decision::Rejected => ChangeVerb::Reject,
    };
    let call = Call {
        app: app.clone(),
        caller,
        id: id.clone(),
        if_match: IfMatch::default(),
        key: IdempotencyKey::default(),
    };
    let act = begin!(&call, verb, &());
    let mut act = act.decided_by(&call).await?;
    // Under the lock on the change: of two decisions by one link, the second one finds it used.
    let link = store::links::find_link(&mut act.tx, link.id).await?.ok_or_else(no_link)?;
    links::check_usable(&link, &act.change, act.now)?;
    act.advance()?;
    if verb == ChangeVerb::Approve && act.change.end_at <= act.now {
        return Err(approval::outside_window(&act.change, "approved", act.now));
    }
    let decision =
        approval::decision(&act.change, &call.caller.subject, request.decision, &request.comment, act.now);
    act.add_approval(decision).await?;
    store::links::use_link(&mut act.tx, link.id, act.now).await?;
    let way = format!("by the link to {}", link.approver);
    let reason = if request.comment.is_empty() { way } else { format!("{way}: {}", request.comment) };
    act.finish(&call, &reason).await
}

/// The link of a token. Every fault has the same answer. Where people sign in at an identity provider, no link decides, not even one
/// that was sent before.
async fn proven_link(
    app: &App,
    conn: &mut PgConnection,
    id: &ChangeId,
    token: &str,
) -> ApiResult<ApprovalLink> {
    if app.needs_sign_in {
        return Err(ApiError::unauthenticated(
            "a link alone decides nothing here: open it in a browser and sign in, or decide with a token",
        ));
    }
    let link_id = LinkSigner::id_of(token).ok_or_else(no_link)?;
    let link = store::links::find_link(conn, link_id).await?.ok_or_else(no_link)?;
    if link.change_id == id.as_str() && app.links.verifies(token, &link) { Ok(link) } else { Err(no_link()) }
}

fn no_link() -> ApiError {
    ApiError::forbidden("this link is not valid; copy it from the e-mail unchanged, or decide with a token")
}

/// Begins the work: with the approved plan, and inside the span.
pub async fn execute_change(call: &Call, request: &ExecuteChange) -> ApiResult<Change> {
    let mut act = begin!(call, ChangeVerb::Execute, request);
    act.advance()?;
    approval::may_execute(&act.before, request.plan_hash.as_deref(), &call.caller, act.now)?;
    act.change.work_start = Some(act.now);
    act.finish(call, "").await
}

pub async fn complete_change(call: &Call, request: &CloseChange) -> ApiResult<Outcome<Change>> {
    let code = request.close_code.unwrap_or(CloseCode::Successful);
    let mut errors = closing(request);
    checks::required_prose(&mut errors, "/close_notes", &request.close_notes, checks::TEXT);
    if code == CloseCode::Unsuccessful {
        errors.add(
            "/close_code",
            "must be `successful` or `successful_issues`; use `fail` for unsuccessful work",
        );
    }
    errors.finish()?;
    close(call, ChangeVerb::Complete, request, Some(code)).await
}

pub async fn fail_change(call: &Call, request: &CloseChange) -> ApiResult<Outcome<Change>> {
    let code = request.close_code.unwrap_or(CloseCode::Unsuccessful);
    let mut errors = closing(request);
    checks::required_prose(&mut errors, "/close_notes", &request.close_notes, checks::TEXT);
    if code != CloseCode::Unsuccessful {
        errors.add("/close_code", "must be `unsuccessful`; use `complete` for successful work");
    }
    errors.finish()?;
    close(call, ChangeVerb::Fail, request, Some(code)).await
}

/// Cancels a change whose work has not begun.
pub async fn cancel_change(call: &Call, request: &CloseChange) -> ApiResult<Outcome<Change>> {
    let mut errors = closing(request);
    checks::prose(&mut errors, "/close_notes", &request.close_notes, checks::TEXT);
    if request.close_code.is_some() {
        errors.add("/close_code", "is for work that was done; omit it");
    }
    errors.finish()?;
    close(call, ChangeVerb::Cancel, request, None).await
}

fn closing(request: &CloseChange) -> FieldErrors {
    let mut errors = FieldErrors::default();
    checks::evidence(&mut errors, "/evidence", &request.evidence);
    errors
}

/// Closes an own change; somebody else's waits for a second person.
async fn close(
    call: &Call,
    verb: ChangeVerb,
    request: &CloseChange,
    code: Option<CloseCode>,
) -> ApiResult<Outcome<Change>> {
    let mut act = match Act::begin(call, verb, request).await? {
        Start::New(act) => act,
        Start::Replay(outcome) => return Ok(*outcome),
    };
    act.advance()?;
    let closer = Decider::of_caller(&mut act.tx, &call.caller).await?;
    let write = Weakening {
        operation: operation(verb),
        object: object(&act.change.id),
        weakens: approval::weakened_by_closing(&act.before, &closer, verb),
        body: Some(serde_json::to_value(request)?),
        replaces: act.before.version.into(),
    };
    if let Some(proposal) = second_person::ask(&mut act.tx, &call.caller, act.now, write).await? {
        let outcome = Outcome::Proposed(Box::new(proposal));
        act.ticket.finish(&mut act.tx, &outcome).await?;
        act.tx.commit().await?;
        return Ok(outcome);
    }
    act.change.close_code = code;
    act.change.close_notes = Some(request.close_notes.clone()).filter(|notes| !notes.is_empty());
    act.change.close_evidence = Some(request.evidence.clone()).filter(|evidence| !evidence.is_null());
    if act.change.work_start.is_some() {
        act.change.work_end = Some(act.now);
        act.change.review_due_at =
            (act.change.kind == ChangeKind::Emergency).then_some(act.now + REVIEW_WITHIN);
    }
    act.finish(call, &request.close_notes).await.map(Outcome::Done)
}

fn check_decision(request: &Decide) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    checks::prose(&mut errors, "/comment", &request.comment, checks::COMMENT);
    checks::plan_hash(&mut errors, "/plan_hash", request.plan_hash.as_deref());
    errors.finish()
}

/// If the request names a plan, it must be the change's.
fn names_the_plan(change: &Change, request: &Decide) -> ApiResult<()> {
    if request.plan_hash.is_none() || request.plan_hash == change.plan_hash {
        Ok(())
    } else {
        Err(ApiError::new(
            problem_types::APPROVAL_VOID,
            format!(
                "change {} is for another plan than the given one; read it again before deciding",
                change.id
            ),
        ))
    }
}
