//! What a crontab pattern means, rule by rule: fields, days, refusals, clock changes.

use chrono::{DateTime, Utc};
use domain::time::{Crontab, CrontabError, CrontabHint, OffsetDays, Tz, next_occurrences};

fn crontab(pattern: &str) -> Crontab {
    pattern.parse().unwrap_or_else(|error| panic!("{pattern:?}: {error}"))
}

fn refusal(pattern: &str) -> String {
    pattern.parse::<Crontab>().expect_err(pattern).to_string()
}

fn next(pattern: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    next_occurrences(pattern, zone, from, count).unwrap_or_else(|error| panic!("{pattern:?}: {error}"))
}

/// The days of March 2026 on which a midnight pattern fires. The 1st is a Sunday.
fn days_of_march(days: &str) -> Vec<u32> {
    let pattern = format!("0 0 {days}");
    next(&pattern, "UTC", "2026-02-28T23:59:59Z", 100)
        .iter()
        .take_while(|time| time.starts_with("2026-03"))
        .map(|time| time[8..10].parse().expect("a day"))
        .collect()
}

#[test]
fn sunday_is_zero_and_seven() {
    for sunday in ["0", "7", "SUN", "sun", "0,7", "0-0", "7-7", "*/7"] {
        assert_eq!(days_of_march(&format!("* * {sunday}")), [1, 8, 15, 22, 29], "{sunday}");
    }
    assert_eq!(days_of_march("* * 1"), [2, 9, 16, 23, 30]);
    assert_eq!(days_of_march("* * 6"), [7, 14, 21, 28]);
}

#[test]
fn weekday_ranges_reach_the_sunday_at_their_end() {
    assert_eq!(days_of_march("1-8 * SAT-SUN"), days_of_march("1-8 * 6-7"));
    assert_eq!(days_of_march("* * SAT-SUN"), [1, 7, 8, 14, 15, 21, 22, 28, 29]);
    assert_eq!(days_of_march("* * MON-SUN").len(), 31);
    assert_eq!(days_of_march("* * SUN-MON"), [1, 2, 8, 9, 15, 16, 22, 23, 29, 30]);
    assert_eq!(days_of_march("* * 5-7/2"), [1, 6, 8, 13, 15, 20, 22, 27, 29]);
}

#[test]
fn either_day_matches_when_both_are_restricted() {
    assert_eq!(days_of_march("1,13 * FRI"), [1, 6, 13, 20, 27]);
    assert_eq!(days_of_march("*/15 * MON"), [1, 2, 9, 16, 23, 30, 31]);
    assert_eq!(days_of_march("31 * */6"), [1, 7, 8, 14, 15, 21, 22, 28, 29, 31]);
}

/// The first firings of a pattern at midnight UTC, moved by some days, as dates.
fn dates(days: &str, offset: i8, from: &str, count: usize) -> Vec<String> {
    let schedule = crontab(&format!("0 0 {days}")).moved_by(OffsetDays::try_from(offset).expect("in range"));
    let firings = schedule.occurrences(from.parse().expect("valid"), Tz::UTC).take(count);
    firings.map(|instant| instant.format("%F").to_string()).collect()
}

#[test]
fn nth_weekday_is_the_one_of_its_month() {
    // In March 2026 the 1st is a Sunday.
    for second_tuesday in ["2#2", "TUE#2", "tue#2"] {
        assert_eq!(days_of_march(&format!("* * {second_tuesday}")), [10], "{second_tuesday}");
    }
    for last_friday in ["5L", "FRIL", "fril", "5#L", "FRI#L"] {
        assert_eq!(days_of_march(&format!("* * {last_friday}")), [27], "{last_friday}");
    }
    assert_eq!(days_of_march("* * 0#1,7#3,SUN#5"), [1, 15, 29]);
    assert_eq!(days_of_march("* * MON,WED#2,THUL"), [2, 9, 11, 16, 23, 26, 30]);
    // A bare `*` restricts nothing, and a second restricted day field is joined by "or".
    assert_eq!(days_of_march("* * *,TUE#2").len(), 31);
    assert_eq!(days_of_march("1 * TUE#2"), [1, 10]);
    let from = "2026-11-15T00:00:00Z";
    assert_eq!(dates("* * THU#4", 0, from, 3), ["2026-11-26", "2026-12-24", "2027-01-28"]);
}

