//! Tokens, people, proposals and the audit log.

use api_client::access::Outcome;
use api_types::access::{CreateToken, IssuedToken, Proposal, PutPerson};

use super::{filter, wire_name};
use crate::arguments::{AuditArguments, PersonCommand, ProposalCommand, TokenCommand};
use crate::connect::Connection;
use crate::failure::{CommandResult, ExitStatus, OK};
use crate::output::{Columns, Printer, done, is_terminal, note, print};

const TOKENS: Columns = "id subject roles created=created_at by=created_by confirmed=confirmed_by expires=expires_at \
                         revoked=revoked_at";
const PEOPLE: Columns = "subject emails roles updated=updated_at by=updated_by confirmed=confirmed_by";
const APPROVERS: Columns = "subject by since created_by confirmed_by";
const PROPOSALS: Columns = "id state action=proposed/action subject=proposed/subject roles=proposed/roles \
                            emails=proposed/emails by=proposed_by at=proposed_at expires=expires_at decided_by";
const AUDIT: Columns = "at who=subject service action object reason";

pub async fn token(connection: &Connection, command: TokenCommand, printer: Printer) -> CommandResult {
    let client = connection.access();
    match command {
        TokenCommand::Create { subject, roles, days } => {
            let request = CreateToken { subject, roles, expires_in_days: days };
            match client.create_token(&request).await? {
                Outcome::Done(issued) => issued_token(&issued, printer),
                Outcome::Proposed(proposal) => waits(&proposal, printer),
            }
        }
        TokenCommand::Whoami => printer.item(&client.get_me().await?),
        TokenCommand::List(most) => printer.list(&client.list_tokens(most.limit).await?, TOKENS),
        TokenCommand::Revoke { id } => {
            client.revoke_token(id).await?;
            done(&format!("token {id} is revoked"))
        }
    }
}

fn issued_token(issued: &IssuedToken, printer: Printer) -> CommandResult {
    if is_terminal() || !printer.is_for_people() {
        return printer.item(issued);
    }
    print(&issued.token)?;
    OK
}

/// Nothing is on standard output where a secret was expected.
fn waits(proposal: &Proposal, printer: Printer) -> CommandResult {
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
            match client.put_person(subject.as_str(), &PutPerson { emails, roles }).await? {
                Outcome::Done(person) => printer.item(&person),
                Outcome::Proposed(proposal) => waits(&proposal, printer),
            }
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

pub async fn audit(connection: &Connection, arguments: AuditArguments, printer: Printer) -> CommandResult {
    let filter = filter([("object", arguments.object)]);
    printer.list(&connection.access().list_audit(&filter, arguments.most.limit).await?, AUDIT)
}
