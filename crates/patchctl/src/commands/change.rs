use api_types::itsm::{CloseChange, Decide, ExecuteChange, ReviewChange};

use super::{OK, etag, filter, word};
use crate::arguments::{ChangeCommand, CloseFields, DecisionFields};
use crate::connect::Connection;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{Column, Printer};

const CHANGES: &[Column] = &[
    ("id", "/id"),
    ("kind", "/kind"),
    ("state", "/state"),
    ("risk", "/risk"),
    ("requested by", "/requested_by"),
    ("start", "/start_at"),
    ("end", "/end_at"),
    ("description", "/short_description"),
];

const CONFLICTS: &[Column] = &[
    ("kind", "/kind"),
    ("with", "/with"),
    ("state", "/state"),
    ("hosts", "/ci_ids"),
    ("start", "/start_at"),
    ("end", "/end_at"),
];

const TEMPLATES: &[Column] = &[
    ("name", "/name"),
    ("max risk", "/max_risk"),
    ("max hours", "/max_span_hours"),
    ("description", "/description"),
];

pub async fn run(connection: &Connection, command: ChangeCommand, printer: Printer) -> Outcome {
    let client = connection.itsm();
    let change = match command {
        ChangeCommand::List { state, ci, most } => {
            let filter = filter([("state", state.map(word)), ("ci", ci.map(|id| id.to_string()))]);
            printer.list(&client.list_changes(&filter, most.limit).await?, CHANGES)?;
            return OK;
        }
        ChangeCommand::Conflicts { id } => {
            printer.list(&client.list_conflicts(&id).await?.conflicts, CONFLICTS)?;
            return OK;
        }
        ChangeCommand::Templates => {
            printer.list(&client.list_templates().await?, TEMPLATES)?;
            return OK;
        }
        ChangeCommand::Show { id } => client.get_change(&id).await?,
        ChangeCommand::Create { request } => client.create_change(&input::request(&request.file)?).await?,
        ChangeCommand::Update { id, request, if_version } => {
            let update = input::request(&request.file)?;
            client.update_change(&id, &update, etag(if_version).as_deref()).await?
        }
        ChangeCommand::Submit { id } => client.submit_change(&id).await?,
        ChangeCommand::Approve { id, decision } => client.approve_change(&id, &decision.into()).await?,
        ChangeCommand::Reject { id, decision } => client.reject_change(&id, &decision.into()).await?,
        ChangeCommand::Execute { id, plan_hash } => {
            client.execute_change(&id, &ExecuteChange { plan_hash }).await?
        }
        ChangeCommand::Complete { id, close } => client.complete_change(&id, &closing(close)?).await?,
        ChangeCommand::Fail { id, close } => client.fail_change(&id, &closing(close)?).await?,
        ChangeCommand::Review { id, notes } => client.review_change(&id, &ReviewChange { notes }).await?,
        ChangeCommand::Cancel { id, close } => client.cancel_change(&id, &closing(close)?).await?,
    };
    printer.item(&change)?;
    OK
}

impl From<DecisionFields> for Decide {
    fn from(fields: DecisionFields) -> Self {
        Self { comment: fields.comment, plan_hash: fields.plan_hash }
    }
}

fn closing(fields: CloseFields) -> Result<CloseChange, Failure> {
    let evidence = fields.evidence.as_deref().map(input::request).transpose()?.unwrap_or_default();
    Ok(CloseChange { close_code: fields.code, close_notes: fields.notes, evidence })
}
