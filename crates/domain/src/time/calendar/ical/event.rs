//! One `VEVENT` to one freeze.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::lines::Line;
use super::rule;
use super::time::{Length, Moment, length, moment, moments};
use super::zone::Zones;
use super::{IcalError, IcalProblem};
use crate::time::calendar::{Effect, Freeze, FreezeFields, KeepOpenDays, Recurrence};

/// The properties of an event that matter, gathered until its end.
pub(super) struct Event {
    begin_line: usize,
    single: BTreeMap<&'static str, Line>,
    scope: BTreeMap<String, String>,
    except: Vec<Line>,
    other_dates: Option<Line>,
}

/// What an event may have once.
const SINGLE: [&str; 12] = [
    "UID",
    "RECURRENCE-ID",
    "SUMMARY",
    "DESCRIPTION",
    "STATUS",
    "DTSTART",
    "DTEND",
    "DURATION",
    "RRULE",
    "X-PATCH-EFFECT",
    "X-PATCH-KEEP-OPEN-DAYS",
    "X-PATCH-RECURRENCE",
];

/// What changes when an event happens and is not understood.
const UNSUPPORTED: [&str; 1] = ["EXRULE"];

impl Event {
    pub(super) fn new(begin_line: usize) -> Self {
        Self {
            begin_line,
            single: BTreeMap::new(),
            scope: BTreeMap::new(),
            except: Vec::new(),
            other_dates: None,
        }
    }

