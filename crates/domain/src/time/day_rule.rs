//! Parts of a rule that selects days: which one of a month's equal weekdays, and how many days later.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Which one of the equal weekdays of a month: 1 to 5, or -1 for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub struct NthOfMonth(i8);

/// A rule about days that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DayRuleError {
    #[error("nth {nth} is out of range, use 1 to 5, or -1 for the last")]
    Nth { nth: i8 },
    #[error("offset of {days} days is out of range, use -{max} to {max}", max = OffsetDays::MAX)]
    Offset { days: i8 },
}

impl NthOfMonth {
    pub const LAST: Self = Self(-1);
    pub const FIFTH: Self = Self(5);

    /// The days of a month of this length among which the weekday is searched. Empty for the fifth in 28 days.
    pub fn days(self, month_length: u8) -> RangeInclusive<u8> {
        match u8::try_from(self.0) {
            Ok(nth) => nth * 7 - 6..=(nth * 7).min(month_length),
            Err(_) => month_length - 6..=month_length,
        }
    }
}

impl TryFrom<i8> for NthOfMonth {
    type Error = DayRuleError;

    fn try_from(nth: i8) -> Result<Self, DayRuleError> {
        if nth == -1 || (1..=5).contains(&nth) { Ok(Self(nth)) } else { Err(DayRuleError::Nth { nth }) }
    }
}

impl From<NthOfMonth> for i8 {
    fn from(nth: NthOfMonth) -> Self {
        nth.0
    }
}

/// Days on the local clock between the day that a rule selects and the day that it means; negative: before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub struct OffsetDays(i8);

impl OffsetDays {
    /// Most days in either direction: more than a month has another name.
    pub const MAX: i8 = 30;
    pub const NONE: Self = Self(0);

    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    pub(super) fn delta(self) -> chrono::TimeDelta {
        chrono::TimeDelta::days(self.0.into())
    }
}

impl TryFrom<i8> for OffsetDays {
    type Error = DayRuleError;

    fn try_from(days: i8) -> Result<Self, DayRuleError> {
        if (-Self::MAX..=Self::MAX).contains(&days) {
            Ok(Self(days))
        } else {
            Err(DayRuleError::Offset { days })
        }
    }
}

impl From<OffsetDays> for i8 {
    fn from(days: OffsetDays) -> Self {
        days.0
    }
}

impl std::str::FromStr for OffsetDays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days: i8 = text.parse().map_err(|_| format!("`{text}` is not a whole number of days"))?;
        Self::try_from(days).map_err(|error| error.to_string())
    }
}

impl fmt::Display for OffsetDays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_month_is_in_one_of_its_weeks_and_the_last_seven_in_the_last() {
        for length in 28..=31 {
            let mut days: Vec<u8> = Vec::new();
            for nth in 1..=5 {
                days.extend(NthOfMonth::try_from(nth).expect("valid").days(length));
            }
            assert_eq!(days, (1..=length).collect::<Vec<_>>());
            assert_eq!(NthOfMonth::LAST.days(length), length - 6..=length);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        for nth in [0, 6, -2, i8::MAX] {
            assert!(serde_json::from_value::<NthOfMonth>(nth.into()).is_err(), "{nth}");
        }
        let error = serde_json::from_value::<OffsetDays>(31.into()).expect_err("refused");
        assert!(error.to_string().contains("use -30 to 30"), "{error}");
        assert_eq!(OffsetDays::try_from(-30).map(i8::from), Ok(-30));
    }
}
