//! Text in, text out: the occurrences of a schedule for the command line and the preview of a policy.

use chrono::{DateTime, Offset, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::crontab::{Crontab, CrontabError, Schedule};

/// Most occurrences in one answer.
pub const MAX_OCCURRENCES: usize = 10_000;

/// A question about a schedule that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error(transparent)]
    Crontab(#[from] CrontabError),
    #[error("time zone `{name}` is unknown, use an IANA name such as `Europe/Berlin` or `UTC`")]
    UnknownTimeZone { name: String },
    #[error("start `{text}` is not an RFC 3339 time, write it like `2026-03-01T00:00:00Z`")]
    InvalidStart { text: String },
    #[error("count {count} is out of range, ask for 1 to {MAX_OCCURRENCES} occurrences")]
    CountOutOfRange { count: usize },
}

/// The first `count` occurrences of `expr` strictly later than `from`, as RFC 3339 times with the offset that
/// the zone `tz` has at each of them, such as `2026-03-01T02:00:00+01:00`.
///
/// `from` is RFC 3339 with any offset. Fewer than `count` come back only at the end of the year 9998.
pub fn next_occurrences(
    expr: &str,
    tz: &str,
    from: &str,
    count: usize,
) -> Result<Vec<String>, ScheduleError> {
    let crontab: Crontab = expr.parse()?;
    occurrences_of(&crontab, tz, from, count)
}

/// As [`next_occurrences`], of a schedule that is read already.
pub fn occurrences_of(
    schedule: &Schedule,
    tz: &str,
    from: &str,
    count: usize,
) -> Result<Vec<String>, ScheduleError> {
    let zone = parse_time_zone(tz)?;
    let from = DateTime::parse_from_rfc3339(from.trim())
        .map_err(|_| ScheduleError::InvalidStart { text: excerpt(from) })?
        .to_utc();
    if !(1..=MAX_OCCURRENCES).contains(&count) {
        return Err(ScheduleError::CountOutOfRange { count });
    }
    Ok(schedule.occurrences(from, zone).take(count).map(|instant| on_local_clock(instant, zone)).collect())
}

/// An IANA time zone by its name.
pub fn parse_time_zone(name: &str) -> Result<Tz, ScheduleError> {
    name.trim().parse().map_err(|_| ScheduleError::UnknownTimeZone { name: excerpt(name) })
}

fn on_local_clock(instant: DateTime<Utc>, zone: Tz) -> String {
    let local = instant.with_timezone(&zone);
    // Some offsets before 1972 have seconds, which RFC 3339 cannot write; such times are written in UTC.
    if local.offset().fix().local_minus_utc() % 60 == 0 {
        local.to_rfc3339_opts(SecondsFormat::Secs, false)
    } else {
        instant.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// The start of a foreign text, short enough for an error message.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_carry_the_offset_of_their_day() {
        assert_eq!(
            next_occurrences("0 2 * * 0", "Europe/Berlin", "2026-03-01T00:00:00Z", 5).expect("valid"),
            [
                "2026-03-01T02:00:00+01:00",
                "2026-03-08T02:00:00+01:00",
                "2026-03-15T02:00:00+01:00",
                "2026-03-22T02:00:00+01:00",
                "2026-03-29T03:00:00+02:00",
            ]
        );
    }

    #[test]
    fn utc_is_written_with_an_offset_too() {
        let next = next_occurrences("@daily", "UTC", "2026-03-01T12:00:00+09:00", 1).expect("valid");
        assert_eq!(next, ["2026-03-02T00:00:00+00:00"]);
    }

    #[test]
    fn offset_with_seconds_falls_back_to_utc() {
        let next =
            next_occurrences("0 0 * * *", "Africa/Monrovia", "1970-01-01T12:00:00Z", 1).expect("valid");
        assert_eq!(next, ["1970-01-02T00:44:30Z"]);
    }

    #[test]
    fn each_argument_is_checked() {
        let ask = |expr, tz, from, count| next_occurrences(expr, tz, from, count).expect_err("refused");
        let start = "2026-03-01T00:00:00Z";
        assert!(matches!(ask("0 2 * *", "UTC", start, 1), ScheduleError::Crontab(_)));
        assert!(matches!(ask("@daily", "Mars/Base", start, 1), ScheduleError::UnknownTimeZone { .. }));
        assert!(matches!(ask("@daily", "UTC", "2026-03-01", 1), ScheduleError::InvalidStart { .. }));
        assert!(matches!(ask("@daily", "UTC", start, 0), ScheduleError::CountOutOfRange { count: 0 }));
        assert!(matches!(ask("@daily", "UTC", start, 10_001), ScheduleError::CountOutOfRange { .. }));
    }

    #[test]
    fn occurrences_stop_at_the_end_of_the_calendar() {
        let last = next_occurrences("@yearly", "UTC", "9997-06-01T00:00:00Z", 10).expect("valid");
        assert_eq!(last, ["9998-01-01T00:00:00+00:00"]);
        assert_eq!(next_occurrences("* * * * *", "Asia/Tokyo", "0000-01-01T00:00:00Z", 1), Ok(Vec::new()));
    }
}
