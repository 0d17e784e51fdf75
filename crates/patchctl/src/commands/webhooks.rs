//! Receivers of webhooks.

use api_types::webhooks::{CreateWebhookReceiver, IssuedWebhookSecret, RotateWebhookSecret};

use crate::arguments::WebhookCommand;
use crate::connect::Connection;
use terminal::{Columns, Printer, done, is_terminal, print};
use terminal::{CommandResult, OK};

const RECEIVERS: Columns = "id url customer created=created_at by=created_by old_until=secrets/1/expires_at";

pub async fn webhook(connection: &Connection, command: WebhookCommand, printer: Printer) -> CommandResult {
    let client = connection.access();
    match command {
        WebhookCommand::Create { url, customer } => {
            issued(&client.create_webhook(&CreateWebhookReceiver { url, customer }).await?, printer)
        }
        WebhookCommand::List(most) => printer.list(&client.list_webhooks(most.limit).await?, RECEIVERS),
        WebhookCommand::Rotate { id, overlap_hours } => issued(
            &client
                .rotate_webhook(connection.webhook_id(id).await?, &RotateWebhookSecret { overlap_hours })
                .await?,
            printer,
        ),
        WebhookCommand::Delete { id } => {
            let id = connection.webhook_id(id).await?;
            client.delete_webhook(id).await?;
            done(&format!("receiver {id} is removed"))
        }
    }
}

fn issued(issued: &IssuedWebhookSecret, printer: Printer) -> CommandResult {
    if is_terminal() || !printer.is_for_people() {
        return printer.item(issued);
    }
    print(&issued.secret)?;
    OK
}
