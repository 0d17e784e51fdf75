//! Changes, incidents, problems and notifications.

use api_types::itsm::{
    CloseChange, CreateIncident, CreateNotification, CreateProblem, Decide, ExecuteChange, ResolveIncident,
    ReviewChange,
};

use super::{access::unless_proposed, etag, filter, wire_name};
use crate::arguments::{
    ChangeCommand, CloseFields, DecisionFields, IncidentCommand, NotificationCommand, ProblemCommand,
};
use crate::connect::Connection;
use crate::input;
use terminal::{Columns, Printer};
use terminal::{CommandResult, Failure};

const CHANGES: Columns =
    "id kind state risk requested_by start=start_at end=end_at description=short_description";
const CONFLICTS: Columns = "kind with state hosts=ci_ids start=start_at end=end_at";
const TEMPLATES: Columns =
    "name max_risk max_hours=max_span_hours owner expires=expires_at approved=approved_by description";
const INCIDENTS: Columns =
    "id state severity hosts=ci_ids change=change_id opened=created_at description=short_description";
const PROBLEMS: Columns = "id state incidents=incident_ids root_cause description=short_description";
const NOTIFICATIONS: Columns = "id channel to=recipient state attempts subject last_error";

pub async fn change(connection: &Connection, command: ChangeCommand, printer: Printer) -> CommandResult {
    let client = connection.itsm();
    let change = match command {
        ChangeCommand::List { state, ci, most } => {
            let filter = filter([("state", state.map(wire_name)), ("ci", ci.map(|id| id.to_string()))]);
            return printer.list(&client.list_changes(&filter, most.limit).await?, CHANGES);
        }
        ChangeCommand::Conflicts { id, most } => {
            let mut conflicts = client.list_conflicts(&connection.change_id(id).await?).await?.conflicts;
            conflicts.truncate(most.limit);
            return printer.list(&conflicts, CONFLICTS);
        }
        ChangeCommand::Templates(most) => {
            let mut templates = client.list_templates().await?;
            templates.truncate(most.limit);
            return printer.list(&templates, TEMPLATES);
        }
        ChangeCommand::SetTemplate { name, request } => {
            let template = client.put_template(&name, &input::request(&request.file)?).await?;
            return printer.item(&template);
        }
        ChangeCommand::ApproveTemplate { name } => {
            return printer.item(&client.approve_template(&name).await?);
        }
        ChangeCommand::Show { id } => client.get_change(&connection.change_id(id).await?).await?,
        ChangeCommand::Create(request) => client.create_change(&input::request(&request.file)?).await?,
        ChangeCommand::Update { id, request, if_version } => {
            let update = input::request(&request.file)?;
            client
                .update_change(&connection.change_id(id).await?, &update, etag(if_version).as_deref())
                .await?
        }
        ChangeCommand::Submit { id } => client.submit_change(&connection.change_id(id).await?).await?,
        ChangeCommand::Approve(fields) => {
            client.approve_change(&connection.change_id(fields.id.clone()).await?, &decision(&fields)).await?
        }
        ChangeCommand::Reject(fields) => {
            client.reject_change(&connection.change_id(fields.id.clone()).await?, &decision(&fields)).await?
        }
        ChangeCommand::Execute { id, plan_hash } => {
            client.execute_change(&connection.change_id(id).await?, &ExecuteChange { plan_hash }).await?
        }
        ChangeCommand::Complete(close) => {
            let id = connection.change_id(close.id.clone()).await?;
            let outcome = client.complete_change(&id, &closing(&close)?).await?;
            return unless_proposed(outcome, printer, |change| printer.item(&change));
        }
        ChangeCommand::Fail(close) => {
            let id = connection.change_id(close.id.clone()).await?;
            let outcome = client.fail_change(&id, &closing(&close)?).await?;
            return unless_proposed(outcome, printer, |change| printer.item(&change));
        }
        ChangeCommand::Cancel(close) => {
            let id = connection.change_id(close.id.clone()).await?;
            let outcome = client.cancel_change(&id, &closing(&close)?).await?;
            return unless_proposed(outcome, printer, |change| printer.item(&change));
        }
        ChangeCommand::Review { id, notes } => {
            client.review_change(&connection.change_id(id).await?, &ReviewChange { notes }).await?
        }
    };
    printer.item(&change)
}

fn decision(fields: &DecisionFields) -> Decide {
    Decide { comment: fields.comment.clone(), plan_hash: fields.plan_hash.clone() }
}

fn closing(fields: &CloseFields) -> Result<CloseChange, Failure> {
    let evidence = fields.evidence.as_deref().map(input::request).transpose()?.unwrap_or_default();
    Ok(CloseChange { close_code: fields.code, close_notes: fields.notes.clone(), evidence })
}

pub async fn incident(connection: &Connection, command: IncidentCommand, printer: Printer) -> CommandResult {
    let client = connection.itsm();
    let incident = match command {
        IncidentCommand::List { state, most } => {
            let filter = filter([("state", state.map(wire_name))]);
            return printer.list(&client.list_incidents(&filter, most.limit).await?, INCIDENTS);
        }
        IncidentCommand::Show { id } => client.get_incident(&connection.incident_id(id).await?).await?,
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
            client
                .update_incident(&connection.incident_id(id).await?, &input::request(&request.file)?, None)
                .await?
        }
        IncidentCommand::Resolve { id, resolution } => {
            client
                .resolve_incident(&connection.incident_id(id).await?, &ResolveIncident { resolution })
                .await?
        }
    };
    printer.item(&incident)
}

pub async fn problem(connection: &Connection, command: ProblemCommand, printer: Printer) -> CommandResult {
    let client = connection.itsm();
    let problem = match command {
        ProblemCommand::List { state, most } => {
            let filter = filter([("state", state.map(wire_name))]);
            return printer.list(&client.list_problems(&filter, most.limit).await?, PROBLEMS);
        }
        ProblemCommand::Show { id } => client.get_problem(&connection.problem_id(id).await?).await?,
        ProblemCommand::Create { short_description, description, incident_ids } => {
            client.create_problem(&CreateProblem { short_description, description, incident_ids }).await?
        }
        ProblemCommand::Update { id, request } => {
            client
                .update_problem(&connection.problem_id(id).await?, &input::request(&request.file)?, None)
                .await?
        }
    };
    printer.item(&problem)
}

pub async fn notification(
    connection: &Connection,
    command: NotificationCommand,
    printer: Printer,
) -> CommandResult {
    let client = connection.itsm();
    let notification = match command {
        NotificationCommand::List { state, most } => {
            let filter = filter([("state", state)]);
            return printer.list(&client.list_notifications(&filter, most.limit).await?, NOTIFICATIONS);
        }
        NotificationCommand::Show { id } => {
            client.get_notification(connection.notification_id(id).await?).await?
        }
        NotificationCommand::Create { channel, recipient, subject, body, dedupe_key, customer } => {
            let request = CreateNotification { channel, recipient, subject, body, dedupe_key, customer };
            client.create_notification(&request).await?
        }
        NotificationCommand::Resend { id } => {
            client.resend_notification(connection.notification_id(id).await?).await?
        }
    };
    printer.item(&notification)
}
