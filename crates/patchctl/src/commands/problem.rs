use api_types::itsm::CreateProblem;

use super::{OK, filter, word};
use crate::arguments::ProblemCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::input;
use crate::output::{Column, Printer};

const PROBLEMS: &[Column] = &[
    ("id", "/id"),
    ("state", "/state"),
    ("incidents", "/incident_ids"),
    ("root cause", "/root_cause"),
    ("description", "/short_description"),
];

pub async fn run(connection: &Connection, command: ProblemCommand, printer: Printer) -> Outcome {
    let client = connection.itsm();
    let problem = match command {
        ProblemCommand::List { state, most } => {
            let filter = filter([("state", state.map(word))]);
            printer.list(&client.list_problems(&filter, most.limit).await?, PROBLEMS)?;
            return OK;
        }
        ProblemCommand::Show { id } => client.get_problem(&id).await?,
        ProblemCommand::Create { short_description, description, incident_ids } => {
            client.create_problem(&CreateProblem { short_description, description, incident_ids }).await?
        }
        ProblemCommand::Update { id, request } => {
            client.update_problem(&id, &input::request(&request.file)?, None).await?
        }
    };
    printer.item(&problem)?;
    OK
}
