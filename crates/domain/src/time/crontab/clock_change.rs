//! What happens to a schedule when the local clock jumps.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::super::local::{change_between, gap_end, instant_of, local_time};
use super::calendar::ShiftedCalendar;
use super::parse::Pattern;

/// Most slots examined for one answer. A repeated day has 1,440 of them; no zone has repeated more.
const MAX_SLOTS: usize = 3_000;

/// How a pattern behaves at clock changes; its hour field decides.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClockChangeRule {
    /// The hour is fixed: each local slot fires once, a skipped one at the first instant after the gap.
    OncePerSlot,
    /// The hour is a wildcard: the schedule follows elapsed time, through both passes and across the gap.
    RunsOnThrough,
}

impl ClockChangeRule {
    pub(super) fn of(pattern: &Pattern) -> Self {
        if pattern.hours.has_wildcard { Self::RunsOnThrough } else { Self::OncePerSlot }
    }

    pub(super) fn next_after(
        self,
        calendar: ShiftedCalendar<'_>,
        after: DateTime<Utc>,
        zone: Tz,
    ) -> Option<DateTime<Utc>> {
        match self {
            Self::OncePerSlot => next_once_per_slot(calendar, after, zone),
            Self::RunsOnThrough => next_running_on(calendar, after, zone),
        }
    }
}

fn next_once_per_slot(
    calendar: ShiftedCalendar<'_>,
    after: DateTime<Utc>,
    zone: Tz,
) -> Option<DateTime<Utc>> {
    let mut local = local_time(after, zone);
    // In the second pass of an overlap the slots ahead have fired already; they are passed over one by one.
    for _ in 0..MAX_SLOTS {
        local = calendar.next_after(local)?;
        let fires = instant_of(local, zone)?;
        if fires > after {
            return Some(fires);
        }
    }
    None
}

fn next_running_on(calendar: ShiftedCalendar<'_>, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
    let after = after.with_nanosecond(0)?;
    let mut local = local_time(after, zone);
    if let LocalResult::Ambiguous(first_pass, second_pass) = zone.from_local_datetime(&local)
        && first_pass.to_utc() == after
    {
        let change = change_between(after, second_pass.to_utc(), zone);
        let in_first_pass = after + (calendar.next_after(local)? - local);
        if in_first_pass < change {
            return Some(in_first_pass);
        }
        local = just_before(local_time(change, zone));
    }
    for _ in 0..MAX_SLOTS {
        let slot = calendar.next_after(local)?;
        match zone.from_local_datetime(&slot) {
            LocalResult::Single(instant) => return Some(instant.to_utc()),
            LocalResult::Ambiguous(first_pass, second_pass) => {
                let next = if first_pass.to_utc() > after { first_pass } else { second_pass };
                return Some(next.to_utc());
            }
            LocalResult::None => local = just_before(local_time(gap_end(slot, zone)?, zone)),
        }
    }
    None
}

fn just_before(local: NaiveDateTime) -> NaiveDateTime {
    local - TimeDelta::seconds(1)
}
