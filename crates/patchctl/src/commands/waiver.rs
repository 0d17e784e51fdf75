//! Exceptions and freeze calendars.

use api_types::patch::{Calendar, CreateCalendar, CreateException, FreezePrice};
use domain::time::Recurrence;

use super::access::unless_proposed;
use crate::arguments::{CalendarCommand, ExceptionCommand};
use crate::connect::Connection;
use crate::input;
use terminal::{Columns, Printer, done, print};
use terminal::{CommandResult, OK};

const EXCEPTIONS: Columns =
    "id host=ci_id advisory=advisory_id package owner expires=expires_at active reason";
const CALENDARS: Columns = "id name scope reason by=created_by";
const PRICES: Columns = "freeze=name until days=frozen_days hosts hosts_unknown=unknown_hosts host_CVE_days=host_cve_days \
     hosts_overdue unknown=unknown_cause";

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
            let outcome = client.create_exception(&request).await?;
            unless_proposed(outcome, printer, |exception| printer.item(&exception))
        }
        ExceptionCommand::Delete { id } => {
            let id = connection.exception_id(id).await?;
            client.delete_exception(id).await?;
            done(&format!("exception {id} is ended"))
        }
    }
}

pub async fn calendar(connection: &Connection, command: CalendarCommand, printer: Printer) -> CommandResult {
    let client = connection.patch();
    match command {
        CalendarCommand::List(most) => list(&client.list_calendars(most.limit).await?, printer),
        CalendarCommand::Show { id, ical: false } => {
            show(&client.get_calendar(connection.calendar_id(id).await?).await?, printer)
        }
        CalendarCommand::Show { id, ical: true } => {
            print(&client.get_calendar_ical(connection.calendar_id(id).await?).await?)?;
            OK
        }
        CalendarCommand::Create {
            name,
            reason,
            tags,
            starts,
            ends,
            repeat,
            on,
            offset_days,
            time_zone,
            keep_open_days,
            ical,
        } => {
            let recurrence =
                repeat.map(|frequency| Recurrence { by_day: on, offset_days, ..frequency.into() });
            let ical = ical.as_deref().map(input::read_text).transpose()?;
            let scope = tags.into_iter().collect();
            let request = CreateCalendar {
                name,
                reason,
                scope,
                starts,
                ends,
                time_zone,
                recurrence,
                keep_open_days,
                ical,
            };
            let outcome = client.create_calendar(&request).await?;
            unless_proposed(outcome, printer, |calendar| show(&calendar, printer))
        }
        CalendarCommand::Delete { id } => {
            let id = connection.calendar_id(id).await?;
            let outcome = client.delete_calendar(id).await?;
            unless_proposed(outcome, printer, |()| done(&format!("calendar {id} is deleted")))
        }
    }
}

/// Calendars, and below them what their freezes cost.
fn list(calendars: &[Calendar], printer: Printer) -> CommandResult {
    printer.list(calendars, CALENDARS)?;
    if !printer.is_for_people() {
        return OK;
    }
    let prices: Vec<&FreezePrice> = calendars.iter().flat_map(|calendar| &calendar.prices).collect();
    printer.section(&prices, PRICES)
}

fn show(calendar: &Calendar, printer: Printer) -> CommandResult {
    if !printer.is_for_people() {
        return printer.item(calendar);
    }
    printer.item(&Calendar { prices: Vec::new(), ..calendar.clone() })?;
    printer.section(&calendar.prices, PRICES)
}
