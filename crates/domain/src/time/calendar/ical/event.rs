//! One `VEVENT` to one freeze.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;

use super::lines::Line;
use super::time::{Length, Moment, length, moment, moment_text};
use super::{IcalError, IcalProblem};
use crate::time::calendar::{Effect, Freeze, FreezeFields, Frequency, Recurrence, RecurrenceEnd};

/// The properties of an event that matter, gathered until its end.
pub(super) struct Event {
    begin_line: usize,
    single: BTreeMap<&'static str, Line>,
    scope: BTreeMap<String, String>,
}

/// What an event may have once.
const SINGLE: [&str; 9] =
    ["UID", "SUMMARY", "DESCRIPTION", "STATUS", "DTSTART", "DTEND", "DURATION", "RRULE", "X-PATCH-EFFECT"];

/// What changes when an event happens and is not understood.
const UNSUPPORTED: [&str; 4] = ["RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"];

impl Event {
    pub(super) fn new(begin_line: usize) -> Self {
        Self { begin_line, single: BTreeMap::new(), scope: BTreeMap::new() }
    }

    pub(super) fn accept(&mut self, line: Line) -> Result<(), IcalProblem> {
        if UNSUPPORTED.contains(&line.name.as_str()) {
            return Err(IcalProblem::Unsupported { property: line.name });
        }
        if line.name == "X-PATCH-SCOPE" {
            let text = unescape(&line.value);
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| IcalProblem::invalid("X-PATCH-SCOPE", &text, "write a tag like `env=prod`"))?;
            if self.scope.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(IcalProblem::Repeated { property: format!("X-PATCH-SCOPE:{key}") });
            }
        }
        if let Some(name) = SINGLE.into_iter().find(|name| *name == line.name)
            && let Some(earlier) = self.single.insert(name, line)
        {
            return Err(IcalProblem::Repeated { property: earlier.name });
        }
        Ok(())
    }

    /// `None` for a cancelled event.
    pub(super) fn into_freeze(self, default_zone: Tz) -> Result<Option<Freeze>, IcalError> {
        let cancelled =
            self.single.get("STATUS").is_some_and(|line| line.value.trim().eq_ignore_ascii_case("CANCELLED"));
        if cancelled {
            return Ok(None);
        }
        let uid = self.required("UID")?;
        let uid = unescape(&uid.value);
        let start = self.required("DTSTART")?;
        let (begins, starts) = at(start, || {
            let begins = moment("DTSTART", start, default_zone)?;
            Ok((begins, instant("DTSTART", begins, &start.value)?))
        })?;
        let fields = FreezeFields {
            name: self.text("SUMMARY").unwrap_or_else(|| uid.clone()),
            reason: self.text("DESCRIPTION").unwrap_or_default(),
            effect: self.effect()?,
            starts,
            ends: self.ends(begins, default_zone)?,
            time_zone: begins.zone,
            recurrence: self.recurrence(begins)?,
            scope: self.scope,
            uid,
        };
        let freeze = fields.try_into().map_err(|error| IcalProblem::Entry(error).at(self.begin_line))?;
        Ok(Some(freeze))
    }

    fn required(&self, property: &'static str) -> Result<&Line, IcalError> {
        self.single.get(property).ok_or_else(|| IcalProblem::Missing { property }.at(self.begin_line))
    }

    fn text(&self, property: &str) -> Option<String> {
        self.single.get(property).map(|line| unescape(&line.value)).filter(|text| !text.trim().is_empty())
    }

    fn effect(&self) -> Result<Effect, IcalError> {
        let Some(line) = self.single.get("X-PATCH-EFFECT") else {
            return Ok(Effect::Deny);
        };
        match line.value.trim().to_ascii_uppercase().as_str() {
            "DENY" => Ok(Effect::Deny),
            "ALLOW" => Ok(Effect::Allow),
            _ => {
                Err(IcalProblem::invalid("X-PATCH-EFFECT", &line.value, "use DENY or ALLOW").at(line.number))
            }
        }
    }

    fn ends(&self, begins: Moment, default_zone: Tz) -> Result<DateTime<Utc>, IcalError> {
        let too_far =
            |line: &Line| IcalProblem::invalid("DURATION", &line.value, "it is out of range").at(line.number);
        match (self.single.get("DTEND"), self.single.get("DURATION")) {
            (Some(_), Some(length)) => {
                Err(IcalProblem::Repeated { property: "DTEND".into() }.at(length.number))
            }
            (Some(end), None) => {
                at(end, || instant("DTEND", moment("DTEND", end, default_zone)?, &end.value))
            }
            (None, Some(line)) => {
                let length = at(line, || length(&line.value))?;
                begins.plus(length).ok_or_else(|| too_far(line))
            }
            (None, None) if begins.whole_day => begins
                .plus(Length::ONE_DAY)
                .ok_or_else(|| IcalProblem::Missing { property: "DTEND" }.at(self.begin_line)),
            (None, None) => Err(IcalProblem::Missing { property: "DTEND" }.at(self.begin_line)),
        }
    }

    fn recurrence(&self, begins: Moment) -> Result<Option<Recurrence>, IcalError> {
        let Some(line) = self.single.get("RRULE") else {
            return Ok(None);
        };
        at(line, || rule(&line.value, begins)).map(Some)
    }
}

