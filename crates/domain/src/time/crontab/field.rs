//! The five fields: their ranges, their names, and the values one of them selects.

use std::fmt;

use super::super::day_rule::NthOfMonth;

/// One field of a crontab pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl Field {
    /// In the order in which they are written.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// Lowest value that may be written.
    pub(super) fn low(self) -> u8 {
        match self {
            Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    /// Highest value that may be written; for the day of the week 7, the other number of Sunday.
    pub(super) fn high(self) -> u8 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        }
    }

    /// How many distinct values the field has.
    pub(super) fn span(self) -> u8 {
        match self {
            Self::DayOfWeek => 7,
            other => other.high() - other.low() + 1,
        }
    }

    /// Three-letter names, the first for the lowest value.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Minute | Self::Hour | Self::DayOfMonth => &[],
            Self::Month => {
                &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
            }
            Self::DayOfWeek => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        })
    }
}

/// The values a field selects, and how it was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FieldValues {
    /// Bit n is set when value n is selected; Sunday is only bit 0.
    bits: u64,
    /// Some item is a bare `*` (or `*/1`): the field restricts nothing.
    pub(super) unrestricted: bool,
    /// Some item starts with `*`, with or without a step.
    pub(super) has_wildcard: bool,
    /// For each weekday the ones of a month that are selected: bit n - 1 for the n-th, the highest bit for the last.
    nth: [u8; 7],
}

/// The bit of the last weekday of a month.
const LAST_BIT: u32 = 7;

impl FieldValues {
    pub(super) fn insert(&mut self, field: Field, value: u8) {
        let value = if field == Field::DayOfWeek { value % 7 } else { value };
        self.bits |= 1 << value;
    }

    /// Selects one of the equal weekdays of each month.
    pub(super) fn insert_nth(&mut self, weekday: u8, nth: NthOfMonth) {
        if let Some(ordinals) = self.nth.get_mut(usize::from(weekday % 7)) {
            *ordinals |= 1 << nth_bit(nth);
        }
    }

    /// The weekdays of which only this one of each month is selected.
    pub(super) fn weekdays_of(self, nth: NthOfMonth) -> Self {
        let mut weekdays = Self::default();
        for (weekday, ordinals) in (0..).zip(self.nth) {
            if ordinals >> nth_bit(nth) & 1 == 1 {
                weekdays.insert(Field::DayOfWeek, weekday);
            }
        }
        weekdays
    }

    pub(super) fn is_empty(self) -> bool {
        self.bits == 0
    }

    pub(super) fn contains(self, value: u8) -> bool {
        self.bits >> value & 1 == 1
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |value| self.contains(*value))
    }
}

fn nth_bit(nth: NthOfMonth) -> u32 {
    u32::try_from(i8::from(nth)).map_or(LAST_BIT, |nth| nth - 1)
}