#[test]
fn last_weekday_follows_the_length_of_the_month() {
    assert_eq!(
        dates("* * SUNL", 0, "2027-01-01T00:00:00Z", 4),
        ["2027-01-31", "2027-02-28", "2027-03-28", "2027-04-25"]
    );
    assert_eq!(dates("* 2 TUEL", 0, "2028-01-01T00:00:00Z", 2), ["2028-02-29", "2029-02-27"]);
}

#[test]
fn fifth_weekday_fires_only_in_months_that_have_it() {
    assert_eq!(
        dates("* * FRI#5", 0, "2026-01-01T00:00:00Z", 4),
        ["2026-01-30", "2026-05-29", "2026-07-31", "2026-10-30"]
    );
    // The rarest pattern of all: a fifth Monday of February, around a century that is not a leap year.
    assert_eq!(dates("* 2 MON#5", 0, "2064-03-01T00:00:00Z", 2), ["2072-02-29", "2112-02-29"]);
}

#[test]
fn offset_counts_days_from_the_selected_one() {
    let from = "2026-12-01T00:00:00Z";
    assert_eq!(dates("* * TUE#2", 2, from, 3), ["2026-12-10", "2027-01-14", "2027-02-11"]);
    assert_eq!(dates("* * TUE#2", -4, from, 3), ["2026-12-04", "2027-01-08", "2027-02-05"]);
    // The month is that of the selected day.
    assert_eq!(dates("31 12 *", 1, from, 2), ["2027-01-01", "2028-01-01"]);
    let saturday = crontab("30 2 * * SAT").moved_by(OffsetDays::try_from(1).expect("in range"));
    let berlin = Tz::Europe__Berlin;
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("valid");
    // Half past two on the Sunday does not exist in the night in which the clock jumps.
    assert_eq!(saturday.next_after(at("2026-03-28T12:00:00Z"), berlin), Some(at("2026-03-29T01:00:00Z")));
    let latest = saturday.latest_between(at("2026-03-01T12:00:00Z"), at("2026-03-29T00:59:59Z"), berlin);
    assert_eq!(latest, Some(at("2026-03-22T01:30:00Z")));
}

#[test]
fn a_week_of_days_with_a_weekday_gets_a_hint_and_keeps_its_meaning() {
    assert_eq!(days_of_march("8-14 * 2"), [3, 8, 9, 10, 11, 12, 13, 14, 17, 24, 31]);
    for (pattern, wanted, days) in [
        ("0 2 8-14 * 2", "0 2 * * TUE#2", 0),
        ("30 4 1-7 1,7 SUN", "30 4 * 1,7 SUN#1", 0),
        ("0 2 15-21 * MON-WED", "0 2 * * MON#3,TUE#3,WED#3", 0),
        ("0 2 25-31 * 5", "0 2 * * FRIL", 0),
        ("0 2 8,9,10,11,12,13,14 * 2", "0 2 * * TUE#2", 0),
        ("0 2 10-16 * THU", "0 2 * * TUE#2", 2),
        ("0 2 9-15 * 0", "0 2 * * SAT#2", 1),
    ] {
        let Some(CrontabHint::WeekOrWeekday { instead, offset_days, .. }) = crontab(pattern).hint().cloned()
        else {
            panic!("{pattern} has no hint");
        };
        assert_eq!((instead.as_str(), i8::from(offset_days)), (wanted, days), "{pattern}");
        // The hint selects those days of the pattern's week that are its weekdays.
        let selected = dates_of(&instead, offset_days);
        assert!(!selected.is_empty(), "{pattern}");
        let also_selected = dates_of(pattern, OffsetDays::NONE);
        assert!(
            selected.iter().all(|date| also_selected.contains(date) || wanted.ends_with("FRIL")),
            "{pattern}"
        );
    }
    for clear in
        ["0 2 8-14 * *", "0 2 * * 2", "0 2 8-15 * 2", "0 2 1,15 * 2", "0 2 */2 * 2", "0 2 8-14 * TUE#2"]
    {
        assert_eq!(crontab(clear).hint(), None, "{clear}");
    }
    let text = crontab("0 2 8-14 * 2").hint().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains("`0 2 8-14 * 2`") && text.contains("write `0 2 * * TUE#2`"), "{text}");
}