/// Adds the line number to a problem.
fn at<T>(line: &Line, read: impl FnOnce() -> Result<T, IcalProblem>) -> Result<T, IcalError> {
    read().map_err(|problem| problem.at(line.number))
}

fn instant(property: &'static str, moment: Moment, text: &str) -> Result<DateTime<Utc>, IcalProblem> {
    moment.instant().ok_or_else(|| IcalProblem::invalid(property, text, "it is out of range"))
}

fn rule(text: &str, begins: Moment) -> Result<Recurrence, IcalProblem> {
    let invalid = |help| IcalProblem::invalid("RRULE", text, help);
    let mut seen = BTreeSet::new();
    let (mut frequency, mut interval, mut end) = (None, 1, None);
    let parts: Vec<(String, String)> = text
        .trim()
        .split(';')
        .map(|part| {
            part.split_once('=').map(|(key, value)| (key.to_ascii_uppercase(), value.to_ascii_uppercase()))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| invalid("write parts like `FREQ=YEARLY;INTERVAL=1`"))?;
    for (key, value) in &parts {
        if !seen.insert(key.as_str()) {
            return Err(invalid("write each part once"));
        }
        match key.as_str() {
            "FREQ" => {
                frequency =
                    Some(frequency_of(value).ok_or_else(|| invalid("use DAILY, WEEKLY, MONTHLY or YEARLY"))?)
            }
            "INTERVAL" => interval = value.parse().map_err(|_| invalid("INTERVAL is not a number"))?,
            "COUNT" if end.is_none() => {
                end =
                    Some(RecurrenceEnd::Count(value.parse().map_err(|_| invalid("COUNT is not a number"))?));
            }
            "UNTIL" if end.is_none() => end = Some(RecurrenceEnd::Until(until(value, begins.zone)?)),
            "COUNT" | "UNTIL" => return Err(invalid("write COUNT or UNTIL, not both")),
            // The day a week starts on matters only to rules with several weekdays, which are refused.
            "WKST" => {}
            _ if repeats_start(key, value, begins.local) => {}
            _ => {
                return Err(invalid(
                    "only FREQ, INTERVAL, COUNT and UNTIL are read, and BY parts that repeat DTSTART",
                ));
            }
        }
    }
    let frequency = frequency.ok_or_else(|| invalid("FREQ is missing"))?;
    // `FREQ=DAILY;BYDAY=MO` means Mondays and not every day, so a repeated start is harmless only where the
    // period already implies it.
    let implied: &[&str] = match frequency {
        Frequency::Daily => &[],
        Frequency::Weekly => &["BYDAY"],
        Frequency::Monthly => &["BYMONTHDAY"],
        Frequency::Yearly => &["BYMONTH", "BYMONTHDAY"],
    };
    let foreign = seen.iter().find(|key| key.starts_with("BY") && !implied.contains(key));
    let day_without_month =
        frequency == Frequency::Yearly && seen.contains("BYMONTHDAY") && !seen.contains("BYMONTH");
    if foreign.is_some() || day_without_month {
        return Err(invalid("its BY parts select other times than DTSTART repeated"));
    }
    Ok(Recurrence { frequency, interval, end })
}

fn frequency_of(name: &str) -> Option<Frequency> {
    match name {
        "DAILY" => Some(Frequency::Daily),
        "WEEKLY" => Some(Frequency::Weekly),
        "MONTHLY" => Some(Frequency::Monthly),
        "YEARLY" => Some(Frequency::Yearly),
        _ => None,
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

/// Whether a `BY` part only repeats the start, as many calendar programs write it.
fn repeats_start(key: &str, value: &str, start: NaiveDateTime) -> bool {
    match key {
        "BYMONTH" => value.parse() == Ok(start.month()),
        "BYMONTHDAY" => value.parse() == Ok(start.day()),
        "BYDAY" => {
            let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
            let weekday: Weekday = start.weekday();
            names.get(weekday.num_days_from_monday() as usize) == Some(&value)
        }
        _ => false,
    }
}

fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n' | 'N') => text.push('\n'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text
}
