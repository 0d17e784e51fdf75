//! Freeze calendars: scope, precedence, recurrence on the local clock.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::time::{Freeze, FreezeCalendar, Span, Verdict};
use serde_json::{Value, json};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("test instants are valid")
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn calendar(entries: Value) -> FreezeCalendar {
    serde_json::from_value(entries).expect("valid calendar")
}

fn year_end() -> Value {
    json!({
        "uid": "year-end", "name": "year end", "reason": "books are closed", "scope": {"env": "prod"},
        "starts": "2026-12-23T23:00:00Z", "ends": "2027-01-03T23:00:00Z", "time_zone": "Europe/Berlin",
        "recurrence": {"frequency": "yearly"},
    })
}

#[test]
fn freeze_denies_hosts_in_its_scope_from_start_to_before_end() {
    let calendar = calendar(json!([year_end()]));
    let prod = tags(&[("env", "prod"), ("os", "rhel9")]);
    let names = |verdict: Verdict<'_>| match verdict {
        Verdict::Frozen(entries) => entries.iter().map(|entry| entry.name.clone()).collect(),
        _ => Vec::new(),
    };
    for (instant, frozen) in [
        ("2026-12-23T22:59:59Z", false),
        ("2026-12-23T23:00:00Z", true),
        ("2027-01-03T22:59:59Z", true),
        ("2027-01-03T23:00:00Z", false),
        ("2041-12-31T12:00:00Z", true),
        ("2026-01-01T12:00:00Z", false),
    ] {
        assert_eq!(names(calendar.verdict_at(at(instant), &prod)).len(), usize::from(frozen), "{instant}");
    }
    let dev = tags(&[("env", "dev")]);
    assert_eq!(calendar.verdict_at(at("2026-12-31T12:00:00Z"), &dev), Verdict::Permitted);
    assert_eq!(calendar.next_permitted(at("2026-12-31T12:00:00Z"), &prod), Some(at("2027-01-03T23:00:00Z")));
}

#[test]
fn span_touching_a_freeze_is_denied() {
    let calendar = calendar(json!([year_end()]));
    let prod = tags(&[("env", "prod")]);
    let over = |starts, ends| calendar.verdict_over(Span { starts: at(starts), ends: at(ends) }, &prod);
    assert!(matches!(over("2026-12-23T22:00:00Z", "2026-12-23T23:30:00Z"), Verdict::Frozen(_)));
    assert!(matches!(over("2026-12-01T00:00:00Z", "2027-02-01T00:00:00Z"), Verdict::Frozen(_)));
    assert_eq!(over("2026-12-23T22:00:00Z", "2026-12-23T23:00:00Z"), Verdict::Permitted);
}

#[test]
fn denial_beats_allowance_and_allowance_excludes_the_rest() {
    let calendar = calendar(json!([
        {"uid": "nights", "name": "nights", "effect": "allow", "starts": "2026-03-01T22:00:00Z",
         "ends": "2026-03-02T04:00:00Z", "recurrence": {"frequency": "daily"}},
        {"uid": "audit", "name": "audit", "starts": "2026-03-03T00:00:00Z", "ends": "2026-03-04T00:00:00Z"},
    ]));
    let none = tags(&[]);
    assert_eq!(calendar.verdict_at(at("2026-03-02T23:00:00Z"), &none), Verdict::Permitted);
    assert!(matches!(calendar.verdict_at(at("2026-03-03T01:00:00Z"), &none), Verdict::Frozen(_)));
    assert_eq!(calendar.verdict_at(at("2026-03-02T12:00:00Z"), &none), Verdict::OutsideAllowed);
    assert_eq!(calendar.next_permitted(at("2026-03-02T12:00:00Z"), &none), Some(at("2026-03-02T22:00:00Z")));
    assert_eq!(calendar.next_permitted(at("2026-03-03T01:00:00Z"), &none), Some(at("2026-03-04T00:00:00Z")));
    let span = |starts, ends| Span { starts: at(starts), ends: at(ends) };
    let beyond_the_night = span("2026-03-02T03:00:00Z", "2026-03-02T05:00:00Z");
    assert_eq!(calendar.verdict_over(beyond_the_night, &none), Verdict::OutsideAllowed);
}

