//! Weekdays of a recurrence, written as RFC 5545 writes `BYDAY`: `MO`, `2TU`, `-1FR`.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};

use super::super::day_rule::NthOfMonth;

const NAMES: [(&str, Weekday); 7] = [
    ("MO", Weekday::Mon),
    ("TU", Weekday::Tue),
    ("WE", Weekday::Wed),
    ("TH", Weekday::Thu),
    ("FR", Weekday::Fri),
    ("SA", Weekday::Sat),
    ("SU", Weekday::Sun),
];

/// A weekday, each or only the n-th of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByDay {
    pub weekday: Weekday,
    pub nth: Option<NthOfMonth>,
}

/// A text that is not a weekday of a recurrence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a weekday, write `TU`, `2TU` for the second of a month (1 to 5), or `-1FR` for the last"
)]
pub struct ByDayError {
    text: String,
}

impl ByDay {
    /// Whether the rule selects this date.
    pub(in crate::time) fn selects(self, date: NaiveDate) -> bool {
        let in_week = |nth: NthOfMonth| {
            let (day, length) = (date.day(), date.num_days_in_month());
            u8::try_from(day).is_ok_and(|day| nth.days(length).contains(&day))
        };
        date.weekday() == self.weekday && self.nth.is_none_or(in_week)
    }
}

impl FromStr for ByDay {
    type Err = ByDayError;

    fn from_str(text: &str) -> Result<Self, ByDayError> {
        let refused = || ByDayError { text: text.chars().take(20).collect() };
        let upper = text.trim().to_ascii_uppercase();
        let (name, weekday) =
            NAMES.into_iter().find(|(name, _)| upper.ends_with(name)).ok_or_else(refused)?;
        let nth = match upper.trim_end_matches(name) {
            "" => None,
            number => {
                let number: i8 = number.parse().map_err(|_| refused())?;
                Some(number.try_into().map_err(|_| refused())?)
            }
        };
        Ok(Self { weekday, nth })
    }
}

impl fmt::Display for ByDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nth) = self.nth {
            write!(formatter, "{}", i8::from(nth))?;
        }
        let name = NAMES.into_iter().find(|(_, weekday)| *weekday == self.weekday);
        formatter.write_str(name.map_or("", |(name, _)| name))
    }
}

crate::string_conversions!(ByDay);
