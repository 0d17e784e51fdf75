//! Tokens, people, proposals and the audit log.

use api_types::{
    access::{
        AuditCheck, AuditFault, CiId, CreateToken, IssuedToken, Outcome, Proposal, ProposalState, Proposed,
        PutPerson, Subject,
    },
    rights::SERVICES,
};

use super::{filter, wire_name};
use crate::arguments::{
    AuditArguments, AuditCommand, AuditHead, PersonCommand, ProposalCommand, TokenCommand,
};
use crate::connect::Connection;
use crate::failure::{CommandResult, ExitStatus, Failure, OK};
use crate::output::{Columns, Printer, done, is_terminal, note, print};

const TOKENS: Columns = "id subject roles ci created=created_at by=created_by confirmed=confirmed_by expires=expires_at \
                         revoked=revoked_at";
const PEOPLE: Columns = "subject emails roles updated=updated_at by=updated_by confirmed=confirmed_by";
const APPROVERS: Columns = "subject by since created_by confirmed_by";
const PROPOSALS: Columns = "id state action=proposed/action subject=proposed/subject roles=proposed/roles \
                            emails=proposed/emails service=proposed/service operation=proposed/operation \
                            weakens=proposed/weakens by=proposed_by at=proposed_at expires=expires_at decided_by";
/// Proposals that are searched for the one to confirm.
const OPEN_PROPOSALS: usize = 10_000;
const CHECKS: Columns = "service position hash complete=is_complete waiting outside fault=fault/reason";
const AUDIT: Columns = "at who=subject service action object reason";

pub async fn token(connection: &Connection, command: TokenCommand, printer: Printer) -> CommandResult {
    let client = connection.access();
    match command {
        TokenCommand::Create { subject, roles, ci, days } => {
            let subject = match (subject, &ci) {
                (Some(subject), _) => subject,
                (None, Some(ci)) => agent_of(ci)?,
                (None, None) => return Err(Failure::usage("name the subject of the token")),
            };
            let request = CreateToken { subject, roles, ci, expires_in_days: days };
            let outcome = client.create_token(&request).await?;
            unless_proposed(outcome, printer, |issued| issued_token(&issued, printer))
        }
        TokenCommand::Whoami => printer.item(&client.get_me().await?),
        TokenCommand::List(most) => printer.list(&client.list_tokens(most.limit).await?, TOKENS),
        TokenCommand::Revoke { id } => {
            client.revoke_token(id).await?;
            done(&format!("token {id} is revoked"))
        }
        TokenCommand::Rotate => issued_token(&client.rotate_token().await?, printer),
    }
}

fn agent_of(ci: &CiId) -> Result<Subject, Failure> {
    Subject::new(format!("agent-{ci}"))
        .map_err(|error| Failure::usage(format!("{error}; name the subject of the token")))
}

fn issued_token(issued: &IssuedToken, printer: Printer) -> CommandResult {
    if is_terminal() || !printer.is_for_people() {
        return printer.item(issued);
    }
    print(&issued.token)?;
    OK
}

/// What was done, or what it waits for.
pub fn unless_proposed<T>(
    outcome: Outcome<T>,
    printer: Printer,
    done: impl FnOnce(T) -> CommandResult,
) -> CommandResult {
    match outcome {
        Outcome::Done(result) => done(result),
        Outcome::Proposed(proposal) => waits(&proposal, printer),
    }
}

/// Nothing is on standard output where a secret was expected.
fn waits(proposal: &Proposal, printer: Printer) -> CommandResult {
    if let Proposed::WeakenControl(weakening) = &proposal.proposed {
        note("this weakens a control:");
        weakening.weakens.iter().for_each(|sentence| note(&format!("  {sentence}")));
    }
    note(&format!(
        "this waits for a second administrator or an approver, until {}: patchctl proposal confirm {}",
        proposal.expires_at.format("%Y-%m-%d %H:%M UTC"),
        proposal.id
    ));
    if !printer.is_for_people() {
        printer.item(proposal)?;
    }
    Ok(ExitStatus::Partial)
}

