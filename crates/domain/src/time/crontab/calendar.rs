//! Which local times a pattern selects, without any time zone: the calendar arithmetic of the `cron` crate, fed with
//! text that means to it what the pattern means to crontab.
//!
//! Three differences are bridged here (the reasons are in `docs/adr/0003-crontab-meaning.md`):
//! - it wants seconds and numbers weekdays from Sunday = 1, so it is given seconds and weekday names;
//! - it joins the two day fields by "and", so a pattern with both restricted becomes two schedules;
//! - it ends in the year 2100, so a year is looked up through another one with the same calendar.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::error::CrontabError;
use super::field::{Field, FieldValues};
use super::parse::Pattern;

/// Years that hold each of the fourteen possible calendars (weekday of 1 January, leap or not) at least once.
const STAND_IN_YEARS: std::ops::RangeInclusive<i32> = 2001..=2028;

/// Longest time between two firings of any pattern, in years: 29 February around a century that is not a leap year.
const LONGEST_PAUSE_YEARS: i32 = 8;

/// Local times selected by a pattern; at least one of the schedules fires within eight years of any moment.
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
        if by_weekday {
            schedules.push(schedule(pattern, &any_day, &weekday_names(pattern.days_of_week))?);
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

fn schedule(pattern: &Pattern, days: &str, weekdays: &str) -> Result<cron::Schedule, CrontabError> {
    let minutes = numbers(Field::Minute, pattern.minutes);
    let hours = numbers(Field::Hour, pattern.hours);
    let months = numbers(Field::Month, pattern.months);
    let (first, last) = (STAND_IN_YEARS.start(), STAND_IN_YEARS.end());
    let text = format!("0 {minutes} {hours} {days} {months} {weekdays} {first}-{last}");
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
    joined(values.iter().map(|value| value.to_string()))
}

fn weekday_names(values: FieldValues) -> String {
    joined(
        values
            .iter()
            .filter_map(|value| Field::DayOfWeek.names().get(usize::from(value)).map(|n| (*n).to_owned())),
    )
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}
