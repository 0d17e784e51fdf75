//! iCalendar (RFC 5545) in and out, for the part of it that a freeze calendar needs.
//!
//! What would change the meaning and is not understood (`RDATE`, `EXRULE`, `BYWEEKNO`, ...) is refused with its line
//! number, never skipped: a freeze silently read wrong is worse than none.
//!
//! Properties of our own: `X-PATCH-SCOPE:env=prod`, one per tag, `X-PATCH-EFFECT:DENY` or `ALLOW`, `X-PATCH-KEEP-OPEN-DAYS`,
//! and `X-PATCH-RECURRENCE` for a rule with an offset, which `RRULE` cannot say. Other programs read `RDATE` instead of it.

mod event;
mod lines;
mod rule;
mod time;
mod write;
mod zone;

use std::collections::BTreeMap;

use super::{CalendarError, FreezeCalendar, MAX_ENTRIES};
use chrono::{DateTime, Utc};
use event::Event;
use lines::{Line, content_lines};
use zone::{Definition, Zones};

/// Largest file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of components.
const MAX_DEPTH: usize = 8;

/// A calendar file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("iCalendar line {line}: {problem}")]
pub struct IcalError {
    /// Counted from 1, as an editor does.
    pub line: usize,
    pub problem: IcalProblem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IcalProblem {
    #[error("the file is {length} bytes long, at most {MAX_BYTES} are read")]
    FileTooLong { length: usize },
    #[error("the line is longer than {limit} bytes when unfolded")]
    LineTooLong { limit: usize },
    #[error("the control character {character:?} is not allowed")]
    ControlCharacter { character: char },
    #[error("the line is not of the form `NAME;PARAMETER=value:value`")]
    NotAProperty,
    #[error("`{found}` is outside of a calendar, the file must start with `BEGIN:VCALENDAR`")]
    OutsideCalendar { found: String },
    #[error("`END:{found}` does not match `BEGIN:{expected}`")]
    WrongEnd { found: String, expected: String },
    #[error("the file ends before `END:{expected}`")]
    Unfinished { expected: String },
    #[error("the file contains no calendar")]
    NoCalendar,
    #[error("components are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the calendar has more than {MAX_ENTRIES} events")]
    TooManyEvents,
    #[error("the event has no `{property}`")]
    Missing { property: &'static str },
    #[error("the event has `{property}` twice")]
    Repeated { property: String },
    #[error("`{property}` is not supported, list the times as events of their own")]
    Unsupported { property: String },
    #[error("`{value}` is not a valid `{property}`, {help}")]
    InvalidValue { property: &'static str, value: String, help: &'static str },
    #[error(
        "time zone `{name}` is neither an IANA name such as `Europe/Berlin` nor defined by a `VTIMEZONE` of the file"
    )]
    UnknownTimeZone { name: String },
    #[error(
        "time zone `{name}` of this file has other clock changes around {year} than every IANA zone, write the times in UTC or with an IANA name"
    )]
    UnmatchedTimeZone { name: String, year: i32 },
    #[error("{0}")]
    Entry(CalendarError),
}

impl IcalProblem {
    fn at(self, line: usize) -> IcalError {
        IcalError { line, problem: self }
    }

    /// A refused value, shortened for the message.
    fn invalid(property: &'static str, value: &str, help: &'static str) -> Self {
        Self::InvalidValue { property, value: value.chars().take(80).collect(), help }
    }
}

impl FreezeCalendar {
    /// Reads the events of an iCalendar file; other components are ignored, cancelled events are left out.
    ///
    /// Times without a zone are those of `X-WR-TIMEZONE`, else of UTC.
    pub fn from_ical(text: &str) -> Result<Self, IcalError> {
        if text.len() > MAX_BYTES {
            return Err(IcalProblem::FileTooLong { length: text.len() }.at(1));
        }
        let mut reader = Reader::default();
        let mut last_line = 1;
        for line in content_lines(text) {
            let line = line?;
            last_line = line.number;
            reader.accept(line)?;
        }
        reader.finish(last_line)
    }

    /// Writes the calendar as iCalendar; `stamped_at` becomes the `DTSTAMP` of each event.
    pub fn to_ical(&self, stamped_at: DateTime<Utc>) -> String {
        write::calendar(self, stamped_at)
    }
}

/// The state of reading: which components are open, and the events so far.
#[derive(Default)]
struct Reader {
    open: Vec<String>,
    zones: Zones,
    /// `X-WR-TIMEZONE`.
    default_zone: Option<Line>,
    zone: Option<Definition>,
    event: Option<Event>,
    /// Read to the end first, because zones may come after the events.
    events: Vec<Event>,
    seen_calendar: bool,
}