/// The dates of a year and a half on which a pattern fires.
fn dates_of(pattern: &str, offset: OffsetDays) -> Vec<String> {
    let schedule = crontab(pattern).moved_by(offset);
    let firings = schedule.occurrences("2026-01-01T00:00:00Z".parse().expect("valid"), Tz::UTC);
    firings
        .take_while(|at| at.to_rfc3339() < "2027-07".into())
        .map(|at| at.format("%F").to_string())
        .collect()
}

#[test]
fn a_bare_star_restricts_nothing() {
    assert_eq!(days_of_march("* * FRI"), [6, 13, 20, 27]);
    assert_eq!(days_of_march("13 * *"), [13]);
    assert_eq!(days_of_march("*/1 * FRI"), [6, 13, 20, 27]);
    assert_eq!(days_of_march("13 * */1"), [13]);
    // A range that happens to hold every day is written as a restriction and read as one.
    assert_eq!(days_of_march("1-31 * FRI").len(), 31);
}

#[test]
fn lists_ranges_steps_and_names_combine() {
    assert_eq!(days_of_march("1-10/3,20 * *"), [1, 4, 7, 10, 20]);
    assert_eq!(days_of_march("13 jan,MAR-apr *"), [13]);
    assert_eq!(days_of_march("13 2-12/2 *"), [] as [u32; 0]);
    assert_eq!(
        next("5-59/15 8 * * *", "UTC", "2026-03-01T00:00:00Z", 5),
        [
            "2026-03-01T08:05:00+00:00",
            "2026-03-01T08:20:00+00:00",
            "2026-03-01T08:35:00+00:00",
            "2026-03-01T08:50:00+00:00",
            "2026-03-02T08:05:00+00:00",
        ]
    );
}

#[test]
fn nicknames_stand_for_their_patterns() {
    for (nickname, pattern) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@ANNUALLY", "0 0 1 1 *"),
    ] {
        let from = "2026-03-27T12:00:00Z";
        assert_eq!(next(nickname, "Europe/Berlin", from, 60), next(pattern, "Europe/Berlin", from, 60));
    }
}

#[test]
fn text_is_kept_with_single_spaces() {
    assert_eq!(crontab("  0 \t 2  * * SUN ").to_string(), "0 2 * * SUN");
    assert_eq!(crontab("@daily").to_string(), "@daily");
    let json = serde_json::to_string(&crontab("0 2 * * 0")).expect("serialises");
    assert_eq!(serde_json::from_str::<Crontab>(&json).expect("reads back"), crontab("0 2 * * 0"));
    assert!(serde_json::from_str::<Crontab>("\"0 2 * *\"").is_err());
}

#[test]
fn leap_day_fires_in_leap_years_only() {
    assert_eq!(
        next("0 0 29 2 *", "UTC", "2088-03-01T00:00:00Z", 4),
        [
            "2092-02-29T00:00:00+00:00",
            "2096-02-29T00:00:00+00:00",
            "2104-02-29T00:00:00+00:00",
            "2108-02-29T00:00:00+00:00",
        ]
    );
    assert_eq!(next("0 0 29 2 *", "UTC", "1996-03-01T00:00:00Z", 1), ["2000-02-29T00:00:00+00:00"]);
}

