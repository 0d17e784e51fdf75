//! Time zones of a file: IANA names, names that end in one, and zones that the file defines itself (`VTIMEZONE`).
//!
//! A recurrence and its clock changes need an IANA zone. A zone that the file defines is therefore compared with the IANA
//! zones: one with the same offsets in the years around the event takes its place. If there is none, the event is refused.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::IcalProblem;
use super::lines::Line;
use super::rule::Parts;
use super::time::moment_text;

/// Years before and after an event in which a zone must have the offsets of its definition.
const YEARS_BEFORE: i32 = 1;
const YEARS_AFTER: i32 = 5;

/// Zones that are tried first, so that the zone has a name that people expect.
const USUAL: [Tz; 22] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::Europe__London,
    Tz::Europe__Athens,
    Tz::Europe__Moscow,
    Tz::Europe__Istanbul,
    Tz::America__New_York,
    Tz::America__Chicago,
    Tz::America__Denver,
    Tz::America__Phoenix,
    Tz::America__Los_Angeles,
    Tz::America__Halifax,
    Tz::America__Sao_Paulo,
    Tz::Asia__Dubai,
    Tz::Asia__Kolkata,
    Tz::Asia__Bangkok,
    Tz::Asia__Shanghai,
    Tz::Asia__Tokyo,
    Tz::Australia__Sydney,
    Tz::Australia__Brisbane,
    Tz::Pacific__Auckland,
    Tz::Africa__Lagos,
];

/// The zones of one file.
#[derive(Default)]
pub(super) struct Zones {
    /// Of times without a zone.
    pub(super) default: Tz,
    defined: BTreeMap<String, Definition>,
}

/// The lines of one `VTIMEZONE`.
#[derive(Default)]
pub(super) struct Definition {
    name: Option<String>,
    observances: Vec<Observance>,
}

/// One `STANDARD` or `DAYLIGHT`: from when on which offset is in force.
#[derive(Default)]
struct Observance {
    properties: BTreeMap<String, String>,
    unsupported: bool,
}

/// From an instant on, seconds east of Greenwich.
type Change = (DateTime<Utc>, i32);

impl Definition {
    /// A line directly in the `VTIMEZONE`.
    pub(super) fn accept(&mut self, line: Line) {
        if line.name == "TZID" {
            self.name = Some(line.value.trim().to_owned());
        }
    }

    pub(super) fn begin_observance(&mut self) {
        self.observances.push(Observance::default());
    }

    /// A line in the last `STANDARD` or `DAYLIGHT`.
    pub(super) fn accept_observance(&mut self, line: Line) {
        if let Some(observance) = self.observances.last_mut() {
            observance.unsupported |= line.name == "RDATE" || observance.properties.contains_key(&line.name);
            observance.properties.insert(line.name, line.value);
        }
    }

    /// The changes from the year `first` to the year `last`, and the one before them; `None` for a definition of a form
    /// that is not read.
    fn changes(&self, first: i32, last: i32) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        for observance in &self.observances {
            changes.extend(observance.changes(first - 1, last)?);
        }
        changes.sort_unstable();
        Some(changes)
    }
}

impl Observance {
    fn changes(&self, first: i32, last: i32) -> Option<Vec<Change>> {
        let begins = self.local("DTSTART")?;
        let (from, to) = (self.offset("TZOFFSETFROM")?, self.offset("TZOFFSETTO")?);
        let at = |local: NaiveDateTime| Some((local.checked_sub_signed(from)?.and_utc(), to));
        if self.unsupported {
            return None;
        }
        let Some(rule) = self.properties.get("RRULE") else {
            return at(begins).map(|(at, to)| vec![(at, seconds(to))]);
        };
        let mut parts = Parts::new(rule).ok()?;
        let yearly = parts.take("FREQ").is_some_and(|frequency| frequency == "YEARLY");
        let interval: u32 = parts.take_number("INTERVAL", "").ok()?.unwrap_or(1);
        parts.take("WKST");
        let month = parts.take_number("BYMONTH", "").ok()?.unwrap_or(begins.month());
        let day: Option<u32> = parts.take_number("BYMONTHDAY", "").ok()?;
        let days = parts.take_days().ok()?;
        let until = match parts.take("UNTIL") {
            Some(text) => Some(moment_text("RRULE", &text, Tz::UTC).ok()?.instant()?),
            None => None,
        };
        if !yearly
            || interval != 1
            || !parts.is_empty()
            || days.len() > 1
            || day.is_some() && !days.is_empty()
        {
            return None;
        }
        let date = |year: i32| match days.first() {
            Some(weekday) => (1..=31)
                .filter_map(|day| NaiveDate::from_ymd_opt(year, month, day))
                .find(|date| weekday.selects(*date)),
            None => NaiveDate::from_ymd_opt(year, month, day.unwrap_or(begins.day())),
        };
        let years = first.max(begins.year())..=last;
        let dates =
            years.filter_map(date).map(|date| date.and_time(begins.time())).filter(|local| *local >= begins);
        let changes = dates.filter_map(at).filter(|(at, _)| until.is_none_or(|until| *at <= until));
        Some(changes.map(|(at, to)| (at, seconds(to))).collect())
    }

