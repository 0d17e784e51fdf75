//! Days of each month on which a long freeze lets changes through.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::super::local::{instant_of, local_time};
use super::CalendarError;
use super::freeze::Span;

/// Days at the end of each calendar month that a freeze covers wholly on its local clock: they stay open for patching.
///
/// The end and not the beginning, because most vendors publish in the first half of a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct KeepOpenDays(u8);

/// The first instants of a month and of its open days, and the end of both.
struct Month {
    starts: DateTime<Utc>,
    opens: DateTime<Utc>,
    ends: DateTime<Utc>,
}

impl KeepOpenDays {
    /// A month has at least one closed week.
    const MAX: u8 = 21;

    pub fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// The first closed part of an occurrence that ends later than `from`.
    pub(super) fn first_closed(self, occurrence: Span, from: DateTime<Utc>, zone: Tz) -> Option<Span> {
        if self.is_none() {
            return Some(occurrence);
        }
        let from = from.max(occurrence.starts);
        let covered = |month: &Month| month.starts >= occurrence.starts && month.ends <= occurrence.ends;
        let here = self.month(first_of_month(from, zone)?, zone)?;
        let starts = if covered(&here) && from >= here.opens {
            here.ends
        } else if here.starts > occurrence.starts && covered(&self.month(before(from, zone)?, zone)?) {
            here.starts
        } else {
            occurrence.starts
        };
        let first = first_of_month(starts, zone)?;
        let next = [Some(first), first.checked_add_months(Months::new(1))];
        let next = next.into_iter().flatten().filter_map(|first| self.month(first, zone)).find(covered);
        let ends = next.map_or(occurrence.ends, |month| month.opens);
        (starts < ends).then_some(Span { starts, ends })
    }

    fn month(self, first: NaiveDate, zone: Tz) -> Option<Month> {
        let next = first.checked_add_months(Months::new(1))?;
        let at = |date: NaiveDate| instant_of(date.and_time(NaiveTime::MIN), zone);
        let opens = next.checked_sub_signed(TimeDelta::days(self.0.into()))?;
        Some(Month { starts: at(first)?, opens: at(opens)?, ends: at(next)? })
    }
}

fn first_of_month(instant: DateTime<Utc>, zone: Tz) -> Option<NaiveDate> {
    local_time(instant, zone).date().with_day(1)
}

fn before(instant: DateTime<Utc>, zone: Tz) -> Option<NaiveDate> {
    first_of_month(instant, zone)?.checked_sub_months(Months::new(1))
}

impl TryFrom<u8> for KeepOpenDays {
    type Error = CalendarError;

    fn try_from(days: u8) -> Result<Self, CalendarError> {
        if days <= Self::MAX {
            Ok(Self(days))
        } else {
            Err(CalendarError::KeepOpenOutOfRange { days, limit: Self::MAX })
        }
    }
}

impl From<KeepOpenDays> for u8 {
    fn from(days: KeepOpenDays) -> Self {
        days.0
    }
}
