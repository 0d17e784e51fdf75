use api_types::itsm::CreateNotification;

use super::{OK, filter};
use crate::arguments::NotificationCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::output::{Column, Printer};

const NOTIFICATIONS: &[Column] = &[
    ("id", "/id"),
    ("channel", "/channel"),
    ("to", "/recipient"),
    ("state", "/state"),
    ("attempts", "/attempts"),
    ("subject", "/subject"),
    ("last error", "/last_error"),
];

pub async fn run(connection: &Connection, command: NotificationCommand, printer: Printer) -> Outcome {
    let client = connection.itsm();
    let notification = match command {
        NotificationCommand::List { state, most } => {
            let filter = filter([("state", state)]);
            printer.list(&client.list_notifications(&filter, most.limit).await?, NOTIFICATIONS)?;
            return OK;
        }
        NotificationCommand::Show { id } => client.get_notification(id).await?,
        NotificationCommand::Create { channel, recipient, subject, body, dedupe_key } => {
            let request = CreateNotification { channel, recipient, subject, body, dedupe_key };
            client.create_notification(&request).await?
        }
        NotificationCommand::Resend { id } => client.resend_notification(id).await?,
    };
    printer.item(&notification)?;
    OK
}
