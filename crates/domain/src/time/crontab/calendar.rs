//! Which local times a pattern selects, without any time zone: the calendar arithmetic of the `cron` crate, fed with
//! text that means to it what the pattern means to crontab.
//!
//! Four differences are bridged here (the reasons are in `docs/adr/0003-crontab-meaning.md`):
//! - it wants seconds and numbers weekdays from Sunday = 1, so it is given seconds and weekday names;
//! - it joins the two day fields by "and", so a pattern with both restricted becomes two schedules;
//! - it has no n-th weekday of a month, so that becomes the weekday joined with the days among which it is;
//! - it ends in the year 2100, so a year is looked up through another one with the same calendar.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::super::day_rule::NthOfMonth;
use super::error::CrontabError;
use super::field::{Field, FieldValues};
use super::parse::Pattern;

/// Years that hold each of the fourteen possible calendars (weekday of 1 January, leap or not) at least once.
const STAND_IN_YEARS: std::ops::RangeInclusive<i32> = 2001..=2028;

/// Longest time between two firings of any pattern, in years: a fifth Monday of February around a century that is not a
/// leap year.
const LONGEST_PAUSE_YEARS: i32 = 40;

/// Local times selected by a pattern; at least one of the schedules fires within forty years of any moment.
#[derive(Debug)]
pub(super) struct LocalCalendar {
    schedules: Vec<cron::Schedule>,
}

impl LocalCalendar {
    pub(super) fn new(pattern: &Pattern) -> Result<Self, CrontabError> {
        let by_date = !pattern.days_of_month.unrestricted;
        let by_weekday = !pattern.days_of_week.unrestricted;
        let any_day = "*".to_owned();
        let mut schedules = Vec::new();
        if (by_date || !by_weekday) && has_any_date(pattern) {
            let days = numbers(Field::DayOfMonth, pattern.days_of_month);
            schedules.push(schedule(pattern, &days, &any_day)?);
        }
        if by_weekday && !pattern.days_of_week.is_empty() {
            schedules.push(schedule(pattern, &any_day, &weekday_names(pattern.days_of_week))?);
        }
        if by_weekday {
            schedules.extend(nth_weekdays(pattern)?);
        }
        if schedules.is_empty() {
            return Err(never_fires(pattern));
        }
        Ok(Self { schedules })
    }

    /// The first selected local time strictly later than `local`, which must be of whole seconds.
    pub(super) fn next_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        (local.year()..=local.year() + LONGEST_PAUSE_YEARS).find_map(|year| {
            let stand_in = stand_in_for(year)?;
            let after = if year == local.year() {
                local.with_year(stand_in)?
            } else {
                NaiveDate::from_ymd_opt(stand_in, 1, 1)?.and_time(NaiveTime::MIN) - TimeDelta::seconds(1)
            };
            self.next_in_stand_in(after, stand_in)?.with_year(year)
        })
    }

    fn next_in_stand_in(&self, after: NaiveDateTime, stand_in: i32) -> Option<NaiveDateTime> {
        // Utc serves as a clock without changes; no instant is meant.
        let after = after.and_utc();
        let next = self.schedules.iter().filter_map(|schedule| schedule.after(&after).next()).min()?;
        (next.year() == stand_in).then(|| next.naive_utc())
    }
}

/// The local times that a pattern selects, moved by whole days.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShiftedCalendar<'a> {
    pub(super) calendar: &'a LocalCalendar,
    pub(super) offset: TimeDelta,
}

impl ShiftedCalendar<'_> {
    pub(super) fn next_after(self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let selected = self.calendar.next_after(local.checked_sub_signed(self.offset)?)?;
        selected.checked_add_signed(self.offset)
    }
}

/// Whether some selected month has some selected day.
fn has_any_date(pattern: &Pattern) -> bool {
    pattern.months.iter().any(|month| {
        let longest = match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        pattern.days_of_month.iter().any(|day| day <= longest)
    })
}

fn stand_in_for(year: i32) -> Option<i32> {
    let shape = |year| NaiveDate::from_ymd_opt(year, 1, 1).map(|date| (date.weekday(), date.leap_year()));
    let wanted = shape(year)?;
    STAND_IN_YEARS.into_iter().find(|candidate| shape(*candidate) == Some(wanted))
}

/// The months of one length, in leap years and in others.
const MONTHS_BY_LENGTH: [(u8, &[u8], YearKind); 4] = [
    (31, &[1, 3, 5, 7, 8, 10, 12], YearKind::Any),
    (30, &[4, 6, 9, 11], YearKind::Any),
    (29, &[2], YearKind::Leap),
    (28, &[2], YearKind::Common),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum YearKind {
    Any,
    Leap,
    Common,
}

/// One schedule for each group of months in which the n-th weekday is among the same days.
fn nth_weekdays(pattern: &Pattern) -> Result<Vec<cron::Schedule>, CrontabError> {
    let mut schedules = Vec::new();
    for nth in (-1..=5).filter_map(|nth| NthOfMonth::try_from(nth).ok()) {
        let weekdays = pattern.days_of_week.weekdays_of(nth);
        if weekdays.is_empty() {
            continue;
        }
        let weekdays = weekday_names(weekdays);
        let everywhere = nth.days(28);
        if everywhere == nth.days(31) {
            schedules.push(schedule(pattern, &joined(everywhere), &weekdays)?);
            continue;
        }
        for (length, months, years) in MONTHS_BY_LENGTH {
            let months: Vec<u8> =
                months.iter().copied().filter(|month| pattern.months.contains(*month)).collect();
            let days = nth.days(length);
            if !months.is_empty() && !days.is_empty() {
                let (days, months) = (joined(days), joined(months));
                schedules.push(schedule_in(pattern, &days, &months, &weekdays, years)?);
            }
        }
    }
    Ok(schedules)
}

fn schedule(pattern: &Pattern, days: &str, weekdays: &str) -> Result<cron::Schedule, CrontabError> {
    schedule_in(pattern, days, &numbers(Field::Month, pattern.months), weekdays, YearKind::Any)
}

fn schedule_in(
    pattern: &Pattern,
    days: &str,
    months: &str,
    weekdays: &str,
    years: YearKind,
) -> Result<cron::Schedule, CrontabError> {
    let minutes = numbers(Field::Minute, pattern.minutes);
    let hours = numbers(Field::Hour, pattern.hours);
    let is_leap = |year: &i32| NaiveDate::from_ymd_opt(*year, 1, 1).is_some_and(|date| date.leap_year());
    let years = joined(STAND_IN_YEARS.filter(|year| match years {
        YearKind::Any => true,
        YearKind::Leap => is_leap(year),
        YearKind::Common => !is_leap(year),
    }));
    let text = format!("0 {minutes} {hours} {days} {months} {weekdays} {years}");
    // The text is made of checked numbers and names, so the crate has no reason to refuse it.
    text.parse().map_err(|_| never_fires(pattern))
}

fn never_fires(pattern: &Pattern) -> CrontabError {
    CrontabError::NeverFires { pattern: pattern.text.clone() }
}

fn numbers(field: Field, values: FieldValues) -> String {
    if (field.low()..=field.high()).all(|value| values.contains(value)) {
        return "*".to_owned();
    }
    joined(values.iter())
}

fn weekday_names(values: FieldValues) -> String {
    joined(values.iter().filter_map(|value| Field::DayOfWeek.names().get(usize::from(value))))
}

fn joined(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}
