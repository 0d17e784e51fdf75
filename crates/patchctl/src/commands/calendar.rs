use api_types::patch::CreateCalendar;

use super::OK;
use crate::arguments::CalendarCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::input;
use crate::output::{Column, Printer, note, print};

const CALENDARS: &[Column] =
    &[("id", "/id"), ("name", "/name"), ("scope", "/scope"), ("reason", "/reason"), ("by", "/created_by")];

pub async fn run(connection: &Connection, command: CalendarCommand, printer: Printer) -> Outcome {
    let client = connection.patch();
    match command {
        CalendarCommand::List { most } => {
            printer.list(&client.list_calendars(most.limit).await?, CALENDARS)?;
        }
        CalendarCommand::Show { id, ical: true } => print(&client.get_calendar_ical(id).await?)?,
        CalendarCommand::Show { id, ical: false } => printer.item(&client.get_calendar(id).await?)?,
        CalendarCommand::Create { name, reason, tags, starts, ends, ical } => {
            let ical = ical.as_deref().map(input::read_text).transpose()?;
            let scope = tags.into_iter().collect();
            let request = CreateCalendar { name, reason, scope, starts, ends, ical };
            printer.item(&client.create_calendar(&request).await?)?;
        }
        CalendarCommand::Delete { id } => {
            client.delete_calendar(id).await?;
            note(&format!("calendar {id} is deleted"));
        }
    }
    OK
}
