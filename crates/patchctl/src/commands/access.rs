//! Tokens, people and proposals.

use api_types::access::{
    CiId, CreateToken, IssuedToken, Outcome, Proposal, ProposalState, Proposed, PutPerson, Subject,
};

use super::{filter, wire_name};
use crate::arguments::{PersonCommand, ProposalCommand, TokenCommand};
use crate::connect::Connection;
use terminal::{Columns, Printer, done, is_terminal, note, print};
use terminal::{CommandResult, ExitStatus, Failure, OK};

const TOKENS: Columns = "id subject roles ci created=created_at by=created_by confirmed=confirmed_by expires=expires_at \
                         revoked=revoked_at";
const PEOPLE: Columns = "subject emails roles updated=updated_at by=updated_by confirmed=confirmed_by";
const APPROVERS: Columns = "subject by since created_by confirmed_by";
const PROPOSALS: Columns = "id state action=proposed/action subject=proposed/subject roles=proposed/roles \
                            emails=proposed/emails service=proposed/service operation=proposed/operation \
                            weakens=proposed/weakens by=proposed_by at=proposed_at expires=expires_at decided_by";
/// Proposals that are searched for the one to confirm.
const OPEN_PROPOSALS: usize = 10_000;

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
            let id = connection.token_id(id).await?;
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
            let id = connection.proposal_id(id).await?;
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
            let id = connection.proposal_id(id).await?;
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
