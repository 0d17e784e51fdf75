//! Calendar months, the unit of patch levels (`2026-02`).

use std::fmt;

use chrono::{DateTime, Datelike, Utc};

/// A month of the proleptic Gregorian calendar in UTC, years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_is_ordered_and_printed() {
        let february = Month::new(2026, 2).unwrap();
        assert_eq!(february.to_string(), "2026-02");
        assert_eq!(february.previous().and_then(Month::previous), Month::new(2025, 12));
        assert!(february < Month::new(2026, 3).unwrap());
        assert_eq!((Month::new(2026, 13), Month::new(2026, 0), Month::new(0, 1)), (None, None, None));
    }

    #[test]
    fn every_instant_has_a_month() {
        assert_eq!(Month::of(DateTime::<Utc>::MAX_UTC).to_string(), "9999-12");
        assert_eq!(Month::of(DateTime::<Utc>::MIN_UTC).to_string(), "0001-01");
    }
}
