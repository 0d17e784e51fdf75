//! Tokens and the audit log.

use api_types::access::CreateToken;

use super::filter;
use crate::arguments::{AuditArguments, TokenCommand};
use crate::connect::Connection;
use crate::failure::{CommandResult, OK};
use crate::output::{Columns, Printer, done, is_terminal, print};

const TOKENS: Columns = "id subject roles created=created_at expires=expires_at revoked=revoked_at";
const AUDIT: Columns = "at who=subject service action object reason";

pub async fn token(connection: &Connection, command: TokenCommand, printer: Printer) -> CommandResult {
    let client = connection.access();
    match command {
        TokenCommand::Create { subject, roles, days } => {
            let request = CreateToken { subject, roles, expires_in_days: days };
            let issued = client.create_token(&request).await?;
            if is_terminal() || !printer.is_for_people() {
                return printer.item(&issued);
            }
            print(&issued.token)?;
            OK
        }
        TokenCommand::List(most) => printer.list(&client.list_tokens(most.limit).await?, TOKENS),
        TokenCommand::Revoke { id } => {
            client.revoke_token(id).await?;
            done(&format!("token {id} is revoked"))
        }
    }
}

pub async fn audit(connection: &Connection, arguments: AuditArguments, printer: Printer) -> CommandResult {
    let filter = filter([("object", arguments.object)]);
    printer.list(&connection.access().list_audit(&filter, arguments.most.limit).await?, AUDIT)
}
