//! Five-field crontab with its usual meaning, in any time zone.
//!
//! Source: the Open Cron Pattern Specification 1.0, which writes down the Vixie/ISC crontab; the rules at clock
//! changes are those of `docs/adr/0003-crontab-meaning.md`.

mod calendar;
mod clock_change;
mod error;
mod field;
mod hint;
mod parse;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use error::{CrontabError, FieldError};
pub use field::Field;
pub use hint::CrontabHint;

use super::day_rule::OffsetDays;
use super::local::is_representable;
use calendar::{LocalCalendar, ShiftedCalendar};
use clock_change::ClockChangeRule;

/// A crontab pattern: `minute hour day-of-month month day-of-week`, or a nickname such as `@daily`.
///
/// - A day matches when the day of month *or* the day of week does, if both are restricted; a day field is
///   unrestricted when it holds a bare `*`. `*/2` restricts.
/// - Days of the week are 0 to 7 with Sunday as 0 and 7, or names; months are 1 to 12, or names.
/// - `TUE#2` or `2#2` is the second Tuesday of the month, `FRIL` or `5L` the last Friday. Both restrict.
/// - An hour field without `*` is a fixed hour: each local slot fires once, at the first pass when clocks go back,
///   and at the first instant after the gap when they skip it.
/// - An hour field with `*` runs on through: it fires in both passes and skips what does not exist.
///
/// Equality is that of the text, with white space normalised: `@daily` and `0 0 * * *` are two patterns.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Crontab {
    text: String,
    schedule: Schedule,
    hint: Option<CrontabHint>,
}

/// When a pattern fires, on its own days or a number of days before or after them.
///
/// The offset counts days on the local clock, and the rules at clock changes apply to the day that is meant, not to the one
/// that the pattern selects.
#[derive(Clone)]
pub struct Schedule {
    calendar: Arc<LocalCalendar>,
    clock_change: ClockChangeRule,
    offset: OffsetDays,
}

impl Crontab {
    /// The pattern as it was written, with single spaces between its fields.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The firings of the pattern, moved by a number of days.
    pub fn moved_by(&self, offset: OffsetDays) -> Schedule {
        Schedule { offset, ..self.schedule.clone() }
    }

    /// What the pattern probably should say instead.
    pub fn hint(&self) -> Option<&CrontabHint> {
        self.hint.as_ref()
    }
}

impl Deref for Crontab {
    type Target = Schedule;

    fn deref(&self) -> &Schedule {
        &self.schedule
    }
}

impl Schedule {
    /// The first firing strictly later than `after`.
    ///
    /// `None` only at the end of the calendar, in the year 9998: a pattern that can never fire is refused when it is
    /// parsed. Clock changes are known until the end of the time zone tables, about the year 2100; later years
    /// keep the last known offset.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        if !is_representable(after) {
            return None;
        }
        let days = ShiftedCalendar { calendar: &self.calendar, offset: self.offset.delta() };
        self.clock_change.next_after(days, after, zone).filter(|next| is_representable(*next))
    }

    /// The last firing later than `after` and not later than `until`.
    pub fn latest_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        zone: Tz,
    ) -> Option<DateTime<Utc>> {
        let due = |from| self.next_after(from, zone).filter(|next| *next <= until);
        let mut latest = due(after)?;
        let mut nothing_after = until;
        // `next_after` never decreases, so the last firing is found by halving what is still unsearched.
        // Firings are at whole seconds, so there is no further one within a second.
        while nothing_after - latest >= TimeDelta::seconds(1) {
            let middle = latest + (nothing_after - latest) / 2;
            match due(middle) {
                Some(later) => latest = later,
                None => nothing_after = middle,
            }
        }
        Some(latest)
    }

    /// All firings strictly later than `after`, in order.
    pub fn occurrences(&self, after: DateTime<Utc>, zone: Tz) -> Occurrences<'_> {
        Occurrences { schedule: self, cursor: Some(after), zone }
    }
}

/// The firings of one [`Schedule`] in one time zone, in order.
#[derive(Debug, Clone)]
pub struct Occurrences<'a> {
    schedule: &'a Schedule,
    cursor: Option<DateTime<Utc>>,
    zone: Tz,
}

impl Iterator for Occurrences<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        self.cursor = self.schedule.next_after(self.cursor?, self.zone);
        self.cursor
    }
}

impl std::iter::FusedIterator for Occurrences<'_> {}

impl FromStr for Crontab {
    type Err = CrontabError;

    fn from_str(text: &str) -> Result<Self, CrontabError> {
        let pattern = parse::pattern(text)?;
        Ok(Self {
            schedule: Schedule {
                calendar: Arc::new(LocalCalendar::new(&pattern)?),
                clock_change: ClockChangeRule::of(&pattern),
                offset: OffsetDays::NONE,
            },
            hint: CrontabHint::of(&pattern),
            text: pattern.text,
        })
    }
}

crate::string_conversions!(Crontab);

impl fmt::Display for Crontab {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schedule").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl fmt::Debug for Crontab {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Crontab({:?})", self.text)
    }
}

impl PartialEq for Crontab {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Crontab {}