#[test]
fn pattern_that_never_fires_is_refused() {
    for pattern in ["0 2 31 2 *", "0 2 30 2 *", "* * 31 4,6,9,11 *", "0 0 30-31 FEB *", "0 0 31 2 */1"] {
        let error = pattern.parse::<Crontab>().expect_err(pattern);
        assert!(matches!(error, CrontabError::NeverFires { .. }), "{pattern}: {error}");
    }
    // With a restricted weekday the impossible date does not matter.
    assert_eq!(next("0 2 31 2 1", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-02-02T02:00:00+00:00"]);
    assert_eq!(next("0 2 31 2,3 *", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-03-31T02:00:00+00:00"]);
}

#[test]
fn refusals_name_the_field_and_the_reason() {
    for (pattern, words) in [
        ("", "empty"),
        (" \t ", "empty"),
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * 0", "has 6 fields"),
        ("0 0 2 * * 0 2026", "no field for seconds or years"),
        ("60 2 * * 0", "minute: `60` is out of range, use 0 to 59"),
        ("0 24 * * 0", "hour: `24` is out of range"),
        ("0 2 0 * *", "day-of-month: `0` is out of range, use 1 to 31"),
        ("0 2 32 * *", "day-of-month: `32`"),
        ("0 2 * 13 *", "month: `13`"),
        ("0 2 * 0 *", "month: `0`"),
        ("0 2 * * 8", "day-of-week: `8`"),
        ("0 2 * * 99999999999999999999", "day-of-week"),
        ("0 22-2 * * *", "hour: range `22-2` runs backwards"),
        ("0 2 * * FRI-MON", "day-of-week: range `FRI-MON` runs backwards"),
        ("0 2 * * 5-0", "runs backwards"),
        ("0 2 * NOV-FEB *", "month: range `NOV-FEB` runs backwards"),
        ("*/0 2 * * *", "minute: step in `*/0` must be from 1 to 60"),
        ("*/61 2 * * *", "must be from 1 to 60"),
        ("5/15 2 * * *", "such as `5-59/15`"),
        ("/15 2 * * *", "minute: step `/15` is not of the form"),
        ("*/ 2 * * *", "step `*/`"),
        ("*/5/5 2 * * *", "step `*/5/5`"),
        ("1,,2 2 * * *", "minute: a list item is empty"),
        ("1, 2 * * *", "list item is empty"),
        ("1-2-3 2 * * *", "range `1-2-3`"),
        ("-5 2 * * *", "range `-5`"),
        ("5- 2 * * *", "range `5-`"),
        ("*1 2 * * *", "minute: `*1` is not a value"),
        ("0 2 ? * 0", "day-of-month: `?` is Quartz"),
        ("0 2 L * *", "day-of-month: `L` is Quartz"),
        ("0 2 L-3 * *", "Quartz"),
        ("0 2 LW * *", "Quartz"),
        ("0 2 15W * *", "day-of-month: `15W` is Quartz"),
        ("0 2 * * L", "day-of-week: `L` is Quartz"),
        ("0 2 1#2 * *", "day-of-month: `1#2` is Quartz"),
        ("0 2 5L * *", "day-of-month: `5L` is Quartz"),
        ("0 2 * * 2#6", "`2#6` does not name one of the month's five, write `2#1` to `2#5`, or `2L`"),
        ("0 2 * * TUE#0", "write `TUE#1` to `TUE#5`"),
        ("0 2 * * TUE#-1", "or `TUEL` for the last"),
        ("0 2 * * TUE#2/2", "`TUE#2/2` does not name one of the month's five"),
        ("0 2 * * TUE#", "`TUE#` does not name"),
        ("0 2 * * TUE#2#3", "`TUE#2#3` does not name"),
        ("0 2 * * #2", "`#2` does not name one day of the week"),
        ("0 2 * * *#2", "`*#2` does not name one day of the week"),
        ("0 2 * * 8#2", "`8#2` does not name one day of the week"),
        ("0 2 * * MON-FRI#2", "`MON-FRI#2` does not name one day of the week"),
        ("0 2 * * MON-FRIL", "`MON-FRIL` does not name one day of the week"),
        ("0 2 * * FUNDAY", "day-of-week: `FUNDAY` is not a value, use 0 to 7 or a name"),
        ("0 TUE * * *", "hour: `TUE` is not a value, use 0 to 23"),
        ("0 2 * * +1", "`+1` is not a value"),
        ("@reboot", "`@reboot` is unknown"),
        ("TZ=Europe/Berlin 0 2 * * 0", "write the time zone separately"),
        ("0 2 * * 0\u{0}", "character '\\0'"),
        ("0 2 * * ０", "character '０'"),
        ("0 2 * * 0\n", "character '\\n'"),
    ] {
        let message = refusal(pattern);
        assert!(message.contains(words), "{pattern:?}: {message}");
    }
    assert!(refusal(&"1,".repeat(600)).contains("1200 bytes"));
}

#[test]
fn fixed_hour_inside_the_gap_fires_at_the_first_instant_after_it() {
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    // Several minutes inside the gap, and the regular firing at its end, are one.
    assert_eq!(
        next("*/10 2,3 29 3 *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-29T03:10:00+02:00"]
    );
}

#[test]
fn fixed_hour_fires_at_its_first_pass_only() {
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    // Asked in the second pass, the day is over for it.
    assert_eq!(
        next("*/15 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1),
        ["2026-10-26T02:00:00+01:00"]
    );
}

#[test]
fn wildcard_hour_runs_on_through_gap_and_overlap() {
    assert_eq!(
        next("30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z", 3),
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00"]
    );
    assert_eq!(
        next("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3),
        ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]
    );
    assert_eq!(
        next("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:30:00Z", 2),
        ["2026-03-29T00:00:00+01:00", "2026-03-29T04:00:00+02:00"]
    );
    assert_eq!(
        next("0 */2 * * *", "Europe/Berlin", "2026-10-24T22:30:00Z", 3),
        ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T04:00:00+01:00"]
    );
}

#[test]
fn half_hour_shift_of_lord_howe() {
    let zone = "Australia/Lord_Howe";
    assert_eq!(
        next("15 2 * * *", zone, "2026-10-03T00:00:00Z", 2),
        ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
    );
    assert_eq!(
        next("45 1 * * *", zone, "2026-04-04T00:00:00Z", 2),
        ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]
    );
    assert_eq!(
        next("*/15 * 5 4 *", zone, "2026-04-04T14:25:00Z", 5),
        [
            "2026-04-05T01:30:00+11:00",
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ]
    );
}

#[test]
fn midnight_that_does_not_exist_in_sao_paulo() {
    assert_eq!(
        next("@daily", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2),
        ["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]
    );
}

#[test]
fn missing_day_of_apia() {
    assert_eq!(
        next("0 2 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 4),
        [
            "2011-12-29T02:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T02:00:00+14:00",
            "2012-01-01T02:00:00+14:00",
        ]
    );
    assert_eq!(
        next("0 */6 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1),
        ["2012-12-30T00:00:00+14:00"]
    );
}

#[test]
fn two_hour_shift_of_troll_and_ramadan_in_casablanca() {
    assert_eq!(
        next("30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-30T01:30:00+02:00"]
    );
    assert_eq!(
        next("30 1 * * *", "Antarctica/Troll", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T01:30:00+02:00", "2026-10-26T01:30:00+00:00"]
    );
    let casablanca: Tz = "Africa/Casablanca".parse().expect("known");
    let from: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("valid");
    let year = crontab("30 2 * * *").occurrences(from, casablanca).take(365).last();
    assert_eq!(year.map(|instant| instant.to_rfc3339()), Some("2026-12-31T01:30:00+00:00".to_owned()));
}

#[test]
fn slots_missed_in_a_pause_are_found_from_its_end() {
    let pattern = crontab("0 2 * * 0");
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("valid");
    let latest = |after, until| pattern.latest_between(at(after), at(until), Tz::UTC);
    assert_eq!(latest("2020-01-01T00:00:00Z", "2026-03-03T00:00:00Z"), Some(at("2026-03-01T02:00:00Z")));
    assert_eq!(latest("2020-01-01T00:00:00Z", "2026-03-01T02:00:00Z"), Some(at("2026-03-01T02:00:00Z")));
    assert_eq!(latest("2026-03-01T02:00:00Z", "2026-03-03T00:00:00Z"), None);
    assert_eq!(latest("2026-03-03T00:00:00Z", "2026-01-01T00:00:00Z"), None);
}

#[test]
fn ends_of_time_are_survived() {
    let pattern = crontab("0 2 29 2 *");
    for zone in [Tz::UTC, Tz::Pacific__Apia, Tz::America__New_York] {
        assert_eq!(pattern.next_after(DateTime::<Utc>::MAX_UTC, zone), None);
        assert_eq!(pattern.next_after(DateTime::<Utc>::MIN_UTC, zone), None);
        assert!(pattern.next_after("0001-01-01T00:00:00Z".parse().expect("valid"), zone).is_some());
        assert_eq!(pattern.next_after("9998-12-31T23:59:59Z".parse().expect("valid"), zone), None);
    }
}
