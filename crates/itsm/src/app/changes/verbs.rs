//! The verbs that move a change from state to state. Each locks the change, asks the state machine, and leaves an audit
//! record with the change before and after.

use api_types::itsm::{
    Approval, Change, CloseChange, CloseCode, Decide, DecideByLink, Decision, ExecuteChange, LinkedChange,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    change::{ChangeKind, ChangeState, ChangeVerb},
    ids::ChangeId,
};
use serde::Serialize;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit,
    idempotency::{self, Begun, Ticket},
};
use sqlx::{Postgres, Transaction};

use super::{LinkSigner, approval, links, mail, no_change, object};
use crate::{
    app::{App, checks, templates},
    service::Itsm,
    store::{self, approvals, changes, links::ApprovalLink},
};

/// An emergency change is reviewed within this time after its end.
const REVIEW_WITHIN: TimeDelta = TimeDelta::days(7);

/// What a verb may depend on.
#[derive(Default)]
pub struct Preconditions {
    pub if_match: IfMatch,
    pub key: IdempotencyKey,
}

/// Whether a verb is to be done or was done under the same idempotency key.
enum Start {
    New(Box<Act>),
    Replay(Box<Change>),
}

/// One verb being done to one change, in one transaction.
struct Act {
    tx: Transaction<'static, Postgres>,
    ticket: Ticket,
    verb: ChangeVerb,
    before: Change,
    change: Change,
    now: DateTime<Utc>,
}

impl Act {
    async fn begin(
        app: &App,
        caller: &Caller,
        id: &ChangeId,
        verb: ChangeVerb,
        request: &(impl Serialize + Sync),
        preconditions: &Preconditions,
    ) -> ApiResult<Start> {
        let mut tx = app.pool.begin().await?;
        let begun =
            idempotency::begin(&mut tx, caller, operation(verb), &preconditions.key, &(id, request)).await?;
        let ticket = match begun {
            Begun::Replay(change) => return Ok(Start::Replay(Box::new(change))),
            Begun::New(ticket) => ticket,
        };
        let before = changes::lock_change(&mut tx, id).await?.ok_or_else(|| no_change(id))?;
        preconditions.if_match.check(before.version)?;
        let (change, now) = (before.clone(), app.clock.now());
        Ok(Start::New(Box::new(Self { tx, ticket, verb, before, change, now })))
    }

    /// Moves the state, or says that it does not allow the verb.
    fn advance(&mut self) -> ApiResult<()> {
        self.change.state = self
            .change
            .state
            .after(self.verb, self.change.kind)
            .map_err(|illegal| ApiError::conflict("illegal-transition", illegal.to_string()))?;
        Ok(())
    }

    async fn add_approval(&mut self, approval: Approval) -> ApiResult<()> {
        approvals::insert_approval(&mut self.tx, &self.change.id, &approval).await?;
        self.change.approvals.push(approval);
        Ok(())
    }

