use api_types::itsm::{CreateIncident, ResolveIncident};

use super::{OK, filter, word};
use crate::arguments::IncidentCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::input;
use crate::output::{Column, Printer};

const INCIDENTS: &[Column] = &[
    ("id", "/id"),
    ("state", "/state"),
    ("severity", "/severity"),
    ("hosts", "/ci_ids"),
    ("change", "/change_id"),
    ("opened", "/created_at"),
    ("description", "/short_description"),
];

pub async fn run(connection: &Connection, command: IncidentCommand, printer: Printer) -> Outcome {
    let client = connection.itsm();
    let incident = match command {
        IncidentCommand::List { state, most } => {
            let filter = filter([("state", state.map(word))]);
            printer.list(&client.list_incidents(&filter, most.limit).await?, INCIDENTS)?;
            return OK;
        }
        IncidentCommand::Show { id } => client.get_incident(&id).await?,
        IncidentCommand::Create { short_description, severity, description, ci_ids, change } => {
            let request = CreateIncident {
                short_description,
                description,
                severity,
                ci_ids,
                change_id: change,
                correlation_id: None,
            };
            client.create_incident(&request).await?
        }
        IncidentCommand::Update { id, request } => {
            client.update_incident(&id, &input::request(&request.file)?, None).await?
        }
        IncidentCommand::Resolve { id, resolution } => {
            client.resolve_incident(&id, &ResolveIncident { resolution }).await?
        }
    };
    printer.item(&incident)?;
    OK
}