/// The starts of the first occurrences that are found by walking from one to the next.
fn starts(entry: Value, count: usize) -> Vec<String> {
    let freeze: Freeze = serde_json::from_value(entry).expect("valid freeze");
    let mut from = freeze.starts;
    let mut found = Vec::new();
    while found.len() < count {
        let Some(span) = freeze.first_overlap(Span { starts: from, ends: DateTime::<Utc>::MAX_UTC }) else {
            break;
        };
        found.push(span.starts.format("%Y-%m-%dT%H:%MZ").to_string());
        from = span.ends;
    }
    found
}

fn recurring(starts: &str, ends: &str, recurrence: Value) -> Value {
    json!({"uid": "r", "name": "r", "starts": starts, "ends": ends, "time_zone": "Europe/Berlin", "recurrence": recurrence})
}

#[test]
fn recurrence_follows_the_local_clock() {
    // 22:00 in Berlin, before and after the clock change.
    let weekly = recurring("2026-03-20T21:00:00Z", "2026-03-20T23:00:00Z", json!({"frequency": "weekly"}));
    assert_eq!(starts(weekly, 3), ["2026-03-20T21:00Z", "2026-03-27T21:00Z", "2026-04-03T20:00Z"]);
}

#[test]
fn recurrence_ends_after_its_count_or_at_its_until() {
    let daily = |end| {
        recurring(
            "2026-03-01T00:00:00Z",
            "2026-03-01T01:00:00Z",
            json!({"frequency": "daily", "interval": 2, "end": end}),
        )
    };
    let expected = ["2026-03-01T00:00Z", "2026-03-03T00:00Z", "2026-03-05T00:00Z"];
    assert_eq!(starts(daily(json!({"count": 3})), 10), expected);
    assert_eq!(starts(daily(json!({"until": "2026-03-05T00:00:00Z"})), 10), expected);
    assert_eq!(starts(daily(json!({"until": "2026-03-06T23:00:00Z"})), 10), expected);
}

#[test]
fn dates_that_do_not_exist_are_left_out_and_not_counted() {
    let monthly = |end| {
        recurring("2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z", json!({"frequency": "monthly", "end": end}))
    };
    assert_eq!(
        starts(monthly(json!({"count": 3})), 9),
        ["2026-01-31T10:00Z", "2026-03-31T09:00Z", "2026-05-31T09:00Z"]
    );
    let leap = recurring("2024-02-29T10:00:00Z", "2024-02-29T11:00:00Z", json!({"frequency": "yearly"}));
    assert_eq!(starts(leap, 3), ["2024-02-29T10:00Z", "2028-02-29T10:00Z", "2032-02-29T10:00Z"]);
}

#[test]
fn occurrences_longer_than_their_period_overlap() {
    let freeze: Freeze = serde_json::from_value(recurring(
        "2026-03-01T00:00:00Z",
        "2026-03-11T00:00:00Z",
        json!({"frequency": "weekly", "end": {"count": 4}}),
    ))
    .expect("valid");
    let overlaps = |instant| freeze.first_overlap(Span { starts: at(instant), ends: at(instant) }).is_some();
    assert!(
        overlaps("2026-03-05T00:00:00Z")
            && overlaps("2026-03-20T00:00:00Z")
            && overlaps("2026-03-31T12:00:00Z")
    );
    assert!(!overlaps("2026-04-02T00:00:00Z"));
}

