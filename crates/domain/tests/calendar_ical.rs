//! iCalendar in and out, friendly and hostile.

use chrono::{DateTime, TimeDelta, Utc};
use domain::time::{Effect, FreezeCalendar, Frequency, RecurrenceEnd, Tz};
use proptest::prelude::*;
use serde_json::json;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("test instants are valid")
}

/// A calendar with one event; it begins on line 2, and the given lines on line 4.
fn event(lines: &[&str]) -> String {
    let body = lines.join("\r\n");
    format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:one\r\n{body}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
}

fn refusal(text: &str) -> (usize, String) {
    let error = FreezeCalendar::from_ical(text).expect_err("refused");
    (error.line, error.to_string())
}

#[test]
fn file_of_a_calendar_program_is_read() {
    let text = "BEGIN:VCALENDAR\r\n\
        VERSION:2.0\r\n\
        PRODID:-//Example//Planner 1.0//EN\r\n\
        X-WR-TIMEZONE:Europe/Berlin\r\n\
        BEGIN:VTIMEZONE\r\n\
        TZID:Europe/Berlin\r\n\
        BEGIN:STANDARD\r\n\
        DTSTART:19701025T030000\r\n\
        RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\n\
        END:STANDARD\r\n\
        END:VTIMEZONE\r\n\
        BEGIN:VEVENT\r\n\
        UID:freeze-1@example.org\r\n\
        DTSTAMP:20260101T000000Z\r\n\
        DTSTART;TZID=\"Europe/Berlin\":20261120T180000\r\n\
        DTEND;TZID=Europe/Berlin:20261130T080000\r\n\
        RRULE:FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=20;WKST=MO;UNTIL=20301231\r\n\
        SUMMARY:Black Friday\\, and the week\r\n \x20after\r\n\
        DESCRIPTION:Shops\\nmust not go down\r\n\
        X-PATCH-SCOPE:tier=web\r\n\
        X-PATCH-SCOPE:env=prod\r\n\
        BEGIN:VALARM\r\n\
        TRIGGER:-PT15M\r\n\
        DESCRIPTION:ring\r\n\
        END:VALARM\r\n\
        END:VEVENT\r\n\
        BEGIN:VEVENT\r\n\
        UID:holiday\r\n\
        DTSTART;VALUE=DATE:20261003\r\n\
        SUMMARY:Holiday\r\n\
        END:VEVENT\r\n\
        BEGIN:VEVENT\r\n\
        UID:gone\r\n\
        STATUS:CANCELLED\r\n\
        DTSTART:20260101T000000Z\r\n\
        END:VEVENT\r\n\
        END:VCALENDAR\r\n";
    let calendar = FreezeCalendar::from_ical(text).expect("readable");
    let [black_friday, holiday] = calendar.entries() else { panic!("{:?}", calendar.entries()) };
    assert_eq!(black_friday.name, "Black Friday, and the week after");
    assert_eq!(black_friday.reason, "Shops\nmust not go down");
    assert_eq!(black_friday.effect, Effect::Deny);
    assert_eq!(black_friday.scope.len(), 2);
    assert_eq!(black_friday.starts, at("2026-11-20T17:00:00Z"));
    assert_eq!(black_friday.ends, at("2026-11-30T07:00:00Z"));
    assert_eq!(black_friday.time_zone, Tz::Europe__Berlin);
    let recurrence = black_friday.recurrence.expect("recurs");
    assert_eq!(recurrence.frequency, Frequency::Yearly);
    assert_eq!(recurrence.end, Some(RecurrenceEnd::Until(at("2030-12-31T22:59:59Z"))));
    assert_eq!((holiday.starts, holiday.ends), (at("2026-10-02T22:00:00Z"), at("2026-10-03T22:00:00Z")));
}

