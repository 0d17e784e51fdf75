//! Patch levels: calendar months or dates up to whose end advisories must be installed.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

/// A month such as `2026-02`, or a date such as `2026-02-15`: every applicable advisory published by its end is installed.
///
/// Months and days are those of UTC, as are the publication times of advisories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PatchLevel {
    Month { year: i32, month: u32 },
    Day(NaiveDate),
}

/// A text that is neither a month nor a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "patch level `{text}` is neither a month nor a date, write a year from 1990 to 9998 and a month such as `2026-02`, or a date such as `2026-02-15`"
)]
pub struct PatchLevelError {
    text: String,
}

impl PatchLevel {
    /// Years that a level can name; no advisory is older.
    const YEARS: std::ops::RangeInclusive<i32> = 1990..=9998;

    /// The first instant *after* the level: an exclusive bound, compare with `<`.
    pub fn end_utc(self) -> DateTime<Utc> {
        match self {
            Self::Month { year, month: 12 } => first_of(year + 1, 1),
            Self::Month { year, month } => first_of(year, month + 1),
            Self::Day(date) => midnight(date.succ_opt().unwrap_or(NaiveDate::MAX)),
        }
    }

    /// Whether an advisory published at `published` belongs to this level or to an earlier one.
    pub fn covers(self, published: DateTime<Utc>) -> bool {
        published < self.end_utc()
    }
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

fn first_of(year: i32, month: u32) -> DateTime<Utc> {
    // Years are bounded and months are 1 to 12 by construction, so the date always exists.
    midnight(NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(NaiveDate::MAX))
}

impl FromStr for PatchLevel {
    type Err = PatchLevelError;

    fn from_str(text: &str) -> Result<Self, PatchLevelError> {
        parse(text).ok_or_else(|| PatchLevelError { text: text.chars().take(40).collect() })
    }
}

fn parse(text: &str) -> Option<PatchLevel> {
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some()
        || !digits(year, 4)
        || !digits(month, 2)
        || day.is_some_and(|day| !digits(day, 2))
    {
        return None;
    }
    let date = |day: u32| {
        let date = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day)?;
        PatchLevel::YEARS.contains(&date.year()).then_some(date)
    };
    match day {
        None => date(1).map(|date| PatchLevel::Month { year: date.year(), month: date.month() }),
        Some(day) => date(day.parse().ok()?).map(PatchLevel::Day),
    }
}

impl fmt::Display for PatchLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month { year, month } => formatter.pad(&format!("{year:04}-{month:02}")),
            Self::Day(date) => formatter.pad(&date.to_string()),
        }
    }
}

crate::string_conversions!(PatchLevel);

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> PatchLevel {
        text.parse().expect("valid")
    }

    #[test]
    fn level_ends_where_the_next_month_or_day_starts() {
        for (text, end) in [
            ("2026-02", "2026-03-01T00:00:00Z"),
            ("2024-02", "2024-03-01T00:00:00Z"),
            ("2026-12", "2027-01-01T00:00:00Z"),
            ("9998-12", "9999-01-01T00:00:00Z"),
            ("2026-02-15", "2026-02-16T00:00:00Z"),
            ("2024-02-29", "2024-03-01T00:00:00Z"),
            ("9998-12-31", "9999-01-01T00:00:00Z"),
        ] {
            assert_eq!(level(text).end_utc(), end.parse::<DateTime<Utc>>().expect("valid"));
        }
    }

    #[test]
    fn advisory_of_the_last_second_is_covered() {
        let february = level("2026-02");
        assert!(february.covers("2026-02-28T23:59:59.999Z".parse().expect("valid")));
        assert!(!february.covers("2026-03-01T00:00:00Z".parse().expect("valid")));
        let day = level("2026-02-15");
        assert!(day.covers("2026-02-15T23:59:59.999Z".parse().expect("valid")));
        assert!(!day.covers("2026-02-16T00:00:00Z".parse().expect("valid")));
    }

    #[test]
    fn text_that_is_neither_a_month_nor_a_date_is_refused() {
        for text in [
            "",
            "2026",
            "2026-2",
            "2026-00",
            "2026-13",
            "26-02",
            "2026-02-30",
            "2026-02-1",
            "2026-02-01-01",
            "2026-02-",
            "+026-02",
            "0000-01",
            "1989-12-31",
            "２０26-02",
        ] {
            assert!(text.parse::<PatchLevel>().is_err(), "{text}");
        }
        assert!(level("2026-02") != level("2026-02-28"));
    }

    #[test]
    fn travels_as_a_string() {
        for text in ["2026-02", "2026-02-15"] {
            let json = serde_json::to_string(&level(text)).expect("serialises");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<PatchLevel>(&json).expect("reads back"), level(text));
            assert_eq!(level(text).to_string(), text);
        }
    }
}
