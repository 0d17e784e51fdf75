//! Dates, times, lengths and zones of iCalendar.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::IcalProblem;
use super::lines::Line;
use super::zone::Zones;
use crate::time::local::instant_of;

const TIME_HELP: &str = "write it like `20261224T180000Z`";
const LENGTH_HELP: &str = "write it like `PT4H` or `P2D`";

/// Longest number in a length, in digits; a century of seconds has ten.
const MAX_DIGITS: usize = 9;

/// A point in time as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) local: NaiveDateTime,
    pub(super) zone: Tz,
    /// Only a date was written: the moment is the start of that day.
    pub(super) whole_day: bool,
}

impl Moment {
    pub(super) fn instant(self) -> Option<DateTime<Utc>> {
        instant_of(self.local, self.zone)
    }

    pub(super) fn plus(self, length: Length) -> Option<DateTime<Utc>> {
        let local = self.local.checked_add_days(length.days)?;
        instant_of(local, self.zone)?.checked_add_signed(length.elapsed)
    }
}

/// A length: whole days on the local clock, then elapsed time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    days: Days,
    elapsed: TimeDelta,
}

impl Length {
    pub(super) const ONE_DAY: Self = Self { days: Days::new(1), elapsed: TimeDelta::zero() };
}

/// Reads `DTSTART` or `DTEND` with its parameters.
pub(super) fn moment(property: &'static str, line: &Line, zones: &Zones) -> Result<Moment, IcalProblem> {
    moment_value(property, line, &line.value, zones)
}

/// Reads the comma-separated times of `EXDATE` with its parameters.
pub(super) fn moments(
    property: &'static str,
    line: &Line,
    zones: &Zones,
) -> Result<Vec<Moment>, IcalProblem> {
    line.value.split(',').map(|value| moment_value(property, line, value, zones)).collect()
}

fn moment_value(
    property: &'static str,
    line: &Line,
    value: &str,
    zones: &Zones,
) -> Result<Moment, IcalProblem> {
    let moment = moment_text(property, value, zones.default)?;
    match line.parameter("TZID") {
        // A time in UTC stays one, whatever zone is named.
        Some(name) if !value.trim().ends_with('Z') => {
            Ok(Moment { zone: zones.find(name, moment.local.year())?, ..moment })
        }
        _ => Ok(moment),
    }
}

/// Reads a date, a local time in `zone`, or a time in UTC.
pub(super) fn moment_text(property: &'static str, text: &str, zone: Tz) -> Result<Moment, IcalProblem> {
    let text = text.trim();
    let invalid = || IcalProblem::invalid(property, text, TIME_HELP);
    let (date, time) = match text.split_once('T') {
        None => (text, None),
        Some((date, time)) => (date, Some(time)),
    };
    let date = digits::<8>(date)
        .and_then(|digits| NaiveDate::parse_from_str(digits, "%Y%m%d").ok())
        .ok_or_else(invalid)?;
    let Some(time) = time else {
        return Ok(Moment { local: date.and_time(NaiveTime::MIN), zone, whole_day: true });
    };
    let (time, zone) = time.strip_suffix('Z').map_or((time, zone), |time| (time, Tz::UTC));
    let time = digits::<6>(time)
        .and_then(|digits| NaiveTime::parse_from_str(digits, "%H%M%S").ok())
        .ok_or_else(invalid)?;
    Ok(Moment { local: date.and_time(time), zone, whole_day: false })
}

/// Reads `P2W`, `P1D`, `PT4H30M`, `P1DT12H`.
pub(super) fn length(text: &str) -> Result<Length, IcalProblem> {
    let invalid = || IcalProblem::invalid("DURATION", text, LENGTH_HELP);
    let text = text.trim();
    let rest = text.strip_prefix('+').unwrap_or(text).strip_prefix('P').ok_or_else(invalid)?;
    let (date_part, time_part) = rest.split_once('T').map_or((rest, None), |(date, time)| (date, Some(time)));
    let mut length = Length { days: Days::new(0), elapsed: TimeDelta::zero() };
    let mut days = 0;
    for (count, unit) in amounts(date_part).ok_or_else(invalid)? {
        days += match unit {
            'W' => count * 7,
            'D' => count,
            _ => return Err(invalid()),
        };
    }
    for (count, unit) in amounts(time_part.unwrap_or_default()).ok_or_else(invalid)? {
        let seconds = match unit {
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            _ => return Err(invalid()),
        };
        length.elapsed += TimeDelta::seconds(i64::from(count) * seconds);
    }
    length.days = Days::new(days.into());
    Ok(length)
}

/// Numbers with the letter behind each; `None` when the text is anything else, or long enough to overflow.
fn amounts(text: &str) -> Option<Vec<(u32, char)>> {
    let mut amounts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        if end == 0 || end > MAX_DIGITS - 1 || amounts.len() == 3 {
            return None;
        }
        let unit = rest[end..].chars().next()?;
        amounts.push((rest[..end].parse().ok()?, unit));
        rest = &rest[end + unit.len_utf8()..];
    }
    Some(amounts)
}

fn digits<const LENGTH: usize>(text: &str) -> Option<&str> {
    (text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}