    /// Writes the change as the verb has left it.
    async fn finish(mut self, app: &App, caller: &Caller, reason: &str) -> ApiResult<Change> {
        let (verb, id) = (self.verb, self.change.id.clone());
        self.change.version += 1;
        self.change.updated_at = self.now;
        changes::update_change(&mut self.tx, &self.change).await?;
        if verb == ChangeVerb::Submit {
            mail::request_approval(app, &mut self.tx, &self.change).await?;
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

/// Begins an act, or returns from the verb what it answered before.
macro_rules! begin {
    ($app:expr, $caller:expr, $id:expr, $verb:expr, $request:expr, $preconditions:expr) => {
        match Act::begin($app, $caller, $id, $verb, $request, $preconditions).await? {
            Start::New(act) => act,
            Start::Replay(change) => return Ok(*change),
        }
    };
}

/// Hands a draft in: to its approvers, or to its template, which approves at once.
pub async fn submit_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    let mut act = begin!(app, caller, id, ChangeVerb::Submit, &(), preconditions);
    act.advance()?;
    if act.change.end_at <= act.now {
        return Err(approval::outside_window(&act.change, "submitted", act.now));
    }
    if act.change.kind == ChangeKind::Standard {
        let template = templates::approving_template(&act.change)?;
        let approver = format!("template:{}", template.name);
        let by_template =
            approval::decision(&act.change, &approver, Decision::Approved, &template.description, act.now);
        act.add_approval(by_template).await?;
    }
    act.finish(app, caller, "").await
}

/// Approves. The same approver's second approval of the same content changes nothing and answers the change as it is.
pub async fn approve_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &Decide,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    check_decision(request)?;
    let mut act = begin!(app, caller, id, ChangeVerb::Approve, request, preconditions);
    approval::may_decide(&act.change, caller)?;
    names_the_plan(&act.change, request)?;
    let is_repeated = approval::live(&act.change).any(|approval| approval.approver == caller.subject);
    if act.change.state == ChangeState::Approved && is_repeated {
        return Ok(act.before);
    }
    act.advance()?;
    if act.change.end_at <= act.now {
        return Err(approval::outside_window(&act.change, "approved", act.now));
    }
    let decision =
        approval::decision(&act.change, &caller.subject, Decision::Approved, &request.comment, act.now);
    act.add_approval(decision).await?;
    act.finish(app, caller, &request.comment).await
}

/// Rejects a change that waits, or withdraws the approval of one whose work has not begun.
pub async fn reject_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &Decide,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    check_decision(request)?;
    let mut act = begin!(app, caller, id, ChangeVerb::Reject, request, preconditions);
    approval::may_decide(&act.change, caller)?;
    names_the_plan(&act.change, request)?;
    act.advance()?;
    let decision =
        approval::decision(&act.change, &caller.subject, Decision::Rejected, &request.comment, act.now);
    act.add_approval(decision).await?;
    act.finish(app, caller, &request.comment).await
}

/// What the holder of a link is asked to decide on.
pub async fn read_by_link(app: &App, id: &ChangeId, token: &str) -> ApiResult<LinkedChange> {
    let mut connection = app.pool.acquire().await?;
    let link = proven_link(app, &mut connection, id, token).await?;
    let change = changes::find_change(&mut connection, id).await?.ok_or_else(|| no_change(id))?;
    links::check_usable(&link, &change, app.clock.now())?;
    Ok(LinkedChange { change, approver: link.approver, expires_at: link.expires_at })
}

/// Approves or rejects in the name of the address a link was sent to, once.
pub async fn decide_by_link(app: &App, id: &ChangeId, request: &DecideByLink) -> ApiResult<Change> {
    let mut errors = FieldErrors::default();
    checks::prose(&mut errors, "/comment", &request.comment, checks::COMMENT);
    errors.finish()?;
    let mut connection = app.pool.acquire().await?;
    let link = proven_link(app, &mut connection, id, &request.token).await?;
    drop(connection);
    let name = <Itsm as service_kit::server::Service>::NAME;
    let caller = Caller::internal(name, format!("{}{}", approval::BY_EMAIL, link.approver));
    let verb = match request.decision {
        Decision::Approved => ChangeVerb::Approve,
        Decision::Rejected => ChangeVerb::Reject,
    };
    let mut act = begin!(app, &caller, id, verb, &(), &Preconditions::default());
    // Under the lock on the change: of two decisions by one link the second one finds it used.
    let link = store::links::find_link(&mut act.tx, link.id).await?.ok_or_else(no_link)?;
    links::check_usable(&link, &act.change, act.now)?;
    approval::may_decide(&act.change, &caller)?;
    act.advance()?;
    if verb == ChangeVerb::Approve && act.change.end_at <= act.now {
        return Err(approval::outside_window(&act.change, "approved", act.now));
    }
    let decision =
        approval::decision(&act.change, &caller.subject, request.decision, &request.comment, act.now);
    act.add_approval(decision).await?;
    store::links::use_link(&mut act.tx, link.id, act.now).await?;
    act.finish(app, &caller, &request.comment).await
}