#[test]
fn recurrence_starts_days_after_the_days_that_it_selects() {
    let thursday = |offset: i8| {
        recurring(
            "2026-12-10T10:00:00Z",
            "2026-12-10T11:00:00Z",
            json!({"frequency": "monthly", "by_day": ["2TU"], "offset_days": offset, "end": {"count": 4}}),
        )
    };
    let expected = ["2026-12-10T10:00Z", "2027-01-14T10:00Z", "2027-02-11T10:00Z", "2027-03-11T10:00Z"];
    assert_eq!(starts(thursday(2), 9), expected);
    let refused = serde_json::from_value::<Freeze>(thursday(3)).expect_err("a Monday");
    assert!(
        refused.to_string().contains("on 2026-12-10, is not a day that the recurrence selects"),
        "{refused}"
    );
    // The last Friday of a month and the Monday after it, which may be in the next one.
    let monday = json!({"frequency": "monthly", "by_day": ["-1FR"], "offset_days": 3});
    let monday = recurring("2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z", monday);
    assert_eq!(
        starts(monday, 4),
        ["2026-11-30T10:00Z", "2026-12-28T10:00Z", "2027-02-01T10:00Z", "2027-03-01T10:00Z"]
    );
}

#[test]
fn days_at_the_end_of_covered_months_stay_open() {
    let long = |starts: &str, ends: &str| json!({"uid": "u", "name": "n", "starts": starts, "ends": ends, "time_zone": "Europe/Berlin", "keep_open_days": 3});
    // November is not covered wholly; December and January are; February is not.
    let freeze: Freeze =
        serde_json::from_value(long("2026-11-14T23:00:00Z", "2027-02-09T23:00:00Z")).expect("valid");
    let all = Span { starts: at("2026-01-01T00:00:00Z"), ends: at("2028-01-01T00:00:00Z") };
    let times: Vec<String> = freeze
        .times_in(all)
        .map(|time| format!("{} {}", time.starts.format("%FT%R"), time.ends.format("%FT%R")))
        .collect();
    assert_eq!(
        times,
        [
            "2026-11-14T23:00 2026-12-28T23:00",
            "2026-12-31T23:00 2027-01-28T23:00",
            "2027-01-31T23:00 2027-02-09T23:00",
        ]
    );
    let calendar = FreezeCalendar::new(vec![freeze]).expect("valid");
    let none = tags(&[]);
    for (instant, open) in [
        ("2026-11-29T12:00:00Z", false),
        ("2026-12-28T22:59:59Z", false),
        ("2026-12-28T23:00:00Z", true),
        ("2026-12-31T22:59:59Z", true),
        ("2026-12-31T23:00:00Z", false),
        ("2027-01-30T12:00:00Z", true),
        ("2027-02-05T12:00:00Z", false),
        ("2027-02-10T12:00:00Z", true),
    ] {
        assert_eq!(calendar.verdict_at(at(instant), &none) == Verdict::Permitted, open, "{instant}");
    }
    assert_eq!(calendar.next_permitted(at("2026-11-20T00:00:00Z"), &none), Some(at("2026-12-28T23:00:00Z")));
    let over = Span { starts: at("2026-12-30T00:00:00Z"), ends: at("2027-01-01T12:00:00Z") };
    assert!(
        matches!(calendar.verdict_over(over, &none), Verdict::Frozen(_)),
        "a run must not go on into the freeze"
    );
}

#[test]
fn freeze_of_exactly_one_month_and_of_less_keep_their_days() {
    let times = |starts: &str, ends: &str| {
        let entry = json!({"uid": "u", "name": "n", "starts": starts, "ends": ends, "keep_open_days": 2});
        let freeze: Freeze = serde_json::from_value(entry).expect("valid");
        let all = Span { starts: at("2026-01-01T00:00:00Z"), ends: at("2028-01-01T00:00:00Z") };
        freeze.times_in(all).map(|time| (time.starts, time.ends)).collect::<Vec<_>>()
    };
    let (first, next) = ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(times(first, next), [(at(first), at("2026-12-30T00:00:00Z"))]);
    assert_eq!(times("2026-12-01T00:00:01Z", next), [(at("2026-12-01T00:00:01Z"), at(next))]);
}