    fn local(&self, property: &'static str) -> Option<NaiveDateTime> {
        moment_text(property, self.properties.get(property)?, Tz::UTC).ok().map(|moment| moment.local)
    }

    /// Reads `+0100`, `-0330` and `+012345`.
    fn offset(&self, property: &str) -> Option<Duration> {
        let text = self.properties.get(property)?.trim();
        let (sign, digits) = match text.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        if !matches!(digits.len(), 4 | 6) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), |part| part.parse::<i64>().ok());
        Some(TimeDelta::seconds(sign * (part(0)? * 3_600 + part(2)? * 60 + part(4)?)))
    }
}

fn seconds(offset: TimeDelta) -> i32 {
    i32::try_from(offset.num_seconds()).unwrap_or_default()
}

impl Zones {
    pub(super) fn define(&mut self, definition: Definition) {
        if let Some(name) = definition.name.clone() {
            self.defined.insert(name, definition);
        }
    }

    /// The zone with this name, for an event in this year.
    pub(super) fn find(&self, name: &str, year: i32) -> Result<Tz, IcalProblem> {
        let name = name.trim();
        if let Some(zone) = iana(name) {
            return Ok(zone);
        }
        let definition =
            self.defined.get(name).ok_or_else(|| IcalProblem::UnknownTimeZone { name: shown(name) })?;
        same_offsets(definition, year)
            .ok_or_else(|| IcalProblem::UnmatchedTimeZone { name: shown(name), year })
    }
}

/// A name, short enough for an error message.
pub(super) fn shown(name: &str) -> String {
    name.trim().chars().take(80).collect()
}

/// An IANA name, alone or at the end of a path such as `/freeassociation.sourceforge.net/Europe/Berlin`.
pub(super) fn iana(name: &str) -> Option<Tz> {
    let name = name.trim();
    if let Ok(zone) = name.parse() {
        return Some(zone);
    }
    if !name.starts_with('/') {
        return None;
    }
    name.match_indices('/').find_map(|(index, _)| name[index + 1..].parse().ok())
}

/// A zone that has the offsets of the definition in the years around this one.
fn same_offsets(definition: &Definition, year: i32) -> Option<Tz> {
    let (first, last) = (year - YEARS_BEFORE, year + YEARS_AFTER);
    let changes = definition.changes(first, last)?;
    let begin = NaiveDate::from_ymd_opt(first, 1, 1)?.and_time(chrono::NaiveTime::MIN).and_utc();
    let end = NaiveDate::from_ymd_opt(last, 12, 31)?.and_time(chrono::NaiveTime::MIN).and_utc();
    // A day apart, which finds every change, and right before and after each change, which finds its hour.
    let days = std::iter::successors(Some(begin), |day| Some(*day + TimeDelta::days(1)));
    let mut samples: Vec<DateTime<Utc>> = days.take_while(|day| *day <= end).collect();
    samples.extend(changes.iter().flat_map(|(at, _)| [*at - TimeDelta::seconds(1), *at]));
    samples.retain(|at| *at >= begin && *at <= end);
    samples.sort_unstable();
    let offset = |at: &DateTime<Utc>| {
        let before = changes.partition_point(|(change, _)| change <= at);
        before.checked_sub(1).and_then(|index| changes.get(index)).map(|(_, offset)| (*at, *offset))
    };
    let expected: Vec<Change> = samples.iter().map(offset).collect::<Option<_>>()?;
    let agrees = |zone: &Tz| {
        let local =
            |at: &DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
        expected.iter().all(|(at, offset)| local(at) == *offset)
    };
    USUAL.iter().chain(TZ_VARIANTS.iter()).copied().find(agrees)
}