/// The link a token was made for. One answer for whatever is wrong with it.
async fn proven_link(
    app: &App,
    connection: &mut sqlx::PgConnection,
    id: &ChangeId,
    token: &str,
) -> ApiResult<ApprovalLink> {
    let link_id = LinkSigner::id_of(token).ok_or_else(no_link)?;
    let link = store::links::find_link(connection, link_id).await?.ok_or_else(no_link)?;
    match link.change_id == id.as_str() && app.links.verifies(token, &link) {
        true => Ok(link),
        false => Err(no_link()),
    }
}

fn no_link() -> ApiError {
    ApiError::forbidden("this link is not valid; use it as it stands in the e-mail, or decide with a token")
}

/// Begins the work: on the plan that was approved, and inside its span.
pub async fn execute_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &ExecuteChange,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    let mut act = begin!(app, caller, id, ChangeVerb::Execute, request, preconditions);
    act.advance()?;
    approval::may_execute(&act.before, request.plan_hash.as_deref(), act.now)?;
    act.change.work_start = Some(act.now);
    act.finish(app, caller, "").await
}

pub async fn complete_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &CloseChange,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
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
    let act = begin!(app, caller, id, ChangeVerb::Complete, request, preconditions);
    close(act, app, caller, request, Some(code)).await
}

pub async fn fail_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &CloseChange,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    let code = request.close_code.unwrap_or(CloseCode::Unsuccessful);
    let mut errors = closing(request);
    checks::required_prose(&mut errors, "/close_notes", &request.close_notes, checks::TEXT);
    if code != CloseCode::Unsuccessful {
        errors.add("/close_code", "must be `unsuccessful`; use `complete` for successful work");
    }
    errors.finish()?;
    let act = begin!(app, caller, id, ChangeVerb::Fail, request, preconditions);
    close(act, app, caller, request, Some(code)).await
}

/// Gives a change up whose work has not begun.
pub async fn cancel_change(
    app: &App,
    caller: &Caller,
    id: &ChangeId,
    request: &CloseChange,
    preconditions: &Preconditions,
) -> ApiResult<Change> {
    let mut errors = closing(request);
    checks::prose(&mut errors, "/close_notes", &request.close_notes, checks::TEXT);
    if request.close_code.is_some() {
        errors.add("/close_code", "is for work that was done; leave it out");
    }
    errors.finish()?;
    let act = begin!(app, caller, id, ChangeVerb::Cancel, request, preconditions);
    close(act, app, caller, request, None).await
}

fn closing(request: &CloseChange) -> FieldErrors {
    let mut errors = FieldErrors::default();
    checks::evidence(&mut errors, "/evidence", &request.evidence);
    errors
}

async fn close(
    mut act: Box<Act>,
    app: &App,
    caller: &Caller,
    request: &CloseChange,
    code: Option<CloseCode>,
) -> ApiResult<Change> {
    act.advance()?;
    act.change.close_code = code;
    act.change.close_notes = Some(request.close_notes.clone()).filter(|notes| !notes.is_empty());
    act.change.close_evidence = Some(request.evidence.clone()).filter(|evidence| !evidence.is_null());
    if act.change.work_start.is_some() {
        act.change.work_end = Some(act.now);
        act.change.review_due_at =
            (act.change.kind == ChangeKind::Emergency).then_some(act.now + REVIEW_WITHIN);
    }
    act.finish(app, caller, &request.close_notes).await
}

fn check_decision(request: &Decide) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    checks::prose(&mut errors, "/comment", &request.comment, checks::COMMENT);
    checks::plan_hash(&mut errors, "/plan_hash", request.plan_hash.as_deref());
    errors.finish()
}

/// An approver who names a plan must name the change's.
fn names_the_plan(change: &Change, request: &Decide) -> ApiResult<()> {
    match request.plan_hash.is_none() || request.plan_hash == change.plan_hash {
        true => Ok(()),
        false => Err(ApiError::conflict(
            "approval-void",
            format!(
                "change {} is for another plan than the one named; read it again before deciding",
                change.id
            ),
        )),
    }
}