#[test]
fn lengths_are_read() {
    for (length, ends) in [
        ("PT4H30M", "2026-03-28T16:30:00Z"),
        ("P1D", "2026-03-29T11:00:00Z"),
        ("P1W", "2026-04-04T11:00:00Z"),
        ("+P1DT1H", "2026-03-29T12:00:00Z"),
    ] {
        let text = event(&["DTSTART;TZID=Europe/Berlin:20260328T130000", &format!("DURATION:{length}")]);
        let calendar = FreezeCalendar::from_ical(&text).expect("readable");
        assert_eq!(calendar.entries()[0].ends, at(ends), "{length}");
    }
}

#[test]
fn default_zone_counts_wherever_it_stands() {
    let text = event(&["DTSTART:20260301T120000", "DURATION:PT1H"])
        .replace("END:VCALENDAR", "X-WR-TIMEZONE:Asia/Tokyo\r\nEND:VCALENDAR");
    let calendar = FreezeCalendar::from_ical(&text).expect("readable");
    assert_eq!(calendar.entries()[0].starts, at("2026-03-01T03:00:00Z"));
}

#[test]
fn refusals_name_the_line() {
    let start = "DTSTART:20260301T000000Z";
    let end = "DTEND:20260302T000000Z";
    for (lines, number, words) in [
        (vec![start], 2, "no `DTEND`"),
        (vec![end], 2, "no `DTSTART`"),
        (vec![end, start, "DURATION:PT1H"], 6, "twice"),
        (vec![start, start, end], 5, "`DTSTART` twice"),
        (vec!["DTSTART:2026-03-01", end], 4, "not a valid `DTSTART`"),
        (vec!["DTSTART:20261301T000000Z", end], 4, "not a valid `DTSTART`"),
        (vec!["DTSTART;TZID=W. Europe Standard Time:20260301T000000", end], 4, "time zone `W. Europe"),
        (vec![start, "DTEND:20260228T000000Z"], 2, "not after its start"),
        (vec![start, "DURATION:-PT1H"], 5, "not a valid `DURATION`"),
        (vec![start, "DURATION:PT999999999999H"], 5, "not a valid `DURATION`"),
        (vec![start, "DURATION:P99999999W"], 5, "out of range"),
        (vec![start, end, "RRULE:FREQ=HOURLY"], 6, "use DAILY"),
        (vec![start, end, "RRULE:INTERVAL=1"], 6, "FREQ is missing"),
        (vec![start, end, "RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101"], 6, "COUNT or UNTIL"),
        (vec![start, end, "RRULE:FREQ=DAILY;COUNT=2;COUNT=3"], 6, "each part once"),
        (vec![start, end, "RRULE:FREQ=DAILY;BYDAY=SU"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=WEEKLY;BYDAY=MO,TU"], 6, "only FREQ"),
        (vec![start, end, "RRULE:FREQ=YEARLY;BYMONTHDAY=1"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=DAILY;COUNT=0"], 2, "`count` 0"),
        (vec![start, end, "RRULE:FREQ"], 6, "write parts"),
        (vec![start, end, "EXDATE:20260301T000000Z"], 6, "`EXDATE` is not supported"),
        (vec![start, end, "X-PATCH-SCOPE:prod"], 6, "write a tag"),
        (vec![start, end, "X-PATCH-EFFECT:MAYBE"], 6, "use DENY or ALLOW"),
        (vec![start, end, "no colon here"], 6, "not of the form"),
        (vec![start, end, "SUMMARY;X=\"open:x"], 6, "not of the form"),
        (vec![start, end, "SUMMARY:a\u{0}b"], 6, "control character"),
        (vec![start, end, "BEGIN:A", "END:B"], 7, "does not match"),
    ] {
        let (line, message) = refusal(&event(&lines));
        assert!(message.contains(words), "{lines:?}: {message}");
        assert_eq!(line, number, "{lines:?}: {message}");
    }
    assert!(refusal("").1.contains("no calendar"));
    assert!(refusal("BEGIN:VEVENT\r\n").1.contains("must start with"));
    assert!(refusal("BEGIN:VCALENDAR\r\n").1.contains("ends before `END:VCALENDAR`"));
    assert!(refusal("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR\n").1.contains("no `UID`"));
}

#[test]
fn oversized_input_is_refused() {
    assert!(refusal(&"x".repeat((1 << 20) + 1)).1.contains("at most 1048576"));
    let long_line = format!("SUMMARY:{}", "x".repeat(17_000));
    assert_eq!(refusal(&event(&[&long_line])).0, 4);
    let folded = format!("SUMMARY:x{}", "\r\n xxxxxxxxxx".repeat(2_000));
    assert!(refusal(&event(&[&folded])).1.contains("unfolded"));
    let deep = "BEGIN:VCALENDAR\r\n".repeat(10);
    assert!(refusal(&deep).1.contains("nested"));
    let many: String =
        (0..1_001).map(|uid| format!("BEGIN:VEVENT\nUID:{uid}\nDTSTART:20260301\nEND:VEVENT\n")).collect();
    assert!(refusal(&format!("BEGIN:VCALENDAR\n{many}END:VCALENDAR\n")).1.contains("more than 1000 events"));
}

#[test]
fn written_lines_are_folded_and_escaped() {
    let calendar: FreezeCalendar = serde_json::from_value(json!([{
        "uid": "one", "name": "a, b; c \\ d", "reason": "ü".repeat(100), "scope": {"env": "prod"},
        "starts": "2026-03-01T00:00:00Z", "ends": "2026-03-02T00:00:00Z",
        "recurrence": {"frequency": "weekly", "interval": 2, "end": {"count": 3}},
    }]))
    .expect("valid");
    let text = calendar.to_ical(at("2026-02-01T00:00:00Z"));
    assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
    assert!(text.contains("SUMMARY:a\\, b\\; c \\\\ d\r\n"));
    assert!(text.contains("RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=3\r\n"));
    assert!(text.contains("DTSTAMP:20260201T000000Z\r\n"));
    assert_eq!(FreezeCalendar::from_ical(&text), Ok(calendar));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn calendar_reads_back_as_it_was_written(
        names in prop::collection::vec("[A-Za-zäöü€,;:\\\\\"=]{1,120}", 1..4),
        reason in "[a-z,;\\\\\n €]{0,300}",
        hours in 0..80_000_i64,
        length in 1..8_000_i64,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
        allow in any::<bool>(),
    ) {
        let starts = at("2020-01-01T00:00:00Z") + TimeDelta::hours(hours);
        let ends = starts + TimeDelta::minutes(length);
        let entries: Vec<_> = names.iter().enumerate().map(|(index, name)| json!({
            "uid": format!("{index}"), "name": name, "reason": reason.trim(), "scope": {"tag": name},
            "effect": if allow { "allow" } else { "deny" }, "starts": starts, "ends": ends, "time_zone": zone,
            "recurrence": {"frequency": "monthly", "end": {"until": ends}},
        })).collect();
        let calendar: FreezeCalendar = serde_json::from_value(entries.into()).expect("valid");
        let read = FreezeCalendar::from_ical(&calendar.to_ical(starts)).expect("readable");
        for (read, written) in read.entries().iter().zip(calendar.entries()) {
            prop_assert_eq!((&read.name, &read.reason, &read.scope), (&written.name, &written.reason, &written.scope));
            prop_assert_eq!((read.starts, read.ends, read.effect), (written.starts, written.ends, written.effect));
            prop_assert_eq!(read.recurrence, written.recurrence);
        }
        prop_assert_eq!(read.entries().len(), calendar.entries().len());
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        noise in "\\PC{0,200}",
        lines in prop::collection::vec("(BEGIN:VCALENDAR|BEGIN:VEVENT|END:VEVENT|UID:a|DTSTART[;:][TZID=A-Z/:0-9]{0,20}|RRULE:[A-Z=;0-9]{0,30}|DURATION:P[0-9TWDHMS]{0,12}|[ -~äü]{0,12})", 0..12),
    ) {
        let _ = FreezeCalendar::from_ical(&noise);
        let _ = FreezeCalendar::from_ical(&lines.join("\n"));
        let _ = FreezeCalendar::from_ical(&event(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
    }
}
