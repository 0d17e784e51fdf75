//! From a local clock to instants and back.

use chrono::{DateTime, Datelike, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{GapInfo, Tz};

/// Years for which schedules are answered; RFC 3339 can write no later one.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9998;

/// Whether an instant is far enough from the ends of the calendar to be shown on any local clock.
pub(super) fn is_representable(instant: DateTime<Utc>) -> bool {
    YEARS.contains(&instant.year())
}

/// The local time at `instant`, cut to whole seconds.
///
/// The instant must be representable.
pub(super) fn local_time(instant: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    let local = instant.with_timezone(&zone).naive_local();
    local.with_nanosecond(0).unwrap_or(local)
}

/// The instant meant by a local time: the first pass when clocks go back, the first instant after the gap when
/// they go forward.
///
/// The result never decreases as the local time grows, which is what lets searches stop early.
pub(super) fn instant_of(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) => Some(instant.to_utc()),
        LocalResult::Ambiguous(first_pass, _) => Some(first_pass.to_utc()),
        LocalResult::None => gap_end(local, zone),
    }
}

/// The first instant after the gap that swallows `local`; `None` when there is no such gap.
pub(super) fn gap_end(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    GapInfo::new(&local, &zone)?.end.map(|end| end.to_utc())
}

/// `length` earlier than `instant`, or the first instant of the calendar.
pub(super) fn before(instant: DateTime<Utc>, length: TimeDelta) -> DateTime<Utc> {
    instant.checked_sub_signed(length).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// When clocks go back between the two passes of one local time, the instant at which they do.
pub(super) fn change_between(
    first_pass: DateTime<Utc>,
    second_pass: DateTime<Utc>,
    zone: Tz,
) -> DateTime<Utc> {
    let shift = |instant: DateTime<Utc>| instant.with_timezone(&zone).naive_local() - instant.naive_utc();
    let before = shift(first_pass);
    let (mut old, mut new) = (first_pass, second_pass);
    while new - old > TimeDelta::seconds(1) {
        let middle = old + TimeDelta::seconds((new - old).num_seconds() / 2);
        if shift(middle) == before {
            old = middle;
        } else {
            new = middle;
        }
    }
    new
}
