//! One entry of a calendar.

use std::collections::BTreeMap;
use std::ops::Deref;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::super::local::{instant_of, is_representable, local_time};
use super::CalendarError;
use super::keep_open::KeepOpenDays;
use super::recurrence::{Recurrence, RecurrenceEnd};

/// Longest name and uid, and longest reason, in characters.
const MAX_NAME: usize = 200;
const MAX_REASON: usize = 4_000;

/// Longest recurring entry, in days.
const MAX_RECURRING_DAYS: i64 = 366;

/// Most occurrences that can be left out.
const MAX_EXCEPTIONS: usize = 1_000;

/// A time span that includes its start and excludes its end. An empty one is its single instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub starts: DateTime<Utc>,
    pub ends: DateTime<Utc>,
}

/// Whether an entry denies changes or allows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    #[default]
    Deny,
    Allow,
}

/// A named time in which changes are denied (or allowed), once or recurring; its fields are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FreezeFields", into = "FreezeFields")]
pub struct Freeze {
    fields: FreezeFields,
    /// The last date on which it starts, where the recurrence counts its occurrences.
    last_start: Option<NaiveDate>,
}

/// The fields of a freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeFields {
    /// Stable identity of the entry, unique in its calendar; the UID of iCalendar.
    pub uid: String,
    pub name: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub effect: Effect,
    /// Tags a host must have, all of them; empty means every host.
    #[serde(default)]
    pub scope: BTreeMap<String, String>,
    /// Start of the (first) occurrence.
    pub starts: DateTime<Utc>,
    /// End of the (first) occurrence; not itself part of it.
    pub ends: DateTime<Utc>,
    /// Time zone in which the entry recurs.
    #[serde(default)]
    pub time_zone: Tz,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// Starts of occurrences that are left out; they still count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<DateTime<Utc>>,
    /// Of each calendar month that an occurrence covers wholly, this many days at its end stay open for changes; 0 to 21.
    #[serde(default, skip_serializing_if = "KeepOpenDays::is_none")]
    pub keep_open_days: KeepOpenDays,
}

impl Freeze {
    /// Whether a host with these tags is in the scope of this entry.
    pub fn applies_to(&self, tags: &BTreeMap<String, String>) -> bool {
        self.scope.iter().all(|(key, value)| tags.get(key) == Some(value))
    }

    /// The first time that it shares with `span`: an occurrence, or a part of one between the days that stay open.
    pub fn first_overlap(&self, span: Span) -> Option<Span> {
        let Some(recurrence) = &self.recurrence else {
            return self.closed_part(self.first(), span);
        };
        let ahead =
            recurrence.first_index(self.local_first(), self.local_length(), span.starts, self.time_zone);
        (ahead..)
            .take(Recurrence::MAX_STEPS)
            .map_while(|index| recurrence.starts(index, self.local_first().date()))
            .flatten()
            .map_while(|date| self.occurrence(recurrence, date))
            .take_while(|occurrence| occurrence.starts < span.ends || occurrence.starts <= span.starts)
            .filter(|occurrence| !self.except.contains(&occurrence.starts))
            .find_map(|occurrence| self.closed_part(occurrence, span))
    }

    /// Its times that share time with `span`, in order.
    pub fn times_in(&self, span: Span) -> impl Iterator<Item = Span> {
        let mut rest = Some(span);
        std::iter::from_fn(move || {
            let from = rest.take()?;
            let found = self.first_overlap(from)?;
            let starts = found.ends.max(from.starts + TimeDelta::microseconds(1));
            rest = (starts < from.ends).then_some(Span { starts, ..from });
            Some(found)
        })
    }

    fn closed_part(&self, occurrence: Span, span: Span) -> Option<Span> {
        if !occurrence.overlaps(span) {
            return None;
        }
        let part = self.keep_open_days.first_closed(occurrence, span.starts, self.time_zone)?;
        part.overlaps(span).then_some(part)
    }

    /// Whether one occurrence holds all of `span`.
    pub fn covers(&self, span: Span) -> bool {
        let here = Span { starts: span.starts, ends: span.starts };
        self.first_overlap(here).is_some_and(|occurrence| occurrence.ends >= span.ends)
    }

    fn first(&self) -> Span {
        Span { starts: self.starts, ends: self.ends }
    }

