use api_types::patch::CreateException;

use super::OK;
use crate::arguments::ExceptionCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::output::{Column, Printer, note};

const EXCEPTIONS: &[Column] = &[
    ("id", "/id"),
    ("host", "/ci_id"),
    ("advisory", "/advisory_id"),
    ("package", "/package"),
    ("owner", "/owner"),
    ("expires", "/expires_at"),
    ("active", "/active"),
    ("reason", "/reason"),
];

pub async fn run(connection: &Connection, command: ExceptionCommand, printer: Printer) -> Outcome {
    let client = connection.patch();
    match command {
        ExceptionCommand::List { most } => {
            printer.list(&client.list_exceptions(&[], most.limit).await?, EXCEPTIONS)?;
        }
        ExceptionCommand::Create { owner, reason, expires, ci, advisory, package, compensating_control } => {
            let request = CreateException {
                owner,
                reason,
                expires_at: expires,
                ci_id: ci,
                advisory_id: advisory,
                package,
                compensating_control,
            };
            printer.item(&client.create_exception(&request).await?)?;
        }
        ExceptionCommand::Delete { id } => {
            client.delete_exception(id).await?;
            note(&format!("exception {id} is ended"));
        }
    }
    OK
}
