//! Exceptions and freeze calendars.

use api_types::patch::{CreateCalendar, CreateException};

use crate::arguments::{CalendarCommand, ExceptionCommand};
use crate::connect::Connection;
use crate::failure::{CommandResult, OK};
use crate::input;
use crate::output::{Columns, Printer, done, print};

const EXCEPTIONS: Columns =
    "id host=ci_id advisory=advisory_id package owner expires=expires_at active reason";
const CALENDARS: Columns = "id name scope reason by=created_by";

pub async fn exception(
    connection: &Connection,
    command: ExceptionCommand,
    printer: Printer,
) -> CommandResult {
    let client = connection.patch();
    match command {
        ExceptionCommand::List(most) => {
            printer.list(&client.list_exceptions(&[], most.limit).await?, EXCEPTIONS)
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
            printer.item(&client.create_exception(&request).await?)
        }
        ExceptionCommand::Delete { id } => {
            client.delete_exception(id).await?;
            done(&format!("exception {id} is ended"))
        }
    }
}

pub async fn calendar(connection: &Connection, command: CalendarCommand, printer: Printer) -> CommandResult {
    let client = connection.patch();
    match command {
        CalendarCommand::List(most) => printer.list(&client.list_calendars(most.limit).await?, CALENDARS),
        CalendarCommand::Show { id, ical: false } => printer.item(&client.get_calendar(id).await?),
        CalendarCommand::Show { id, ical: true } => {
            print(&client.get_calendar_ical(id).await?)?;
            OK
        }
        CalendarCommand::Create { name, reason, tags, starts, ends, ical } => {
            let ical = ical.as_deref().map(input::read_text).transpose()?;
            let scope = tags.into_iter().collect();
            let request = CreateCalendar { name, reason, scope, starts, ends, ical };
            printer.item(&client.create_calendar(&request).await?)
        }
        CalendarCommand::Delete { id } => {
            client.delete_calendar(id).await?;
            done(&format!("calendar {id} is deleted"))
        }
    }
}