    pub(super) fn accept(&mut self, line: Line) -> Result<(), IcalProblem> {
        if UNSUPPORTED.contains(&line.name.as_str()) {
            return Err(IcalProblem::Unsupported { property: line.name });
        }
        match line.name.as_str() {
            "EXDATE" => {
                self.except.push(line);
                return Ok(());
            }
            "RDATE" => {
                self.other_dates = Some(line);
                return Ok(());
            }
            _ => {}
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

    /// The occurrence of another event that this one replaces: the other's identity and the line with the original start.
    pub(super) fn replaces(&self) -> Option<(String, &Line)> {
        Some((self.uid()?, self.single.get("RECURRENCE-ID")?))
    }

    /// The identity of an event that recurs and may have occurrences that others replace.
    pub(super) fn recurring_uid(&self) -> Option<String> {
        let recurs = ["RRULE", "X-PATCH-RECURRENCE"].iter().any(|name| self.single.contains_key(name));
        self.uid().filter(|_| recurs && !self.single.contains_key("RECURRENCE-ID"))
    }

    fn uid(&self) -> Option<String> {
        self.single.get("UID").map(|line| unescape(&line.value))
    }

    /// Leaves out the occurrence that another event replaces.
    pub(super) fn leave_out(&mut self, original: Line) {
        self.except.push(original);
    }

    /// A replaced occurrence concerns the same hosts with the same effect, unless it says otherwise.
    pub(super) fn inherit(&mut self, scope: &BTreeMap<String, String>, effect: Option<&Line>) {
        if self.scope.is_empty() {
            self.scope.clone_from(scope);
        }
        if let Some(effect) = effect {
            self.single.entry("X-PATCH-EFFECT").or_insert_with(|| effect.clone());
        }
    }

    pub(super) fn scope_and_effect(&self) -> (BTreeMap<String, String>, Option<Line>) {
        (self.scope.clone(), self.single.get("X-PATCH-EFFECT").cloned())
    }

    /// `None` for a cancelled event.
    pub(super) fn into_freeze(self, zones: &Zones) -> Result<Option<Freeze>, IcalError> {
        let cancelled =
            self.single.get("STATUS").is_some_and(|line| line.value.trim().eq_ignore_ascii_case("CANCELLED"));
        if cancelled {
            return Ok(None);
        }
        let uid = self.required("UID")?;
        let uid = match self.single.get("RECURRENCE-ID") {
            // Each entry of a calendar has an identity of its own.
            Some(original) => format!("{}/{}", unescape(&uid.value), original.value.trim()),
            None => unescape(&uid.value),
        };
        let start = self.required("DTSTART")?;
        let (begins, starts) = at(start, || {
            let begins = moment("DTSTART", start, zones)?;
            Ok((begins, instant("DTSTART", begins, &start.value)?))
        })?;
        let fields = FreezeFields {
            name: self.text("SUMMARY").unwrap_or_else(|| uid.clone()),
            reason: self.text("DESCRIPTION").unwrap_or_default(),
            effect: self.effect()?,
            starts,
            ends: self.ends(begins, zones)?,
            time_zone: begins.zone,
            recurrence: self.recurrence(begins)?,
            except: self.except(begins, zones)?,
            keep_open_days: self.keep_open_days()?,
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

    fn ends(&self, begins: Moment, zones: &Zones) -> Result<DateTime<Utc>, IcalError> {
        let too_far =
            |line: &Line| IcalProblem::invalid("DURATION", &line.value, "it is out of range").at(line.number);
        match (self.single.get("DTEND"), self.single.get("DURATION")) {
            (Some(_), Some(length)) => {
                Err(IcalProblem::Repeated { property: "DTEND".into() }.at(length.number))
            }
            (Some(end), None) => at(end, || instant("DTEND", moment("DTEND", end, zones)?, &end.value)),
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
        match (self.single.get("X-PATCH-RECURRENCE"), self.single.get("RRULE"), &self.other_dates) {
            (Some(_), Some(rule), _) => {
                Err(IcalProblem::Repeated { property: rule.name.clone() }.at(rule.number))
            }
            // The dates are those of the rule, for other programs.
            (Some(line), None, _) => at(line, || own_rule(&unescape(&line.value))).map(Some),
            (None, _, Some(dates)) => {
                Err(IcalProblem::Unsupported { property: dates.name.clone() }.at(dates.number))
            }
            (None, Some(line), None) => at(line, || rule::recurrence(&line.value, begins)).map(Some),
            (None, None, None) => Ok(None),
        }
    }

    /// The starts that are left out. A bare date leaves out the occurrence that starts on it.
    fn except(&self, begins: Moment, zones: &Zones) -> Result<Vec<DateTime<Utc>>, IcalError> {
        let mut except = Vec::new();
        for line in &self.except {
            for mut moment in at(line, || moments("EXDATE", line, zones))? {
                if moment.whole_day {
                    moment = Moment { local: moment.local.date().and_time(begins.local.time()), ..begins };
                }
                except.push(at(line, || instant("EXDATE", moment, &line.value))?);
            }
        }
        Ok(except)
    }

    fn keep_open_days(&self) -> Result<KeepOpenDays, IcalError> {
        let Some(line) = self.single.get("X-PATCH-KEEP-OPEN-DAYS") else {
            return Ok(KeepOpenDays::default());
        };
        let days = line.value.trim().parse::<u8>().ok().and_then(|days| days.try_into().ok());
        days.ok_or_else(|| {
            IcalProblem::invalid("X-PATCH-KEEP-OPEN-DAYS", &line.value, "use 0 to 21").at(line.number)
        })
    }
}

/// Adds the line number to a problem.
fn at<T>(line: &Line, read: impl FnOnce() -> Result<T, IcalProblem>) -> Result<T, IcalError> {
    read().map_err(|problem| problem.at(line.number))
}

fn instant(property: &'static str, moment: Moment, text: &str) -> Result<DateTime<Utc>, IcalProblem> {
    moment.instant().ok_or_else(|| IcalProblem::invalid(property, text, "it is out of range"))
}

fn own_rule(text: &str) -> Result<Recurrence, IcalProblem> {
    serde_json::from_str(text).map_err(|_| {
        IcalProblem::invalid("X-PATCH-RECURRENCE", text, "write the JSON of a recurrence, or an `RRULE`")
    })
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