pub async fn person(connection: &Connection, command: PersonCommand, printer: Printer) -> CommandResult {
    let client = connection.access();
    match command {
        PersonCommand::Add { subject, emails, roles } => {
            let outcome = client.put_person(subject.as_str(), &PutPerson { emails, roles }).await?;
            unless_proposed(outcome, printer, |person| printer.item(&person))
        }
        PersonCommand::List(most) => printer.list(&client.list_people(most.limit).await?, PEOPLE),
        PersonCommand::Remove { subject } => {
            client.delete_person(subject.as_str()).await?;
            done(&format!("person {subject} is removed"))
        }
        PersonCommand::Approvers => printer.list(&client.list_approvers().await?, APPROVERS),
    }
}

pub async fn proposal(connection: &Connection, command: ProposalCommand, printer: Printer) -> CommandResult {
    let client = connection.access();
    match command {
        ProposalCommand::List { state, most } => {
            let filter = filter([("state", state.map(wire_name))]);
            printer.list(&client.list_proposals(&filter, most.limit).await?, PROPOSALS)
        }
        ProposalCommand::Confirm { id } => {
            let open = [("state", wire_name(ProposalState::Pending))];
            let open = client.list_proposals(&open, OPEN_PROPOSALS).await?;
            let service = open.iter().find(|proposal| proposal.id == id).and_then(service_of);
            let client = service.map_or(client, |service| connection.access_at(service));
            let confirmed = client.confirm_proposal(id).await?;
            match (&confirmed.token, &confirmed.person) {
                (Some(token), _) => issued_token(token, printer),
                (None, Some(person)) => printer.item(person),
                (None, None) => printer.item(&confirmed.proposal),
            }
        }
        ProposalCommand::Reject { id } => {
            client.reject_proposal(id).await?;
            done(&format!("proposal {id} is rejected"))
        }
    }
}

/// The service that carries out a proposal, if only one can.
fn service_of(proposal: &Proposal) -> Option<&str> {
    match &proposal.proposed {
        Proposed::WeakenControl(weakening) => Some(&weakening.service),
        Proposed::CreateToken { .. } | Proposed::PutPerson { .. } => None,
    }
}

pub async fn audit(connection: &Connection, arguments: AuditArguments, printer: Printer) -> CommandResult {
    if let Some(AuditCommand::Verify { heads }) = arguments.command {
        return verify(connection, &heads, printer).await;
    }
    let filter = filter([("object", arguments.object)]);
    printer.list(&connection.access().list_audit(&filter, arguments.most.limit).await?, AUDIT)
}

/// Checks every chain to its end, and that the noted ends are still in them.
async fn verify(connection: &Connection, heads: &[AuditHead], printer: Printer) -> CommandResult {
    let mut checks = Vec::new();
    let mut faults = Vec::new();
    for service in SERVICES {
        let client = connection.access_at(service);
        for head in heads.iter().filter(|head| head.service == service) {
            let at_head = client.check_audit(i64::from(head.position) - 1, Some(1)).await?;
            if (at_head.position, &at_head.hash) != (i64::from(head.position), &head.hash) {
                faults.push(format!(
                    "the chain of {service} does not contain the noted position {}",
                    head.position
                ));
            }
        }
        let mut check = client.check_audit(0, None).await?;
        while !check.is_complete && check.fault.is_none() {
            check = client.check_audit(check.position, None).await?;
        }
        if let Some(fault) = &check.fault {
            let AuditFault { position, sequence, reason } = fault;
            faults.push(format!("{service}, position {position}, record {sequence}: {reason}"));
        }
        if check.outside > 0 {
            faults.push(format!("{service}: {} records are outside of the chain", check.outside));
        }
        checks.push(check);
    }
    let heads = |check: &AuditCheck| format!("{}:{}:{}", check.service, check.position, check.hash);
    if printer.is_for_people() {
        checks.iter().try_for_each(|check| print(&format!("{}\n", heads(check))))?;
    } else {
        printer.list(&checks, CHECKS)?;
    }
    if faults.is_empty() {
        return OK;
    }
    faults.iter().for_each(|fault| note(fault));
    Ok(ExitStatus::Failed)
}
