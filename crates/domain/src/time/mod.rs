//! When things happen: crontab schedules, maintenance windows, freeze calendars, missed slots and patch levels.
//!
//! Everything here is pure calendar arithmetic. The present is always an argument, and a time zone is always an
//! IANA name, so the same question has the same answer on every machine and in every replay.
//!
//! Local times are turned into instants by one rule: an ambiguous local time means its first pass, and a local time
//! skipped by a clock change means the first instant after the change.

pub mod calendar;
pub mod crontab;
mod day_rule;
mod local;
mod missed;
mod patch_level;
mod schedule;
mod window;

pub use calendar::{
    ByDay, CalendarError, Effect, Freeze, FreezeCalendar, FreezeFields, Frequency, IcalError, KeepOpenDays,
    Recurrence, RecurrenceEnd, Span, Verdict,
};
pub use chrono_tz::Tz;
pub use crontab::{Crontab, CrontabError, CrontabHint, Occurrences, Schedule};
pub use day_rule::{DayRuleError, NthOfMonth, OffsetDays};
pub use missed::{DueSlots, MISSED_AFTER, due_slots};
pub use patch_level::{PatchLevel, PatchLevelError};
pub use schedule::{MAX_OCCURRENCES, ScheduleError, next_occurrences, occurrences_of, parse_time_zone};
pub use window::{MaintenanceWindow, MaintenanceWindowFields, Opening, Overrun, WindowError};