    fn local_first(&self) -> chrono::NaiveDateTime {
        local_time(self.starts, self.time_zone)
    }

    /// Length on the local clock, so that a freeze of whole days stays one through clock changes.
    fn local_length(&self) -> TimeDelta {
        let length = local_time(self.ends, self.time_zone) - self.local_first();
        if length > TimeDelta::zero() { length } else { self.ends - self.starts }
    }

    /// The occurrence that starts on this date; `None` past the end.
    fn occurrence(&self, recurrence: &Recurrence, date: NaiveDate) -> Option<Span> {
        let first = self.local_first();
        if date == first.date() {
            return Some(self.first());
        }
        if self.last_start.is_some_and(|last| date > last) {
            return None;
        }
        let local = date.and_time(first.time());
        let starts = instant_of(local, self.time_zone)?;
        let ends = instant_of(local + self.local_length(), self.time_zone)?;
        let ended = matches!(recurrence.end, Some(RecurrenceEnd::Until(until)) if starts > until);
        (!ended).then_some(Span { starts, ends })
    }
}

impl Span {
    fn overlaps(self, other: Self) -> bool {
        let starts_before = self.starts < other.ends || self.starts == other.starts;
        starts_before && self.ends > other.starts
    }
}

impl Deref for Freeze {
    type Target = FreezeFields;

    fn deref(&self) -> &FreezeFields {
        &self.fields
    }
}

impl TryFrom<FreezeFields> for Freeze {
    type Error = CalendarError;

    fn try_from(fields: FreezeFields) -> Result<Self, CalendarError> {
        check_text("uid", &fields.uid, MAX_NAME)?;
        check_text("name", &fields.name, MAX_NAME)?;
        check_length("reason", &fields.reason, MAX_REASON)?;
        for (key, value) in &fields.scope {
            check_text("scope", key, MAX_NAME)?;
            check_text("scope", value, MAX_NAME)?;
            if key.contains('=') {
                return Err(CalendarError::EqualsInKey { key: key.clone() });
            }
        }
        let (starts, ends) = (fields.starts, fields.ends);
        for (field, instant) in [("starts", starts), ("ends", ends)] {
            if !is_representable(instant) {
                return Err(CalendarError::OutOfRange { field, instant });
            }
        }
        if ends <= starts {
            return Err(CalendarError::EndsBeforeStart { starts, ends });
        }
        let first = local_time(starts, fields.time_zone).date();
        if let Some(recurrence) = &fields.recurrence {
            recurrence.check(starts, first)?;
            let days = (ends - starts).num_days();
            if days > MAX_RECURRING_DAYS {
                return Err(CalendarError::TooLongToRecur { days });
            }
        }
        if fields.recurrence.is_none() && !fields.except.is_empty() {
            return Err(CalendarError::ExceptWithoutRecurrence);
        }
        if fields.except.len() > MAX_EXCEPTIONS {
            return Err(CalendarError::TooManyExceptions {
                count: fields.except.len(),
                limit: MAX_EXCEPTIONS,
            });
        }
        if fields.effect == Effect::Allow && !fields.keep_open_days.is_none() {
            return Err(CalendarError::KeepOpenOfAllowance);
        }
        let last_start = fields.recurrence.as_ref().and_then(|recurrence| recurrence.last_start(first));
        Ok(Self { fields, last_start })
    }
}

impl From<Freeze> for FreezeFields {
    fn from(freeze: Freeze) -> Self {
        freeze.fields
    }
}

fn check_text(field: &'static str, text: &str, limit: usize) -> Result<(), CalendarError> {
    if text.trim().is_empty() {
        return Err(CalendarError::EmptyText { field });
    }
    if let Some(character) = text.chars().find(|character| character.is_control()) {
        return Err(CalendarError::ControlCharacter { field, character });
    }
    check_length(field, text, limit)
}

fn check_length(field: &'static str, text: &str, limit: usize) -> Result<(), CalendarError> {
    let forbidden = |character: &char| character.is_control() && !matches!(character, '\n' | '\t');
    if let Some(character) = text.chars().find(forbidden) {
        return Err(CalendarError::ControlCharacter { field, character });
    }
    match text.chars().count() {
        length if length > limit => Err(CalendarError::TextTooLong { field, length, limit }),
        _ => Ok(()),
    }
}
