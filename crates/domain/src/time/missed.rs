//! Which slots of a schedule are due, and which were missed while no scheduler ran.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::crontab::Schedule;
use super::local::before;

/// A slot later than this is skipped instead of run; exactly this late is still due.
pub const MISSED_AFTER: TimeDelta = TimeDelta::minutes(30);

/// Most missed slots listed by name after a long pause, and most superseded ones.
const MAX_LISTED: usize = 100;

/// What a scheduler should do with the slots since its last check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueSlots {
    /// The latest slot, when it is at most [`MISSED_AFTER`] old: run this one.
    pub due: Option<DateTime<Utc>>,
    /// Slots young enough to run but overtaken by `due`, oldest first; at most 100, the latest ones.
    pub superseded: Vec<DateTime<Utc>>,
    /// Slots missed by more than [`MISSED_AFTER`], oldest first; at most 100, the latest ones.
    pub skipped: Vec<DateTime<Utc>>,
    /// Whether still older slots were skipped that `skipped` does not list.
    pub skipped_more: bool,
}

/// Sorts the slots in (`last_considered`, `now`] into due, superseded and skipped.
///
/// The caller stores `now` as the next `last_considered`; no slot is then reported twice or lost.
pub fn due_slots(
    schedule: &Schedule,
    zone: Tz,
    last_considered: DateTime<Utc>,
    now: DateTime<Utc>,
) -> DueSlots {
    // "Later than" bounds are exclusive, so one nanosecond less keeps a slot that is exactly thirty minutes old.
    let runnable_after = last_considered.max(before(now, MISSED_AFTER + TimeDelta::nanoseconds(1)));
    let (mut runnable, _) = latest_slots(schedule, zone, runnable_after, now);
    let due = runnable.pop();
    let (skipped, skipped_more) = latest_slots(schedule, zone, last_considered, runnable_after);
    DueSlots { due, superseded: runnable, skipped, skipped_more }
}

/// The latest slots in (`after`, `until`], oldest first, and whether there are older ones.
fn latest_slots(
    schedule: &Schedule,
    zone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> (Vec<DateTime<Utc>>, bool) {
    let mut slots = Vec::new();
    let mut end = until;
    while let Some(slot) = schedule.latest_between(after, end, zone) {
        if slots.len() == MAX_LISTED {
            slots.reverse();
            return (slots, true);
        }
        slots.push(slot);
        end = before(slot, TimeDelta::nanoseconds(1));
    }
    slots.reverse();
    (slots, false)
}

#[cfg(test)]
mod tests {
    use super::super::crontab::Crontab;
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("test instants are valid")
    }

    fn slots(pattern: &str, last: &str, now: &str) -> DueSlots {
        due_slots(&pattern.parse::<Crontab>().expect("valid"), Tz::Europe__Berlin, at(last), at(now))
    }

    #[test]
    fn nothing_is_due_between_slots() {
        assert_eq!(slots("0 2 * * 0", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"), DueSlots::default());
    }

    #[test]
    fn slot_is_due_at_its_instant_and_until_thirty_minutes_later() {
        for now in ["2026-03-01T01:00:00Z", "2026-03-01T01:30:00Z"] {
            assert_eq!(slots("0 2 * * 0", "2026-02-28T00:00:00Z", now).due, Some(at("2026-03-01T01:00:00Z")));
        }
    }

    #[test]
    fn slot_missed_by_more_than_thirty_minutes_is_skipped() {
        let late = slots("0 2 * * 0", "2026-02-28T00:00:00Z", "2026-03-01T01:30:01Z");
        assert_eq!(late.due, None);
        assert_eq!(late.skipped, [at("2026-03-01T01:00:00Z")]);
    }

    #[test]
    fn only_the_latest_of_several_runnable_slots_is_due() {
        let found = slots("*/10 * * * *", "2026-03-01T00:59:00Z", "2026-03-01T01:21:00Z");
        assert_eq!(found.due, Some(at("2026-03-01T01:20:00Z")));
        assert_eq!(found.superseded, [at("2026-03-01T01:00:00Z"), at("2026-03-01T01:10:00Z")]);
        assert!(found.skipped.is_empty());
    }

    #[test]
    fn considered_slots_are_not_reported_again() {
        assert_eq!(slots("0 2 * * 0", "2026-03-01T01:00:00Z", "2026-03-01T01:10:00Z"), DueSlots::default());
    }

    #[test]
    fn long_pause_lists_the_latest_slots_only() {
        let found = slots("* * * * *", "2016-01-01T00:00:00Z", "2026-03-01T01:00:30Z");
        assert_eq!(found.due, Some(at("2026-03-01T01:00:00Z")));
        assert_eq!((found.skipped.len(), found.skipped_more), (100, true));
        assert_eq!(found.skipped.last(), Some(&at("2026-03-01T00:30:00Z")));
    }

    #[test]
    fn clock_that_was_set_back_finds_no_slot() {
        assert_eq!(slots("* * * * *", "2026-03-01T02:00:00Z", "2026-03-01T01:00:00Z"), DueSlots::default());
    }
}
