//! Times as people say them.

use chrono::{DateTime, TimeDelta, Utc};

/// The text of a cell: how long ago, or in how long, if it is a time; anything else as it is.
pub fn relative(text: String, now: DateTime<Utc>) -> String {
    // The shortest RFC 3339 time; a version or a number is not parsed at all.
    if text.len() < "2026-03-01T00:00:00Z".len() {
        return text;
    }
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => distance(time.to_utc() - now),
        Err(_) => text,
    }
}

fn distance(difference: TimeDelta) -> String {
    let seconds = difference.num_seconds();
    let span = span(seconds.unsigned_abs());
    if seconds > 0 { format!("in {span}") } else { format!("{span} ago") }
}

/// Two units at most are of interest; below a week, one is exact enough.
fn span(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h{:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_distances_from_now_and_nothing_else_is() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let shown = |text: &str| relative(text.to_owned(), now);
        assert_eq!(shown("2026-03-01T11:59:48Z"), "12s ago");
        assert_eq!(shown("2026-03-01T11:50:00.123Z"), "9m ago");
        assert_eq!(shown("2026-03-01T09:55:00Z"), "2h05m ago");
        assert_eq!(shown("2026-02-01T12:00:00+00:00"), "28d ago");
        assert_eq!(shown("2026-03-04T12:00:00Z"), "in 3d");
        assert_eq!(shown("2026-03-01"), "2026-03-01");
        assert_eq!(shown("openssl-3.0.7-27.el9.x86_64"), "openssl-3.0.7-27.el9.x86_64");
    }
}
