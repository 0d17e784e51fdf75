//! Patterns that are accepted and usually mean something else than their author wanted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::day_rule::OffsetDays;
use super::field::{Field, FieldValues};
use super::parse::Pattern;

/// A likely mistake in a valid pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CrontabHint {
    /// Both day fields are restricted, and the days of the month are exactly a week: people who write this want one weekday of
    /// the month. Crontab runs on every day of that week and on every such weekday.
    WeekOrWeekday {
        pattern: String,
        /// The pattern for one weekday of the month.
        instead: String,
        /// Days to add to `instead`, where the week does not begin on the 1st, 8th, 15th, 22nd or, for the last one, the 25th.
        #[serde(default, skip_serializing_if = "OffsetDays::is_none")]
        #[cfg_attr(feature = "schema", schema(value_type = i8))]
        offset_days: OffsetDays,
    },
}

impl CrontabHint {
    pub(super) fn of(pattern: &Pattern) -> Option<Self> {
        let (days, weekdays) = (pattern.days_of_month, pattern.days_of_week);
        if days.unrestricted || weekdays.unrestricted || weekdays.is_empty() {
            return None;
        }
        let first_day = only_week(days)?;
        let [minute, hour, _, month, _] = pattern.words()?;
        let (nth, offset) = match first_day {
            25 => ("L".to_owned(), 0),
            day => (format!("#{}", (day - 1) / 7 + 1), (day - 1) % 7),
        };
        let name = |weekday: u8| {
            let anchor = usize::from((weekday + 7 - offset) % 7);
            Field::DayOfWeek.names().get(anchor).map(|name| format!("{name}{nth}"))
        };
        let weekdays = weekdays.iter().filter_map(name).collect::<Vec<_>>().join(",");
        Some(Self::WeekOrWeekday {
            pattern: pattern.text.clone(),
            instead: format!("{minute} {hour} * {month} {weekdays}"),
            offset_days: i8::try_from(offset).ok()?.try_into().ok()?,
        })
    }
}

/// The first of seven days in a row, if the field selects exactly these.
fn only_week(days: FieldValues) -> Option<u8> {
    let first = days.iter().next()?;
    days.iter().eq(first..first + 7).then_some(first)
}

impl fmt::Display for CrontabHint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::WeekOrWeekday { pattern, instead, offset_days } = self;
        write!(
            formatter,
            "`{pattern}` runs on every day of that week of the month, and on every such weekday of all weeks; for the weekday in that week only, write `{instead}`"
        )?;
        if offset_days.is_none() {
            Ok(())
        } else {
            write!(formatter, " with an offset of {offset_days} days")
        }
    }
}
