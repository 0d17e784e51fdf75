//! Calendar months, the unit of patch levels (`2026-02`).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

/// A month of the proleptic Gregorian calendar in UTC, years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    /// Months since year 0, so that order and neighbours are arithmetic.
    ordinal: u32,
}

impl Month {
    const FIRST: u32 = 12;
    const LAST: u32 = 9999 * 12 + 11;

    /// `month` is 1 to 12.
    pub fn new(year: u32, month: u32) -> Option<Self> {
        ((1..=9999).contains(&year) && (1..=12).contains(&month))
            .then(|| Self { ordinal: year * 12 + month - 1 })
    }

    /// The month of an instant, in UTC. Instants outside of years 1 to 9999 are moved to the nearest month.
    pub fn of(instant: DateTime<Utc>) -> Self {
        let ordinal = i64::from(instant.year()) * 12 + i64::from(instant.month0());
        let ordinal = ordinal.clamp(i64::from(Self::FIRST), i64::from(Self::LAST));
        Self { ordinal: u32::try_from(ordinal).unwrap_or(Self::FIRST) }
    }

    pub fn year(self) -> u32 {
        self.ordinal / 12
    }

    pub fn month(self) -> u32 {
        self.ordinal % 12 + 1
    }

    /// The month before; none before the first.
    pub fn previous(self) -> Option<Self> {
        (self.ordinal > Self::FIRST).then(|| Self { ordinal: self.ordinal - 1 })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month; write it as `2026-02`")]
pub struct InvalidMonth(pub String);

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || InvalidMonth(text.chars().take(40).collect());
        let (year, month) = text.split_once('-').ok_or_else(refused)?;
        if year.len() != 4 || month.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Err(refused());
        }
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| refused());
        Self::new(number(year)?, number(month)?).ok_or_else(refused)
    }
}

impl TryFrom<String> for Month {
    type Error = InvalidMonth;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_is_parsed_ordered_and_printed() {
        let february: Month = "2026-02".parse().unwrap();
        assert_eq!(february.to_string(), "2026-02");
        assert_eq!(
            february.previous().and_then(Month::previous).map(|m| m.to_string()).as_deref(),
            Some("2025-12")
        );
        assert!(february < Month::new(2026, 3).unwrap());
        for text in
            ["2026-2", "2026-13", "2026-00", "0000-01", "26-02", "2026-02-01", "", "+026-01", "2026/02"]
        {
            assert!(text.parse::<Month>().is_err(), "`{text}` was taken");
        }
    }

    #[test]
    fn every_instant_has_a_month() {
        assert_eq!(Month::of(DateTime::<Utc>::MAX_UTC).to_string(), "9999-12");
        assert_eq!(Month::of(DateTime::<Utc>::MIN_UTC).to_string(), "0001-01");
    }
}