#[test]
fn months_of_a_recurring_freeze_stay_open_each_year() {
    let entry = json!({
        "uid": "u", "name": "n", "starts": "2026-12-01T00:00:00Z", "ends": "2027-01-01T00:00:00Z", "keep_open_days": 5,
        "recurrence": {"frequency": "yearly"},
    });
    let freeze: Freeze = serde_json::from_value(entry).expect("valid");
    let overlaps = |instant| freeze.first_overlap(Span { starts: at(instant), ends: at(instant) }).is_some();
    assert!(overlaps("2029-12-26T12:00:00Z") && !overlaps("2029-12-27T12:00:00Z"));
}

#[test]
fn entry_without_the_new_fields_is_written_as_before() {
    let freeze: Freeze = serde_json::from_value(year_end()).expect("valid");
    let mut expected = year_end();
    expected["effect"] = json!("deny");
    expected["recurrence"]["interval"] = json!(1);
    assert_eq!(serde_json::to_value(freeze).expect("serialises"), expected);
}

#[test]
fn calendar_far_in_the_future_is_answered() {
    let daily = recurring("1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z", json!({"frequency": "daily"}));
    let freeze: Freeze = serde_json::from_value(daily).expect("valid");
    let span =
        freeze.first_overlap(Span { starts: at("2999-06-01T12:00:00Z"), ends: at("2999-06-03T00:00:00Z") });
    assert_eq!(span.map(|span| span.starts.date_naive()), at("2999-06-02T00:00:00Z").date_naive().into());
    assert_eq!(
        freeze.first_overlap(Span { starts: DateTime::<Utc>::MAX_UTC, ends: DateTime::<Utc>::MAX_UTC }),
        None
    );
}

#[test]
fn wrong_entries_are_refused_with_the_field_named() {
    let refusal = |field: &str, value: Value| {
        let mut entry = year_end();
        entry[field] = value;
        serde_json::from_value::<Freeze>(entry).expect_err("refused").to_string()
    };
    assert!(refusal("name", json!(" ")).contains("`name` is empty"));
    assert!(refusal("name", json!("a\u{0}b")).contains("`name` contains the control character"));
    assert!(refusal("uid", json!("x".repeat(201))).contains("`uid` is 201 characters"));
    assert!(refusal("scope", json!({"a=b": "c"})).contains("`a=b`"));
    assert!(refusal("reason", json!("x".repeat(4_001))).contains("`reason`"));
    assert!(refusal("ends", json!("2026-12-23T23:00:00Z")).contains("not after its start"));
    assert!(refusal("ends", json!("2028-12-23T23:00:00Z")).contains("recurring freeze lasts"));
    assert!(refusal("recurrence", json!({"frequency": "daily", "interval": 0})).contains("`interval` 0"));
    assert!(
        refusal("recurrence", json!({"frequency": "daily", "end": {"count": 10_001}}))
            .contains("`count` 10001")
    );
    assert!(refusal("recurrence", json!({"frequency": "hourly"})).contains("hourly"));
    assert!(refusal("keep_open_days", json!(22)).contains("`keep_open_days` 22"));
    assert!(refusal("except", json!(vec!["2026-12-23T23:00:00Z"; 1_001])).contains("1001 times"));
    assert!(refusal("recurrence", json!({"frequency": "weekly", "by_day": ["2TH"]})).contains("`2TH`"));
    assert!(refusal("recurrence", json!({"frequency": "monthly", "by_day": ["0TH"]})).contains("`0TH`"));
    assert!(
        refusal("recurrence", json!({"frequency": "monthly", "by_day": vec!["TH"; 43]})).contains("43 days")
    );
    let twice =
        serde_json::from_value::<FreezeCalendar>(json!([year_end(), year_end()])).expect_err("refused");
    assert!(twice.to_string().contains("`year-end`"));
}
