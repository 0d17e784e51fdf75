//! iCalendar in and out, friendly and hostile.

use chrono::{DateTime, TimeDelta, Utc};
use domain::time::{Effect, FreezeCalendar, Frequency, RecurrenceEnd, Span, Tz};
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
    let recurrence = black_friday.recurrence.clone().expect("recurs");
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
        (vec![start, end, "RRULE:FREQ=DAILY;BYDAY=MO"], 2, "is not a day that the recurrence selects"),
        (vec![start, end, "RRULE:FREQ=WEEKLY;BYDAY=MO,TU"], 2, "on 2026-03-01, is not a day"),
        (vec![start, end, "RRULE:FREQ=WEEKLY;BYDAY=1SU"], 2, "frequency `monthly`"),
        (vec![start, end, "RRULE:FREQ=MONTHLY;BYDAY=6SU"], 6, "its BYDAY must be"),
        (vec![start, end, "RRULE:FREQ=MONTHLY;BYDAY=-2SU"], 6, "its BYDAY must be"),
        (vec![start, end, "RRULE:FREQ=MONTHLY;BYDAY=SU,MO;BYSETPOS=1"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=WEEKLY;BYDAY=SU;BYSETPOS=1"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=MONTHLY;BYDAY=SU;BYMONTHDAY=1"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=MONTHLY;BYMONTHDAY=1,15"], 6, "day of DTSTART"),
        (vec![start, end, "RRULE:FREQ=YEARLY;BYMONTHDAY=1"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=YEARLY;BYDAY=1SU"], 6, "BY parts"),
        (vec![start, end, "RRULE:FREQ=YEARLY;BYWEEKNO=9"], 6, "only FREQ"),
        (vec![start, end, "RRULE:FREQ=DAILY;COUNT=0"], 2, "`count` 0"),
        (vec![start, end, "RRULE:FREQ"], 6, "write parts"),
        (vec![start, end, "EXDATE:20260301T000000Z"], 2, "`except` leaves out"),
        (vec![start, end, "RRULE:FREQ=DAILY", "EXDATE:someday"], 7, "not a valid `EXDATE`"),
        (vec![start, end, "RRULE:FREQ=DAILY", "RDATE:20260303T000000Z"], 7, "`RDATE` is not supported"),
        (
            vec![start, end, "RECURRENCE-ID;RANGE=THISANDFUTURE:20260301T000000Z"],
            6,
            "`RECURRENCE-ID;RANGE` is not supported",
        ),
        (vec![start, end, "X-PATCH-RECURRENCE:{}"], 6, "JSON of a recurrence"),
        (vec![start, end, "X-PATCH-KEEP-OPEN-DAYS:22"], 6, "use 0 to 21"),
        (vec![start, end, "X-PATCH-KEEP-OPEN-DAYS:2", "X-PATCH-EFFECT:ALLOW"], 2, "`keep_open_days`"),
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

/// The first starts of the only freeze of a file.
fn starts(text: &str, count: usize) -> Vec<String> {
    let calendar = FreezeCalendar::from_ical(text).unwrap_or_else(|error| panic!("{error}"));
    let freeze = &calendar.entries()[0];
    let all = Span { starts: freeze.starts, ends: DateTime::<Utc>::MAX_UTC };
    freeze.times_in(all).take(count).map(|time| time.starts.format("%FT%RZ").to_string()).collect()
}

#[test]
fn weekdays_of_weeks_months_and_years_are_read() {
    for (start, rule, expected) in [
        ("20260306", "FREQ=WEEKLY;BYDAY=FR,SU", ["2026-03-06", "2026-03-08", "2026-03-13", "2026-03-15"]),
        ("20260310", "FREQ=MONTHLY;BYDAY=2TU", ["2026-03-10", "2026-04-14", "2026-05-12", "2026-06-09"]),
        (
            "20260310",
            "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2",
            ["2026-03-10", "2026-04-14", "2026-05-12", "2026-06-09"],
        ),
        ("20260327", "FREQ=MONTHLY;BYDAY=-1FR", ["2026-03-27", "2026-04-24", "2026-05-29", "2026-06-26"]),
        (
            "20260302",
            "FREQ=MONTHLY;INTERVAL=2;BYDAY=1MO,3WE",
            ["2026-03-02", "2026-03-18", "2026-05-04", "2026-05-20"],
        ),
        ("20260330", "FREQ=MONTHLY;BYDAY=5MO", ["2026-03-30", "2026-06-29", "2026-08-31", "2026-11-30"]),
        (
            "20261126",
            "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            ["2026-11-26", "2027-11-25", "2028-11-23", "2029-11-22"],
        ),
        (
            "20260302",
            "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
            ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"],
        ),
        // Every second week: which day it begins on decides which Sunday belongs to which Saturday.
        (
            "20260307",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=SA,SU",
            ["2026-03-07", "2026-03-08", "2026-03-21", "2026-03-22"],
        ),
        (
            "20260307",
            "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=SA,SU",
            ["2026-03-07", "2026-03-15", "2026-03-21", "2026-03-29"],
        ),
    ] {
        let text = event(&[&format!("DTSTART:{start}T060000Z"), "DURATION:PT1H", &format!("RRULE:{rule}")]);
        assert_eq!(starts(&text, 4), expected.map(|date| format!("{date}T06:00Z")), "{rule}");
        // What is written is read back as the same rule.
        let calendar = FreezeCalendar::from_ical(&text).expect("readable");
        assert_eq!(
            FreezeCalendar::from_ical(&calendar.to_ical(at("2026-01-01T00:00:00Z"))),
            Ok(calendar),
            "{rule}"
        );
    }
}

#[test]
fn counts_and_ends_apply_to_weekdays() {
    let rule = |end: &str| {
        event(&["DTSTART:20260306T060000Z", "DURATION:PT1H", &format!("RRULE:FREQ=WEEKLY;BYDAY=FR,SU;{end}")])
    };
    let expected = ["2026-03-06T06:00Z", "2026-03-08T06:00Z", "2026-03-13T06:00Z"];
    assert_eq!(starts(&rule("COUNT=3"), 9), expected);
    assert_eq!(starts(&rule("UNTIL=20260314"), 9), expected);
}

#[test]
fn dates_that_are_left_out_still_count() {
    let lines = ["DTSTART;TZID=Europe/Berlin:20260320T180000", "DURATION:PT12H", "RRULE:FREQ=WEEKLY;COUNT=4"];
    let without = |except: &[&str]| starts(&event(&[&lines, except].concat()), 9);
    let all = ["2026-03-20T17:00Z", "2026-03-27T17:00Z", "2026-04-03T16:00Z", "2026-04-10T16:00Z"];
    assert_eq!(without(&[]), all);
    for except in [
        "EXDATE;TZID=Europe/Berlin:20260327T180000,20260403T180000",
        "EXDATE:20260327T170000Z,20260403T160000Z",
        "EXDATE;VALUE=DATE:20260327,20260403",
    ] {
        assert_eq!(without(&[except]), [all[0], all[3]], "{except}");
    }
    // The first occurrence can be left out too; a time at which nothing starts changes nothing.
    assert_eq!(without(&["EXDATE:20260320T170000Z", "EXDATE:20260327T180000Z"]), &all[1..]);
    let calendar = FreezeCalendar::from_ical(&event(&[&lines[..], &["EXDATE;VALUE=DATE:20260327"]].concat()))
        .expect("readable");
    assert_eq!(FreezeCalendar::from_ical(&calendar.to_ical(at("2026-01-01T00:00:00Z"))), Ok(calendar));
}

/// A calendar of one event from 1 June 2026, noon, of a zone with this name and definition.
fn in_zone(name: &str, observances: &[(&str, &str, &str, &str, &str)]) -> String {
    let observance = |(kind, from, to, start, rule): &(&str, &str, &str, &str, &str)| {
        format!(
            "BEGIN:{kind}\r\nTZOFFSETFROM:{from}\r\nTZOFFSETTO:{to}\r\nDTSTART:{start}\r\n{rule}END:{kind}\r\n"
        )
    };
    let observances: String = observances.iter().map(observance).collect();
    format!(
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:one\r\nDTSTART;TZID=\"{name}\":20260601T120000\r\nDURATION:PT1H\r\n\
         RRULE:FREQ=MONTHLY\r\nEND:VEVENT\r\n\
         BEGIN:VTIMEZONE\r\nTZID:{name}\r\n{observances}END:VTIMEZONE\r\nEND:VCALENDAR\r\n"
    )
}

#[test]
fn zone_that_the_file_defines_is_the_iana_zone_with_its_offsets() {
    let eastern = [
        ("STANDARD", "-0400", "-0500", "16010101T020000", "RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11\r\n"),
        ("DAYLIGHT", "-0500", "-0400", "16010101T020000", "RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3\r\n"),
    ];
    let noons = |text: &str| starts(text, 7).last().cloned().unwrap_or_default();
    let text = in_zone("Eastern Standard Time", &eastern);
    let calendar = FreezeCalendar::from_ical(&text).expect("readable");
    assert_eq!(calendar.entries()[0].time_zone, Tz::America__New_York);
    assert_eq!(
        (starts(&text, 1).concat(), noons(&text)),
        ("2026-06-01T16:00Z".into(), "2026-12-01T17:00Z".into())
    );

    // A zone without clock changes, half an hour off.
    let india = in_zone("(UTC+05:30) Somewhere", &[("STANDARD", "+0530", "+0530", "16010101T000000", "")]);
    assert_eq!(starts(&india, 1), ["2026-06-01T06:30Z"]);
    assert_eq!(
        FreezeCalendar::from_ical(&india).expect("readable").entries()[0].time_zone,
        Tz::Asia__Kolkata
    );

    // The name of a zone is not its meaning: the definition of the file decides.
    let misnamed = in_zone("W. Europe Standard Time", &eastern);
    assert_eq!(starts(&misnamed, 1), ["2026-06-01T16:00Z"]);

    // Clock changes that no place on earth has.
    let invented = [
        ("STANDARD", "+0200", "+0100", "16010101T030000", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=9\r\n"),
        ("DAYLIGHT", "+0100", "+0200", "16010101T020000", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r\n"),
    ];
    let (line, message) = refusal(&in_zone("Atlantis", &invented));
    assert_eq!(line, 4);
    assert!(message.contains("`Atlantis`") && message.contains("around 2026"), "{message}");
    // A definition that cannot be read is not guessed.
    let broken = [("STANDARD", "nought", "+0100", "16010101T030000", "")];
    assert!(refusal(&in_zone("Atlantis", &broken)).1.contains("`Atlantis`"));
}

#[test]
fn iana_name_at_the_end_of_a_path_is_read() {
    for name in [
        "/freeassociation.sourceforge.net/Europe/Berlin",
        "/mozilla.org/20070129_1/Europe/Berlin",
        "/citadel.org/America/Argentina/Ushuaia",
    ] {
        let text = event(&[&format!("DTSTART;TZID={name}:20260701T120000"), "DURATION:PT1H"]);
        let expected = if name.ends_with("Berlin") { "2026-07-01T10:00Z" } else { "2026-07-01T15:00Z" };
        assert_eq!(starts(&text, 1), [expected], "{name}");
    }
}

#[test]
fn offset_is_written_as_dates_for_other_programs_and_read_back() {
    let calendar: FreezeCalendar = serde_json::from_value(json!([{
        "uid": "one", "name": "after patch day", "starts": "2026-12-10T06:00:00Z", "ends": "2026-12-10T18:00:00Z",
        "recurrence": {"frequency": "monthly", "by_day": ["2TU"], "offset_days": 2}, "time_zone": "Europe/Berlin",
    }]))
    .expect("valid");
    let text = calendar.to_ical(at("2026-01-01T00:00:00Z"));
    assert!(
        !text.contains("RRULE") && text.contains("RDATE;TZID=Europe/Berlin:20270114T070000\r\n"),
        "{text}"
    );
    assert_eq!(text.matches("RDATE").count(), 60);
    assert_eq!(FreezeCalendar::from_ical(&text), Ok(calendar));
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
            prop_assert_eq!(&read.recurrence, &written.recurrence);
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
