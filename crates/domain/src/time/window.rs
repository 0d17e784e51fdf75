//! Maintenance windows: recurring times in which hosts may be changed.

use std::fmt;

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::de::{self, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::crontab::{Crontab, CrontabError, CrontabHint, Schedule};
use super::day_rule::{NthOfMonth, OffsetDays};
use super::local::before;

/// Longest window, in minutes: one week.
const MAX_DURATION_MINUTES: u32 = 7 * 24 * 60;

/// A window that opens on a local clock and stays open for a length of elapsed time.
///
/// The opening follows the local clock through clock changes by the rules of [`Crontab`]. The length does not: four
/// hours of work need four hours also in the night in which the clock jumps. When a window opens again before it has
/// closed, the later closing counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "MaintenanceWindowFields", into = "MaintenanceWindowFields")]
pub struct MaintenanceWindow {
    fields: MaintenanceWindowFields,
    opens: Schedule,
}

impl PartialEq for MaintenanceWindow {
    fn eq(&self, other: &Self) -> bool {
        // The schedule follows from the fields.
        self.fields == other.fields
    }
}

impl Eq for MaintenanceWindow {}

/// The fields of a maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindowFields {
    pub opens: Opening,
    /// Elapsed minutes from opening to closing, 1 to 10,080 (one week).
    pub duration_minutes: u32,
    /// IANA name of the time zone in which the window opens.
    pub time_zone: Tz,
    /// Minutes that must be left before the closing for new work to start; less than the duration.
    #[serde(default)]
    pub cutoff_minutes: u32,
    #[serde(default)]
    pub overrun: Overrun,
}

/// When a window opens: a crontab pattern, such a pattern and an offset, or weekdays and a time of day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Opening {
    Crontab(Crontab),
    Moved(MovedOpening),
    Weekly(WeeklyOpening),
}

/// `{"crontab": "0 22 * * TUE#2", "offset_days": 1}`, on the local clock: the day after the second Tuesday.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedOpening {
    pub crontab: Crontab,
    pub offset_days: OffsetDays,
}

/// `{"days": ["Sat", "Sun"], "at": "22:00"}`, on the local clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeeklyOpening {
    pub days: Vec<Weekday>,
    #[serde(with = "hour_and_minute")]
    pub at: NaiveTime,
    /// Which ones of a month: 1 to 5, or -1 for the last; absent: every week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<NthOfMonth>,
    /// It opens this many days after the named days.
    #[serde(skip_serializing_if = "OffsetDays::is_none")]
    pub offset_days: OffsetDays,
}

/// What happens to work that is not done when the window closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overrun {
    /// No further host is started; hosts in progress are finished.
    #[default]
    StopNew,
    /// The current wave is finished; no further wave is started.
    FinishStarted,
}

/// An invalid window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("`duration_minutes` {minutes} is out of range, use 1 to {MAX_DURATION_MINUTES}")]
    DurationOutOfRange { minutes: u32 },
    #[error(
        "`cutoff_minutes` {cutoff} leaves no room in a window of {duration} minutes, use less than its duration"
    )]
    CutoffTooLong { cutoff: u32, duration: u32 },
    #[error("`opens.days` is empty, name at least one weekday")]
    NoDays,
    #[error("`opens` needs either `crontab`, or `days` and `at`")]
    OpeningFields,
    #[error("`opens.nth` belongs to `opens.days`; in a crontab pattern write the second Tuesday as `TUE#2`")]
    NthOfCrontab,
    #[error("`opens.at` {at} has seconds, use whole minutes such as `22:00`")]
    NotWholeMinutes { at: NaiveTime },
    #[error("`opens`: {0}")]
    Opens(CrontabError),
}

impl MaintenanceWindow {
    /// The fields of the window.
    pub fn fields(&self) -> &MaintenanceWindowFields {
        &self.fields
    }

