//! Tokens and the audit log.

use api_types::access::CreateToken;

use super::{OK, filter};
use crate::arguments::{AuditArguments, TokenCommand};
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::output::{Column, Printer, is_terminal, note, print};

const TOKENS: &[Column] = &[
    ("id", "/id"),
    ("subject", "/subject"),
    ("roles", "/roles"),
    ("created", "/created_at"),
    ("expires", "/expires_at"),
    ("revoked", "/revoked_at"),
];

const AUDIT: &[Column] = &[
    ("at", "/at"),
    ("who", "/subject"),
    ("service", "/service"),
    ("action", "/action"),
    ("object", "/object"),
    ("reason", "/reason"),
];

pub async fn token(connection: &Connection, command: TokenCommand, printer: Printer) -> Outcome {
    let client = connection.access();
    match command {
        TokenCommand::Create { subject, roles, days } => {
            let request = CreateToken { subject, roles, expires_in_days: days };
            let issued = client.create_token(&request).await?;
            match printer.is_for_people() && !is_terminal() {
                true => print(&issued.token)?,
                false => printer.item(&issued)?,
            }
        }
        TokenCommand::List { most } => printer.list(&client.list_tokens(most.limit).await?, TOKENS)?,
        TokenCommand::Revoke { id } => {
            client.revoke_token(id).await?;
            note(&format!("token {id} is revoked"));
        }
    }
    OK
}

pub async fn audit(connection: &Connection, arguments: AuditArguments, printer: Printer) -> Outcome {
    let filter = filter([("object", arguments.object)]);
    printer.list(&connection.access().list_audit(&filter, arguments.most.limit).await?, AUDIT)?;
    OK
}
