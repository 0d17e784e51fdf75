//! The part of RFC 5545 recurrence rules that a freeze needs: intervals of days, weeks, months or years, and weekdays.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::super::day_rule::OffsetDays;
use super::super::local::{is_representable, local_time};
use super::CalendarError;
use super::by_day::ByDay;

/// RFC 3339 can write no later year.
const LAST_YEAR: i32 = 9998;

/// How often an entry recurs on its local clock.
///
/// A date that does not exist (31 April, 29 February) is left out and not counted, as RFC 5545 section 3.3.10 says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recurrence {
    pub frequency: Frequency,
    /// Every how many days, weeks, months or years; 1 to 1,000.
    #[serde(default = "one")]
    pub interval: u32,
    /// The days of the period: `["MO", "TH"]` of a week, `["2TU"]` of a month, of each year the month of the first start.
    /// Empty: the day of the first start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>, example = json!(["2TU"])))]
    pub by_day: Vec<ByDay>,
    /// Days from the days that the rule selects to the starts: `2TU` and 2 is the Thursday after the second Tuesday.
    #[serde(default, skip_serializing_if = "OffsetDays::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = i8, minimum = -30, maximum = 30))]
    pub offset_days: OffsetDays,
    /// The day on which a week begins, which matters to every second week with several days.
    #[serde(default = "monday", skip_serializing_if = "is_monday")]
    #[cfg_attr(feature = "schema", schema(value_type = String, example = "Mon"))]
    pub week_start: Weekday,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RecurrenceEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When a recurrence stops: `{"count": 5}` or `{"until": "2026-12-31T00:00:00Z"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RecurrenceEnd {
    /// Number of occurrences, the first included; 1 to 10,000.
    Count(u32),
    /// Latest possible start of an occurrence.
    Until(DateTime<Utc>),
}

fn one() -> u32 {
    1
}

fn monday() -> Weekday {
    Weekday::Mon
}

fn is_monday(day: &Weekday) -> bool {
    *day == Weekday::Mon
}

impl From<Frequency> for Recurrence {
    /// Every period, on the day of the first start, without an end.
    fn from(frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: 1,
            by_day: Vec::new(),
            offset_days: OffsetDays::NONE,
            week_start: Weekday::Mon,
            end: None,
        }
    }
}

impl Recurrence {
    /// Most periods examined for one answer: a year of days, and a long run of missing 29 Februaries.
    pub(super) const MAX_STEPS: usize = 1_000;
    const MAX_INTERVAL: u32 = 1_000;
    const MAX_COUNT: u32 = 10_000;
    const MAX_BY_DAY: usize = 42;

    /// Checks the rule for an entry that first starts at `starts`, on `first` of its local clock.
    pub(super) fn check(&self, starts: DateTime<Utc>, first: NaiveDate) -> Result<(), CalendarError> {
        let in_range = |field, value, limit| {
            if (1..=limit).contains(&value) {
                return Ok(());
            }
            Err(CalendarError::RecurrenceOutOfRange { field, value, limit })
        };
        in_range("interval", self.interval, Self::MAX_INTERVAL)?;
        match self.end {
            Some(RecurrenceEnd::Count(count)) => in_range("count", count, Self::MAX_COUNT)?,
            Some(RecurrenceEnd::Until(until)) if until < starts => {
                return Err(CalendarError::RecurrenceEndsBeforeStart { until, starts });
            }
            _ => {}
        }
        if self.by_day.len() > Self::MAX_BY_DAY {
            return Err(CalendarError::TooManyDays { count: self.by_day.len(), limit: Self::MAX_BY_DAY });
        }
        let has_months = matches!(self.frequency, Frequency::Monthly | Frequency::Yearly);
        if let Some(day) = self.by_day.iter().find(|day| day.nth.is_some() && !has_months) {
            return Err(CalendarError::NthWithoutMonth { day: *day });
        }
        let selected = self.selected(first);
        if !self.by_day.is_empty() && !self.by_day.iter().any(|day| day.selects(selected)) {
            return Err(CalendarError::StartIsNotSelected { start: first });
        }
        Ok(())
    }

    /// The day that the rule selects for a start on this date.
    pub(super) fn selected(&self, start: NaiveDate) -> NaiveDate {
        start.checked_sub_signed(self.offset_days.delta()).unwrap_or(start)
    }

    /// An index not later than that of the first period with an occurrence that lasts beyond `instant`, and close to it.
    pub(super) fn first_index(
        &self,
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
        let (from, first) = (self.selected(from.date()), self.selected(first.date()));
        let years = i64::from(from.year() - first.year());
        let periods = match self.frequency {
            Frequency::Daily => (from - first).num_days() - 1,
            Frequency::Weekly => (from - first).num_weeks() - 1,
            Frequency::Monthly => years * 12 + i64::from(from.month()) - i64::from(first.month()) - 1,
            Frequency::Yearly => years - 1,
        };
        u32::try_from(periods / i64::from(self.interval)).unwrap_or(0)
    }

    /// The starts in the period with this index, in order, from `first` on; `None` past the calendar.
    pub(super) fn starts(&self, index: u32, first: NaiveDate) -> Option<Vec<NaiveDate>> {
        let first = self.selected(first);
        let periods = index.checked_mul(self.interval)?;
        let selected = match self.frequency {
            Frequency::Daily => self.only_by_day(vec![first.checked_add_days(Days::new(periods.into()))?]),
            Frequency::Weekly => self.in_week(first.checked_add_days(Days::new(u64::from(periods) * 7))?)?,
            Frequency::Monthly => {
                let months = first.month0().checked_add(periods)?;
                let year = first.year().checked_add_unsigned(months / 12)?;
                self.in_month(year, months % 12 + 1, first.day())?
            }
            Frequency::Yearly => {
                self.in_month(first.year().checked_add_unsigned(periods)?, first.month(), first.day())?
            }
        };
        let starts = selected.into_iter().filter(|date| *date >= first);
        starts
            .map(|date| {
                date.checked_add_signed(self.offset_days.delta()).filter(|date| date.year() <= LAST_YEAR)
            })
            .collect()
    }

    fn only_by_day(&self, dates: Vec<NaiveDate>) -> Vec<NaiveDate> {
        let selects = |date: &NaiveDate| self.by_day.iter().any(|day| day.selects(*date));
        if self.by_day.is_empty() { dates } else { dates.into_iter().filter(selects).collect() }
    }

    fn in_week(&self, date: NaiveDate) -> Option<Vec<NaiveDate>> {
        if self.by_day.is_empty() {
            return Some(vec![date]);
        }
        let begin = date.week(self.week_start).checked_first_day()?;
        let dates: Option<Vec<_>> = (0..7).map(|day| begin.checked_add_days(Days::new(day))).collect();
        dates.map(|dates| self.only_by_day(dates))
    }

    fn in_month(&self, year: i32, month: u32, day: u32) -> Option<Vec<NaiveDate>> {
        if year > LAST_YEAR {
            return None;
        }
        if self.by_day.is_empty() {
            return Some(NaiveDate::from_ymd_opt(year, month, day).into_iter().collect());
        }
        Some(self.only_by_day((1..=31).filter_map(|day| NaiveDate::from_ymd_opt(year, month, day)).collect()))
    }

    /// The start of the last occurrence, if the rule counts them.
    pub(super) fn last_start(&self, first: NaiveDate) -> Option<NaiveDate> {
        let Some(RecurrenceEnd::Count(count)) = self.end else {
            return None;
        };
        (0..).map_while(|index| self.starts(index, first)).flatten().take(count as usize).last()
    }
}
