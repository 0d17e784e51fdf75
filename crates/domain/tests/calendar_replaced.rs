//! Occurrences of a recurring freeze that a calendar program has moved or cancelled (`RECURRENCE-ID`).

use chrono::{DateTime, Utc};
use domain::time::{Effect, FreezeCalendar, Span};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A weekly freeze on Fridays from 18:00 in Berlin, four times, and other events.
fn calendar(base: &str, others: &[&str]) -> String {
    let others: String =
        others.iter().map(|lines| format!("BEGIN:VEVENT\r\n{lines}END:VEVENT\r\n")).collect();
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{others}BEGIN:VEVENT\r\nUID:weekly@example.test\r\nSUMMARY:Freeze\r\n\
         DTSTART;TZID=Europe/Berlin:20260320T180000\r\nDURATION:PT12H\r\nRRULE:FREQ=WEEKLY;COUNT=4\r\n{base}END:VEVENT\r\n\
         END:VCALENDAR\r\n"
    )
}

fn starts(text: &str) -> Vec<String> {
    let calendar = FreezeCalendar::from_ical(text).unwrap_or_else(|error| panic!("{error}"));
    let span = Span { starts: at("2026-01-01T00:00:00Z"), ends: at("2027-01-01T00:00:00Z") };
    let mut starts: Vec<DateTime<Utc>> = calendar
        .entries()
        .iter()
        .flat_map(|freeze| freeze.times_in(span).take(20).map(|one| one.starts).collect::<Vec<_>>())
        .collect();
    starts.sort();
    starts.iter().map(|start| start.format("%m-%dT%H:%M").to_string()).collect()
}

const MOVED: &str = "UID:weekly@example.test\r\nRECURRENCE-ID;TZID=Europe/Berlin:20260327T180000\r\nSUMMARY:Freeze\r\n\
                     DTSTART;TZID=Europe/Berlin:20260328T090000\r\nDURATION:PT2H\r\n";
const CANCELLED: &str = "UID:weekly@example.test\r\nRECURRENCE-ID:20260403T160000Z\r\nSTATUS:CANCELLED\r\n\
                         DTSTART:20260403T160000Z\r\nDTEND:20260404T040000Z\r\n";

#[test]
fn moved_and_cancelled_occurrences_take_the_place_of_the_original() {
    assert_eq!(starts(&calendar("", &[])), ["03-20T17:00", "03-27T17:00", "04-03T16:00", "04-10T16:00"]);
    assert_eq!(starts(&calendar("", &[MOVED])), ["03-20T17:00", "03-28T08:00", "04-03T16:00", "04-10T16:00"]);
    assert_eq!(starts(&calendar("", &[MOVED, CANCELLED])), ["03-20T17:00", "03-28T08:00", "04-10T16:00"]);
    // An occurrence on its own, as it is in an invitation, is an event like any other.
    let alone = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{MOVED}END:VEVENT\r\nEND:VCALENDAR\r\n");
    assert_eq!(starts(&alone), ["03-28T08:00"]);
}

#[test]
fn moved_occurrence_concerns_the_same_hosts() {
    let text = calendar("X-PATCH-SCOPE:env=prod\r\nX-PATCH-EFFECT:ALLOW\r\n", &[MOVED]);
    let calendar = FreezeCalendar::from_ical(&text).unwrap();
    let uids: Vec<&str> = calendar.entries().iter().map(|freeze| freeze.uid.as_str()).collect();
    assert_eq!(uids, ["weekly@example.test/20260327T180000", "weekly@example.test"]);
    for freeze in calendar.entries() {
        assert_eq!((freeze.scope["env"].as_str(), freeze.effect), ("prod", Effect::Allow));
    }
    assert_eq!(FreezeCalendar::from_ical(&calendar.to_ical(at("2026-01-01T00:00:00Z"))), Ok(calendar));
}