impl Reader {
    fn accept(&mut self, line: Line) -> Result<(), IcalError> {
        let number = line.number;
        match line.name.as_str() {
            "BEGIN" => self.begin(&line).map_err(|problem| problem.at(number)),
            "END" => self.end(&line),
            _ if self.open.is_empty() => Err(IcalProblem::OutsideCalendar { found: line.name }.at(number)),
            "X-WR-TIMEZONE" if self.open.len() == 1 => {
                self.default_zone = Some(line);
                Ok(())
            }
            _ => self.accept_property(line).map_err(|problem| problem.at(number)),
        }
    }

    fn accept_property(&mut self, line: Line) -> Result<(), IcalProblem> {
        match (&mut self.event, &mut self.zone, self.open.len()) {
            (Some(event), _, 2) => event.accept(line),
            (_, Some(zone), 2) => {
                zone.accept(line);
                Ok(())
            }
            (_, Some(zone), 3) => {
                zone.accept_observance(line);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, line: &Line) -> Result<(), IcalProblem> {
        let component = line.value.trim().to_ascii_uppercase();
        if self.open.is_empty() && component != "VCALENDAR" {
            return Err(IcalProblem::OutsideCalendar { found: component });
        }
        if self.open.len() == MAX_DEPTH {
            return Err(IcalProblem::TooDeep);
        }
        self.seen_calendar = true;
        match (self.open.len(), component.as_str()) {
            (1, "VEVENT") => self.event = Some(Event::new(line.number)),
            (1, "VTIMEZONE") => self.zone = Some(Definition::default()),
            (2, "STANDARD" | "DAYLIGHT") => {
                if let Some(zone) = &mut self.zone {
                    zone.begin_observance();
                }
            }
            _ => {}
        }
        self.open.push(component);
        Ok(())
    }

    fn end(&mut self, line: &Line) -> Result<(), IcalError> {
        let found = line.value.trim().to_ascii_uppercase();
        match self.open.pop() {
            None => {
                return Err(IcalProblem::OutsideCalendar { found: format!("END:{found}") }.at(line.number));
            }
            Some(expected) if expected != found => {
                return Err(IcalProblem::WrongEnd { found, expected }.at(line.number));
            }
            Some(_) => {}
        }
        if self.open.len() == 1
            && let Some(zone) = self.zone.take()
        {
            self.zones.define(zone);
        }
        if self.open.len() == 1
            && let Some(event) = self.event.take()
        {
            if self.events.len() == MAX_ENTRIES {
                return Err(IcalProblem::TooManyEvents.at(line.number));
            }
            self.events.push(event);
        }
        Ok(())
    }

    fn finish(mut self, last_line: usize) -> Result<FreezeCalendar, IcalError> {
        if let Some(expected) = self.open.pop() {
            return Err(IcalProblem::Unfinished { expected }.at(last_line));
        }
        if !self.seen_calendar {
            return Err(IcalProblem::NoCalendar.at(last_line));
        }
        if let Some(line) = &self.default_zone {
            self.zones.default = zone::iana(&line.value).ok_or_else(|| {
                IcalProblem::UnknownTimeZone { name: zone::shown(&line.value) }.at(line.number)
            })?;
        }
        replace_occurrences(&mut self.events)?;
        let mut entries = Vec::with_capacity(self.events.len());
        for event in self.events {
            entries.extend(event.into_freeze(&self.zones)?);
        }
        FreezeCalendar::new(entries).map_err(|error| IcalProblem::Entry(error).at(last_line))
    }
}

/// Occurrences that were moved or cancelled are events of their own (`RECURRENCE-ID`): the recurring event leaves them out.
fn replace_occurrences(events: &mut [Event]) -> Result<(), IcalError> {
    let mut recurring: BTreeMap<String, usize> = BTreeMap::new();
    for (position, event) in events.iter().enumerate() {
        recurring.extend(event.recurring_uid().map(|uid| (uid, position)));
    }
    for position in 0..events.len() {
        let Some((uid, original)) = events[position].replaces() else { continue };
        let original = original.clone();
        if original.parameter("RANGE").is_some() {
            // It would replace all later occurrences, too.
            let property = "RECURRENCE-ID;RANGE".to_owned();
            return Err(IcalProblem::Unsupported { property }.at(original.number));
        }
        // The file may have only the occurrence.
        let Some(&of) = recurring.get(&uid) else { continue };
        events[of].leave_out(original);
        let (scope, effect) = events[of].scope_and_effect();
        events[position].inherit(&scope, effect.as_ref());
    }
    Ok(())
}
