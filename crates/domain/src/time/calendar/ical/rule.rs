//! `RRULE` to a recurrence, and the parts that time zones write in the same way.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;

use super::IcalProblem;
use super::time::{Length, Moment, moment_text};
use crate::time::calendar::{ByDay, Frequency, Recurrence, RecurrenceEnd};
use crate::time::day_rule::{NthOfMonth, OffsetDays};

/// The parts of a rule by their names, both in upper case.
pub(super) struct Parts<'a> {
    text: &'a str,
    parts: BTreeMap<String, String>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, IcalProblem> {
        let mut rule = Self { text, parts: BTreeMap::new() };
        for part in text.trim().split(';') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| rule.invalid("write parts like `FREQ=YEARLY;INTERVAL=1`"))?;
            if rule.parts.insert(key.to_ascii_uppercase(), value.to_ascii_uppercase()).is_some() {
                return Err(rule.invalid("write each part once"));
            }
        }
        Ok(rule)
    }

    pub(super) fn invalid(&self, help: &'static str) -> IcalProblem {
        IcalProblem::invalid("RRULE", self.text, help)
    }

    /// Takes a part out; what is left at the end was not understood.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.parts.remove(key)
    }

    pub(super) fn take_number<T: std::str::FromStr>(
        &mut self,
        key: &str,
        help: &'static str,
    ) -> Result<Option<T>, IcalProblem> {
        self.take(key).map(|value| value.parse().map_err(|_| self.invalid(help))).transpose()
    }

    pub(super) fn take_days(&mut self) -> Result<Vec<ByDay>, IcalProblem> {
        let Some(value) = self.take("BYDAY") else {
            return Ok(Vec::new());
        };
        let days: Result<Vec<ByDay>, _> = value.split(',').map(str::parse).collect();
        days.map_err(|_| self.invalid("its BYDAY must be weekdays like `TU`, `2TU` (1 to 5) or `-1FR`"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

pub(super) fn recurrence(text: &str, begins: Moment) -> Result<Recurrence, IcalProblem> {
    let mut parts = Parts::new(text)?;
    let frequency = frequency(&mut parts)?;
    let interval = parts.take_number("INTERVAL", "INTERVAL is not a number")?.unwrap_or(1);
    let end = end(&mut parts, begins.zone)?;
    let week_start = week_start(&mut parts)?;
    let by_day = days_of_period(&mut parts, frequency, begins)?;
    if !parts.is_empty() {
        return Err(parts.invalid(
            "only FREQ, INTERVAL, COUNT, UNTIL, WKST, BYDAY and BYSETPOS of one weekday are read, and BY parts that repeat DTSTART",
        ));
    }
    Ok(Recurrence { frequency, interval, by_day, offset_days: OffsetDays::NONE, week_start, end })
}

fn frequency(parts: &mut Parts<'_>) -> Result<Frequency, IcalProblem> {
    match parts.take("FREQ").as_deref() {
        None => Err(parts.invalid("FREQ is missing")),
        Some("DAILY") => Ok(Frequency::Daily),
        Some("WEEKLY") => Ok(Frequency::Weekly),
        Some("MONTHLY") => Ok(Frequency::Monthly),
        Some("YEARLY") => Ok(Frequency::Yearly),
        Some(_) => Err(parts.invalid("use DAILY, WEEKLY, MONTHLY or YEARLY")),
    }
}

fn end(parts: &mut Parts<'_>, zone: Tz) -> Result<Option<RecurrenceEnd>, IcalProblem> {
    let count = parts.take_number("COUNT", "COUNT is not a number")?.map(RecurrenceEnd::Count);
    match (count, parts.take("UNTIL")) {
        (Some(_), Some(_)) => Err(parts.invalid("write COUNT or UNTIL, not both")),
        (count, None) => Ok(count),
        (None, Some(text)) => until(&text, zone).map(RecurrenceEnd::Until).map(Some),
    }
}

/// The latest start an `UNTIL` admits; a bare date admits its whole day.
fn until(text: &str, zone: Tz) -> Result<DateTime<Utc>, IcalProblem> {
    let moment = moment_text("RRULE", text, zone)?;
    let latest = if moment.whole_day {
        moment.plus(Length::ONE_DAY).map(|next_day| next_day - TimeDelta::seconds(1))
    } else {
        moment.instant()
    };
    latest.ok_or_else(|| IcalProblem::invalid("RRULE", text, "it is out of range"))
}

fn week_start(parts: &mut Parts<'_>) -> Result<Weekday, IcalProblem> {
    let Some(text) = parts.take("WKST") else {
        return Ok(Weekday::Mon);
    };
    match text.parse() {
        Ok(ByDay { weekday, nth: None }) => Ok(weekday),
        _ => Err(parts.invalid("its WKST must be a weekday like `MO`")),
    }
}

/// The days that the `BY` parts select in each period; empty where they only repeat the start, as many programs write it.
fn days_of_period(
    parts: &mut Parts<'_>,
    frequency: Frequency,
    begins: Moment,
) -> Result<Vec<ByDay>, IcalProblem> {
    let start = begins.local;
    let month: Option<u32> = parts.take_number("BYMONTH", "its BYMONTH must be the month of DTSTART")?;
    let day: Option<u32> = parts.take_number("BYMONTHDAY", "its BYMONTHDAY must be the day of DTSTART")?;
    let position: Option<i8> = parts.take_number("BYSETPOS", "its BYSETPOS must be 1 to 5, or -1")?;
    let mut days = parts.take_days()?;
    let other_times = || parts.invalid("its BY parts select other times than DTSTART repeated");
    let is_yearly = frequency == Frequency::Yearly;
    let month_is_implied = month.is_none_or(|month| is_yearly && month == start.month());
    let day_is_implied = day.is_none_or(|day| {
        let implied = frequency == Frequency::Monthly || is_yearly && month.is_some();
        implied && days.is_empty() && day == start.day()
    });
    // Without a month, the weekdays of a year are counted from its beginning.
    if !month_is_implied || !day_is_implied || is_yearly && month.is_none() && !days.is_empty() {
        return Err(other_times());
    }
    if let Some(position) = position {
        // Outlook writes the second Tuesday as `BYDAY=TU;BYSETPOS=2`.
        let has_months = matches!(frequency, Frequency::Monthly | Frequency::Yearly);
        let nth = NthOfMonth::try_from(position).ok().filter(|_| has_months);
        match (days.as_mut_slice(), nth) {
            ([one], Some(nth)) if one.nth.is_none() => one.nth = Some(nth),
            _ => return Err(other_times()),
        }
    }
    if frequency == Frequency::Weekly
        && let [ByDay { weekday, nth: None }] = days.as_slice()
        && *weekday == start.weekday()
    {
        days.clear();
    }
    Ok(days)
}