    /// Whether the window is open at `instant`; it is at its opening and no longer at its closing.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.remaining_at(instant).is_some()
    }

    /// Time left until the closing; `None` outside the window.
    pub fn remaining_at(&self, instant: DateTime<Utc>) -> Option<TimeDelta> {
        let opened =
            self.opens.latest_between(before(instant, self.duration()), instant, self.fields.time_zone)?;
        Some(opened + self.duration() - instant)
    }

    /// Whether new work may start at `instant`: the window is open and more than nothing, and at least the
    /// cutoff, is left.
    pub fn admits_start(&self, instant: DateTime<Utc>) -> bool {
        self.remaining_at(instant).is_some_and(|remaining| remaining >= self.cutoff())
    }

    /// The first opening strictly later than `after`.
    pub fn next_open(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.opens.next_after(after, self.fields.time_zone)
    }

    /// `instant` itself when new work may start then, else the next opening.
    pub fn next_start(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.admits_start(instant) { Some(instant) } else { self.next_open(instant) }
    }

    /// What the pattern of its opening probably should say instead.
    pub fn hint(&self) -> Option<&CrontabHint> {
        match &self.fields.opens {
            Opening::Crontab(crontab) | Opening::Moved(MovedOpening { crontab, .. }) => crontab.hint(),
            Opening::Weekly(_) => None,
        }
    }

    /// Elapsed time from an opening to its closing.
    pub fn duration(&self) -> TimeDelta {
        TimeDelta::minutes(self.fields.duration_minutes.into())
    }

    /// Time that must be left for new work to start.
    pub fn cutoff(&self) -> TimeDelta {
        TimeDelta::minutes(self.fields.cutoff_minutes.into())
    }

    pub fn overrun(&self) -> Overrun {
        self.fields.overrun
    }
}

impl TryFrom<MaintenanceWindowFields> for MaintenanceWindow {
    type Error = WindowError;

    fn try_from(fields: MaintenanceWindowFields) -> Result<Self, WindowError> {
        let (duration, cutoff) = (fields.duration_minutes, fields.cutoff_minutes);
        if !(1..=MAX_DURATION_MINUTES).contains(&duration) {
            return Err(WindowError::DurationOutOfRange { minutes: duration });
        }
        if cutoff >= duration {
            return Err(WindowError::CutoffTooLong { cutoff, duration });
        }
        let opens = match &fields.opens {
            Opening::Crontab(crontab) => crontab.moved_by(OffsetDays::NONE),
            Opening::Moved(moved) => moved.crontab.moved_by(moved.offset_days),
            Opening::Weekly(weekly) => weekly.to_crontab()?.moved_by(weekly.offset_days),
        };
        Ok(Self { fields, opens })
    }
}

impl From<MaintenanceWindow> for MaintenanceWindowFields {
    fn from(window: MaintenanceWindow) -> Self {
        window.fields
    }
}

impl WeeklyOpening {
    fn to_crontab(&self) -> Result<Crontab, WindowError> {
        if self.days.is_empty() {
            return Err(WindowError::NoDays);
        }
        if self.at.second() != 0 || self.at.nanosecond() != 0 {
            return Err(WindowError::NotWholeMinutes { at: self.at });
        }
        let nth = match self.nth {
            None => String::new(),
            Some(NthOfMonth::LAST) => "L".to_owned(),
            Some(nth) => format!("#{}", i8::from(nth)),
        };
        let mut days: Vec<String> =
            self.days.iter().map(|day| format!("{}{nth}", day.num_days_from_sunday())).collect();
        days.sort_unstable();
        days.dedup();
        let pattern = format!("{} {} * * {}", self.at.minute(), self.at.hour(), days.join(","));
        pattern.parse().map_err(WindowError::Opens)
    }
}

/// Either kind of opening that is an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningFields {
    crontab: Option<Crontab>,
    days: Option<Vec<Weekday>>,
    #[serde(default, deserialize_with = "hour_and_minute::deserialize")]
    at: Option<NaiveTime>,
    nth: Option<NthOfMonth>,
    #[serde(default)]
    offset_days: OffsetDays,
}

impl TryFrom<OpeningFields> for Opening {
    type Error = WindowError;

