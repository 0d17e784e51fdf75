//! Patch levels: calendar months up to whose end advisories must be installed.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

/// A month such as `2026-02`: every applicable advisory published by its end is installed.
///
/// Months are those of UTC, as are the publication times of advisories. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatchLevel {
    year: i32,
    month: u32,
}

/// A text that is not a month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("patch level `{text}` is not a month, write a year from 1990 to 9998 and a month such as `2026-02`")]
pub struct PatchLevelError {
    text: String,
}

impl PatchLevel {
    /// Years that a level can name; no advisory is older.
    const YEARS: std::ops::RangeInclusive<i32> = 1990..=9998;

    /// The level of the month that holds `date`, if its year can be named.
    pub fn of(date: NaiveDate) -> Option<Self> {
        Self::YEARS.contains(&date.year()).then(|| Self { year: date.year(), month: date.month() })
    }

    pub fn year(self) -> i32 {
        self.year
    }

    /// 1 for January to 12 for December.
    pub fn month(self) -> u32 {
        self.month
    }

    /// The first instant of the month.
    pub fn start_of_month_utc(self) -> DateTime<Utc> {
        first_of(self.year, self.month)
    }

    /// The first instant *after* the month: an exclusive bound, compare with `<`.
    pub fn end_of_month_utc(self) -> DateTime<Utc> {
        match self.month {
            12 => first_of(self.year + 1, 1),
            month => first_of(self.year, month + 1),
        }
    }

    /// Whether an advisory published at `published` belongs to this level or to an earlier one.
    pub fn covers(self, published: DateTime<Utc>) -> bool {
        published < self.end_of_month_utc()
    }

    /// The month before; `None` before the first nameable one.
    pub fn previous(self) -> Option<Self> {
        Self::of(self.start_of_month_utc().date_naive().pred_opt()?)
    }

    /// The month after; `None` after the last nameable one.
    pub fn next(self) -> Option<Self> {
        Self::of(self.end_of_month_utc().date_naive())
    }
}

fn first_of(year: i32, month: u32) -> DateTime<Utc> {
    // Years are bounded and months are 1 to 12 by construction, so the date always exists.
    NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(NaiveDate::MAX).and_time(NaiveTime::MIN).and_utc()
}

impl FromStr for PatchLevel {
    type Err = PatchLevelError;

    fn from_str(text: &str) -> Result<Self, PatchLevelError> {
        parse(text).ok_or_else(|| PatchLevelError { text: text.chars().take(40).collect() })
    }
}

fn parse(text: &str) -> Option<PatchLevel> {
    let (year, month) = text.split_once('-')?;
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    PatchLevel::of(NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?)
}

impl fmt::Display for PatchLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{:04}-{:02}", self.year, self.month))
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
    fn month_ends_where_the_next_one_starts() {
        for (text, end) in [
            ("2026-02", "2026-03-01T00:00:00Z"),
            ("2024-02", "2024-03-01T00:00:00Z"),
            ("2026-12", "2027-01-01T00:00:00Z"),
            ("9998-12", "9999-01-01T00:00:00Z"),
        ] {
            assert_eq!(level(text).end_of_month_utc(), end.parse::<DateTime<Utc>>().expect("valid"));
        }
    }

    #[test]
    fn advisory_of_the_last_second_is_covered() {
        let february = level("2026-02");
        assert!(february.covers("2026-02-28T23:59:59.999Z".parse().expect("valid")));
        assert!(!february.covers("2026-03-01T00:00:00Z".parse().expect("valid")));
    }

    #[test]
    fn levels_order_by_time_and_step_over_years() {
        assert!(level("2025-12") < level("2026-01") && level("2026-01") < level("2026-02"));
        assert_eq!(level("2025-12").next(), Some(level("2026-01")));
        assert_eq!(level("2026-01").previous(), Some(level("2025-12")));
        assert_eq!(level("1990-01").previous(), None);
        assert_eq!(level("9998-12").next(), None);
    }

    #[test]
    fn text_that_is_not_a_month_is_refused() {
        for text in [
            "",
            "2026",
            "2026-2",
            "2026-00",
            "2026-13",
            "26-02",
            "2026-02-01",
            "+026-02",
            "0000-01",
            "２０26-02",
        ] {
            assert!(text.parse::<PatchLevel>().is_err(), "{text}");
        }
    }

    #[test]
    fn travels_as_a_string() {
        let json = serde_json::to_string(&level("2026-02")).expect("serialises");
        assert_eq!(json, "\"2026-02\"");
        assert_eq!(serde_json::from_str::<PatchLevel>(&json).expect("reads back"), level("2026-02"));
        assert_eq!(level("2026-02").to_string(), "2026-02");
    }
}
