//! The part of RFC 5545 recurrence rules that a freeze needs: intervals of days, weeks, months or years.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::super::local::{is_representable, local_time};
use super::CalendarError;

/// How often an entry recurs on its local clock.
///
/// A date that does not exist (31 April, 29 February) is left out and not counted, as RFC 5545 section 3.3.10 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrence {
    pub frequency: Frequency,
    /// Every how many days, weeks, months or years; 1 to 1,000.
    #[serde(default = "one")]
    pub interval: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RecurrenceEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When a recurrence stops: `{"count": 5}` or `{"until": "2026-12-31T00:00:00Z"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecurrenceEnd {
    /// Number of occurrences, the first included; 1 to 10,000.
    Count(u32),
    /// Latest possible start of an occurrence.
    Until(DateTime<Utc>),
}

fn one() -> u32 {
    1
}

impl Recurrence {
    /// Most dates examined for one answer: a year of days, and a long run of missing 29 Februaries.
    pub(super) const MAX_STEPS: usize = 1_000;
    const MAX_INTERVAL: u32 = 1_000;
    const MAX_COUNT: u32 = 10_000;

    pub(super) fn check(self, starts: DateTime<Utc>) -> Result<(), CalendarError> {
        let in_range = |field, value, limit| {
            if (1..=limit).contains(&value) {
                return Ok(());
            }
            Err(CalendarError::RecurrenceOutOfRange { field, value, limit })
        };
        in_range("interval", self.interval, Self::MAX_INTERVAL)?;
        match self.end {
            Some(RecurrenceEnd::Count(count)) => in_range("count", count, Self::MAX_COUNT),
            Some(RecurrenceEnd::Until(until)) if until < starts => {
                Err(CalendarError::RecurrenceEndsBeforeStart { until, starts })
            }
            _ => Ok(()),
        }
    }

    /// An index not later than that of the first occurrence that lasts beyond `instant`, and close to it.
    pub(super) fn first_index(
        self,
        first: NaiveDateTime,
        length: TimeDelta,
        instant: DateTime<Utc>,
        zone: Tz,
    ) -> u32 {
        if !is_representable(instant) {
            return 0;
        }
        // Two days cover every shift of a local clock, the skipped and repeated days of the date line included.
        let Some(from) = local_time(instant, zone).checked_sub_signed(length + TimeDelta::days(2)) else {
            return 0;
        };
        let years = i64::from(from.year() - first.year());
        let periods = match self.frequency {
            Frequency::Daily => (from - first).num_days(),
            Frequency::Weekly => (from - first).num_weeks(),
            Frequency::Monthly => years * 12 + i64::from(from.month()) - i64::from(first.month()) - 1,
            Frequency::Yearly => years - 1,
        };
        u32::try_from(periods / i64::from(self.interval)).unwrap_or(0)
    }

    /// The date with this index; `Some(None)` when there is no such date in its month, `None` past the calendar.
    pub(super) fn date(self, index: u32, first: NaiveDate) -> Option<Option<NaiveDate>> {
        let periods = index.checked_mul(self.interval)?;
        let date = match self.frequency {
            Frequency::Daily => Some(first.checked_add_days(Days::new(periods.into()))?),
            Frequency::Weekly => Some(first.checked_add_days(Days::new(u64::from(periods) * 7))?),
            Frequency::Monthly => {
                let months = first.month0().checked_add(periods)?;
                let year = first.year().checked_add_unsigned(months / 12).filter(|year| *year <= 9998)?;
                NaiveDate::from_ymd_opt(year, months % 12 + 1, first.day())
            }
            Frequency::Yearly => {
                let year = first.year().checked_add_unsigned(periods).filter(|year| *year <= 9998)?;
                NaiveDate::from_ymd_opt(year, first.month(), first.day())
            }
        };
        match date {
            Some(date) if date.year() > 9998 => None,
            other => Some(other),
        }
    }

    /// Whether the date with this index is within the count.
    pub(super) fn reaches(self, index: u32, first: NaiveDate) -> bool {
        let Some(RecurrenceEnd::Count(count)) = self.end else {
            return true;
        };
        let every_date_exists =
            first.day() <= 28 || matches!(self.frequency, Frequency::Daily | Frequency::Weekly);
        if every_date_exists {
            return index < count;
        }
        let existing = (0..index).map_while(|earlier| self.date(earlier, first)).flatten();
        (existing.take(count as usize).count() as u64) < u64::from(count)
    }
}