    fn try_from(fields: OpeningFields) -> Result<Self, WindowError> {
        let OpeningFields { crontab, days, at, nth, offset_days } = fields;
        match (crontab, days, at) {
            (Some(_), None, None) if nth.is_some() => Err(WindowError::NthOfCrontab),
            (Some(crontab), None, None) => Ok(Self::Moved(MovedOpening { crontab, offset_days })),
            (None, Some(days), Some(at)) => Ok(Self::Weekly(WeeklyOpening { days, at, nth, offset_days })),
            _ => Err(WindowError::OpeningFields),
        }
    }
}

// Written by hand because serde's untagged enums only report that no variant matched.
impl<'de> Deserialize<'de> for Opening {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OpeningVisitor;

        impl<'de> de::Visitor<'de> for OpeningVisitor {
            type Value = Opening;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a crontab pattern, a pattern with an offset such as {\"crontab\": \"0 22 * * TUE#2\", \"offset_days\": 1}, or weekdays with a time such as {\"days\": [\"Sat\"], \"at\": \"22:00\"}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Opening, E> {
                text.parse().map(Opening::Crontab).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Opening, A::Error> {
                OpeningFields::deserialize(MapAccessDeserializer::new(map))?
                    .try_into()
                    .map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(OpeningVisitor)
    }
}

/// A time of day as `HH:MM`.
mod hour_and_minute {
    use chrono::NaiveTime;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.format("%H:%M"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NaiveTime>, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveTime::parse_from_str(&text, "%H:%M")
            .map(Some)
            .map_err(|_| de::Error::custom(format_args!("time of day `{text}` is not of the form `22:00`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn window(value: serde_json::Value) -> MaintenanceWindow {
        serde_json::from_value(value).expect("valid window")
    }

    fn night_of_saturday() -> MaintenanceWindow {
        window(json!({
            "opens": {"days": ["Sat"], "at": "22:00"}, "duration_minutes": 480,
            "time_zone": "Europe/Berlin", "cutoff_minutes": 30, "overrun": "finish_started",
        }))
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("test instants are valid")
    }

    #[test]
    fn window_is_open_from_opening_until_before_closing() {
        let window = night_of_saturday();
        for (instant, remaining) in [
            ("2026-02-28T20:59:59Z", None),
            ("2026-02-28T21:00:00Z", Some(480)),
            ("2026-03-01T04:00:00Z", Some(60)),
            ("2026-03-01T05:00:00Z", None),
        ] {
            assert_eq!(window.remaining_at(at(instant)), remaining.map(TimeDelta::minutes), "{instant}");
        }
    }

    #[test]
    fn window_keeps_its_length_in_the_nights_the_clock_jumps() {
        let window = night_of_saturday();
        // 22:00 on the 28th until 07:00 summer time, and 22:00 summer time until 05:00.
        for (opened, closed) in [
            ("2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
            ("2026-10-24T20:00:00Z", "2026-10-25T04:00:00Z"),
        ] {
            assert_eq!(window.next_open(at(opened) - TimeDelta::hours(1)), Some(at(opened)));
            assert!(window.contains(at(closed) - TimeDelta::seconds(1)) && !window.contains(at(closed)));
        }
    }

    #[test]
    fn window_opens_on_the_nth_weekday_and_days_after_it() {
        for opens in [
            json!({"days": ["Tue"], "at": "22:00", "nth": 2, "offset_days": 2}),
            json!({"crontab": "0 22 * * TUE#2", "offset_days": 2}),
        ] {
            let window = window(json!({"opens": opens, "duration_minutes": 60, "time_zone": "UTC"}));
            assert_eq!(window.next_open(at("2026-12-08T22:30:00Z")), Some(at("2026-12-10T22:00:00Z")));
            assert_eq!(window.next_open(at("2026-12-10T22:00:00Z")), Some(at("2027-01-14T22:00:00Z")));
            assert!(
                window.contains(at("2027-01-14T22:59:59Z")) && !window.contains(at("2027-01-12T22:30:00Z"))
            );
            assert_eq!(serde_json::to_value(&window).expect("serialises")["opens"], opens);
        }
        let last = json!({"days": ["Fri", "Sat"], "at": "01:00", "nth": -1});
        let last = window(json!({"opens": last, "duration_minutes": 60, "time_zone": "UTC"}));
        assert_eq!(last.next_open(at("2026-12-01T00:00:00Z")), Some(at("2026-12-25T01:00:00Z")));
    }

    #[test]
    fn opening_in_a_week_and_on_a_weekday_gets_a_hint() {
        let opens = |opens| window(json!({"opens": opens, "duration_minutes": 60, "time_zone": "UTC"}));
        assert!(opens(json!("0 22 8-14 * 2")).hint().is_some());
        assert!(opens(json!({"crontab": "0 22 8-14 * 2", "offset_days": 1})).hint().is_some());
        assert!(opens(json!("0 22 * * 2#2")).hint().is_none());
    }

    #[test]
    fn no_work_starts_after_the_cutoff() {
        let window = night_of_saturday();
        assert!(window.admits_start(at("2026-03-01T04:30:00Z")));
        assert!(!window.admits_start(at("2026-03-01T04:30:01Z")));
        assert_eq!(window.next_start(at("2026-03-01T04:45:00Z")), Some(at("2026-03-07T21:00:00Z")));
        assert_eq!(window.next_start(at("2026-03-01T03:00:00Z")), Some(at("2026-03-01T03:00:00Z")));
    }

    #[test]
    fn window_opened_again_while_open_closes_later() {
        let window = window(json!({"opens": "0 */2 * * *", "duration_minutes": 180, "time_zone": "UTC"}));
        assert_eq!(window.remaining_at(at("2026-03-01T02:30:00Z")), Some(TimeDelta::minutes(150)));
    }

    #[test]
    fn window_reads_back_as_it_was_written() {
        let window = night_of_saturday();
        let json = serde_json::to_value(&window).expect("serialises");
        assert_eq!(json["opens"], json!({"days": ["Sat"], "at": "22:00"}));
        assert_eq!(serde_json::from_value::<MaintenanceWindow>(json).expect("reads back"), window);
    }

    #[test]
    fn wrong_windows_are_refused_with_the_field_named() {
        let refusal =
            |value| serde_json::from_value::<MaintenanceWindow>(value).expect_err("refused").to_string();
        let with = |field: &str, value: serde_json::Value| {
            let mut fields = json!({"opens": "0 2 * * *", "duration_minutes": 60, "time_zone": "UTC"});
            fields[field] = value;
            refusal(fields)
        };
        assert!(with("duration_minutes", json!(0)).contains("duration_minutes"));
        assert!(with("duration_minutes", json!(10_081)).contains("duration_minutes"));
        assert!(with("cutoff_minutes", json!(60)).contains("cutoff_minutes"));
        assert!(with("opens", json!("0 25 * * *")).contains("crontab field hour"));
        assert!(with("opens", json!({"days": [], "at": "22:00"})).contains("opens.days"));
        assert!(with("opens", json!({"days": ["Sat"], "at": "noon"})).contains("`noon`"));
        assert!(
            with("opens", json!({"days": ["Sat"], "at": "22:00", "nth": 6})).contains("use 1 to 5, or -1")
        );
        assert!(with("opens", json!({"days": ["Sat"]})).contains("either `crontab`, or `days` and `at`"));
        assert!(with("opens", json!({"crontab": "0 2 * * 2", "at": "22:00"})).contains("either `crontab`"));
        assert!(with("opens", json!({"crontab": "0 2 * * 2", "nth": 2})).contains("`TUE#2`"));
        assert!(
            with("opens", json!({"crontab": "0 2 * * 2#2", "offset_days": 31})).contains("use -30 to 30")
        );
        assert!(with("time_zone", json!("Mars/Base")).contains("Mars/Base"));
        assert!(with("colour", json!("red")).contains("colour"));
    }
}
