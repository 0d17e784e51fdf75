//! Freeze calendars: when changes are denied, when they are allowed, and for which hosts.

mod by_day;
mod freeze;
mod ical;
mod keep_open;
mod recurrence;
mod weakening;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

pub use by_day::{ByDay, ByDayError};
pub use freeze::{Effect, Freeze, FreezeFields, Span};
pub use ical::{IcalError, IcalProblem};
pub use keep_open::KeepOpenDays;
pub use recurrence::{Frequency, Recurrence, RecurrenceEnd};

/// Most entries of one calendar.
pub const MAX_ENTRIES: usize = 1_000;

/// How many freezes in a row are skipped to find the next permitted instant.
const MAX_STEPS: usize = 1_000;

/// A list of freezes. A denial beats an allowance; where allowances exist for a host, only they permit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Freeze>", into = "Vec<Freeze>")]
pub struct FreezeCalendar {
    entries: Vec<Freeze>,
}

/// An invalid calendar or entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error("calendar has {count} entries, give at most {MAX_ENTRIES}")]
    TooManyEntries { count: usize },
    #[error("calendar has two entries with the uid `{uid}`, give each its own")]
    DuplicateUid { uid: String },
    #[error("`{field}` is empty, fill it")]
    EmptyText { field: &'static str },
    #[error("`{field}` is {length} characters long, give at most {limit}")]
    TextTooLong { field: &'static str, length: usize, limit: usize },
    #[error("`{field}` contains the control character {character:?}, remove it")]
    ControlCharacter { field: &'static str, character: char },
    #[error("`scope` has the tag key `{key}`, use a key without `=`")]
    EqualsInKey { key: String },
    #[error("freeze ends at {ends}, not after its start {starts}")]
    EndsBeforeStart { starts: DateTime<Utc>, ends: DateTime<Utc> },
    #[error("`{field}` {instant} is out of range, use years 1 to 9998")]
    OutOfRange { field: &'static str, instant: DateTime<Utc> },
    #[error("recurring freeze lasts {days} days, use at most 366")]
    TooLongToRecur { days: i64 },
    #[error("recurrence `{field}` {value} is out of range, use 1 to {limit}")]
    RecurrenceOutOfRange { field: &'static str, value: u32, limit: u32 },
    #[error("recurrence `by_day` has {count} days, give at most {limit}")]
    TooManyDays { count: usize, limit: usize },
    #[error("recurrence `by_day` has `{day}`, use the n-th weekday with the frequency `monthly` or `yearly`")]
    NthWithoutMonth { day: ByDay },
    #[error("the first start, on {start}, is not a day that the recurrence selects; begin on such a day")]
    StartIsNotSelected { start: NaiveDate },
    #[error("`except` has {count} times, give at most {limit}")]
    TooManyExceptions { count: usize, limit: usize },
    #[error("`except` leaves out occurrences of a recurrence, and the freeze has none")]
    ExceptWithoutRecurrence,
    #[error("`keep_open_days` {days} is out of range, use 0 to {limit}")]
    KeepOpenOutOfRange { days: u8, limit: u8 },
    #[error("`keep_open_days` keeps days of a freeze open, and this entry allows changes")]
    KeepOpenOfAllowance,
    #[error("recurrence ends at {until}, before the first start {starts}")]
    RecurrenceEndsBeforeStart { until: DateTime<Utc>, starts: DateTime<Utc> },
}

/// Whether a calendar permits a time for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    Permitted,
    /// Denied by these entries.
    Frozen(Vec<&'a Freeze>),
    /// The host has allowances, and none covers the time.
    OutsideAllowed,
}

impl FreezeCalendar {
    /// A calendar of at most [`MAX_ENTRIES`] entries with different uids.
    pub fn new(entries: Vec<Freeze>) -> Result<Self, CalendarError> {
        if entries.len() > MAX_ENTRIES {
            return Err(CalendarError::TooManyEntries { count: entries.len() });
        }
        let mut uids = BTreeSet::new();
        if let Some(twice) = entries.iter().find(|entry| !uids.insert(entry.uid.as_str())) {
            return Err(CalendarError::DuplicateUid { uid: twice.uid.clone() });
        }
        Ok(Self { entries })
    }

    pub fn entries(&self) -> &[Freeze] {
        &self.entries
    }

    /// Whether a host with these tags may be changed at `instant`.
    pub fn verdict_at(&self, instant: DateTime<Utc>, tags: &BTreeMap<String, String>) -> Verdict<'_> {
        self.verdict_over(Span { starts: instant, ends: instant }, tags)
    }

    /// Whether a host with these tags may be changed during all of `span`.
    pub fn verdict_over(&self, span: Span, tags: &BTreeMap<String, String>) -> Verdict<'_> {
        let denied: Vec<&Freeze> =
            self.in_scope(Effect::Deny, tags).filter(|entry| entry.first_overlap(span).is_some()).collect();
        if !denied.is_empty() {
            return Verdict::Frozen(denied);
        }
        let mut allowances = self.in_scope(Effect::Allow, tags).peekable();
        if allowances.peek().is_none() || allowances.any(|entry| entry.covers(span)) {
            Verdict::Permitted
        } else {
            Verdict::OutsideAllowed
        }
    }

    /// The first instant, `from` or later, at which a host with these tags may be changed.
    ///
    /// `None` if there is none, or if a thousand freezes in a row follow each other.
    pub fn next_permitted(
        &self,
        from: DateTime<Utc>,
        tags: &BTreeMap<String, String>,
    ) -> Option<DateTime<Utc>> {
        let mut instant = from;
        for _ in 0..MAX_STEPS {
            let here = Span { starts: instant, ends: instant };
            instant = match self.verdict_at(instant, tags) {
                Verdict::Permitted => return Some(instant),
                Verdict::Frozen(denied) => {
                    denied.iter().filter_map(|entry| entry.first_overlap(here)).map(|span| span.ends).max()?
                }
                Verdict::OutsideAllowed => {
                    let ahead = Span { starts: instant, ends: DateTime::<Utc>::MAX_UTC };
                    let openings = self.in_scope(Effect::Allow, tags);
                    openings.filter_map(|entry| entry.first_overlap(ahead)).map(|span| span.starts).min()?
                }
            }
            .max(instant);
        }
        None
    }

    fn in_scope(&self, effect: Effect, tags: &BTreeMap<String, String>) -> impl Iterator<Item = &Freeze> {
        self.entries.iter().filter(move |entry| entry.effect == effect && entry.applies_to(tags))
    }
}

impl TryFrom<Vec<Freeze>> for FreezeCalendar {
    type Error = CalendarError;

    fn try_from(entries: Vec<Freeze>) -> Result<Self, CalendarError> {
        Self::new(entries)
    }
}

impl From<FreezeCalendar> for Vec<Freeze> {
    fn from(calendar: FreezeCalendar) -> Self {
        calendar.entries
    }
}
