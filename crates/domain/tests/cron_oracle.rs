//! Crontab against an independent second implementation, which checks every minute in turn.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use domain::time::{Crontab, Tz};
use proptest::prelude::*;

/// A field as its text and the values it means.
#[derive(Debug, Clone)]
struct Word {
    text: String,
    values: BTreeSet<u32>,
    star: bool,
}

fn word(low: u32, high: u32) -> impl Strategy<Value = Word> {
    let star = Just(Word { text: "*".into(), values: (low..=high).collect(), star: true });
    let star_step = (2..=(high - low).min(20)).prop_map(move |step| Word {
        text: format!("*/{step}"),
        values: (low..=high).step_by(step as usize).collect(),
        star: false,
    });
    let range = (low..=high, low..=high, 1..=6_u32).prop_map(move |(a, b, step)| {
        let (from, to) = (a.min(b), a.max(b));
        Word {
            text: format!("{from}-{to}/{step}"),
            values: (from..=to).step_by(step as usize).collect(),
            star: false,
        }
    });
    let list = prop::collection::btree_set(low..=high, 1..5).prop_map(|values| Word {
        text: values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        values,
        star: false,
    });
    prop_oneof![2 => star, 1 => star_step, 1 => range, 2 => list]
}

#[derive(Debug, Clone)]
struct Pattern {
    words: [Word; 5],
}

impl Pattern {
    fn text(&self) -> String {
        self.words.each_ref().map(|word| word.text.as_str()).join(" ")
    }

    fn matches(&self, local: NaiveDateTime) -> bool {
        let [minute, hour, day, month, weekday] = &self.words;
        let number = local.weekday().num_days_from_sunday();
        let on_weekday = weekday.values.contains(&number) || number == 0 && weekday.values.contains(&7);
        let on_date = day.values.contains(&local.day());
        let on_day = match (day.star, weekday.star) {
            (false, false) => on_date || on_weekday,
            _ => on_date && on_weekday,
        };
        on_day
            && month.values.contains(&local.month())
            && hour.values.contains(&local.hour())
            && minute.values.contains(&local.minute())
    }

    fn hour_is_wildcard(&self) -> bool {
        self.words[1].text.starts_with('*')
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    // Months are mostly free, so that most patterns fire in the few days that are checked.
    let month = prop_oneof![4 => Just(Word { text: "*".into(), values: (1..=12).collect(), star: true }), 1 => word(1, 12)];
    (word(0, 59), word(0, 23), word(1, 31), month, word(0, 7)).prop_map(
        |(minute, hour, day, month, weekday)| Pattern { words: [minute, hour, day, month, weekday] },
    )
}

/// Zones with the day of a clock change worth testing.
const CHANGES: [(&str, &str); 24] = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Asia/Beirut", "2026-03-29"),
    ("America/Havana", "2026-11-01"),
    ("America/Scoresbysund", "2024-03-31"),
    ("Asia/Kathmandu", "1986-01-01"),
    ("Asia/Pyongyang", "2015-08-15"),
    ("America/Caracas", "2007-12-09"),
    ("America/St_Johns", "2006-10-29"),
    ("Europe/London", "1971-10-31"),
    ("Asia/Tokyo", "2026-03-29"),
    ("UTC", "2026-02-28"),
];

/// All firings later than `after` and before `end`, by looking at each minute.
///
/// `shown` is the latest time the local clock has shown. A fixed hour fires when the clock first reaches or jumps
/// over one of its slots; a wildcard hour whenever the clock shows one.
fn by_minute(pattern: &Pattern, zone: Tz, after: DateTime<Utc>, end: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let local = |instant: DateTime<Utc>| instant.with_timezone(&zone).naive_local();
    let minute = TimeDelta::minutes(1);
    let mut instant = after.with_second(0).expect("valid") - TimeDelta::days(2);
    let mut shown = local(instant);
    let mut firings = Vec::new();
    while instant + minute < end {
        instant += minute;
        let now = local(instant);
        let fires = if pattern.hour_is_wildcard() {
            pattern.matches(now)
        } else {
            std::iter::successors(Some(shown + minute), |slot| Some(*slot + minute))
                .take_while(|slot| *slot <= now)
                .any(|slot| pattern.matches(slot))
        };
        shown = shown.max(now);
        if fires && instant > after {
            firings.push(instant);
        }
    }
    firings
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn firings_around_clock_changes_are_those_found_minute_by_minute(
        pattern in pattern(),
        (zone, day) in prop::sample::select(&CHANGES[..]),
        seconds in 0..86_400_i64,
    ) {
        let zone: Tz = zone.parse().expect("known");
        let day: DateTime<Utc> = format!("{day}T00:00:00Z").parse().expect("valid");
        let after = day - TimeDelta::seconds(seconds);
        let end = day + TimeDelta::hours(40);
        let Ok(crontab) = pattern.text().parse::<Crontab>() else {
            // The only valid text that is refused is one whose months have none of its days.
            prop_assert!(by_minute(&pattern, Tz::UTC, day, day + TimeDelta::days(3)).is_empty());
            return Ok(());
        };
        let expected = by_minute(&pattern, zone, after, end);
        let found: Vec<_> = crontab.occurrences(after, zone).take_while(|instant| *instant < end).collect();
        prop_assert_eq!(&found, &expected, "{} in {} after {}", pattern.text(), zone, after);
        let last_before_end = end - TimeDelta::seconds(1);
        prop_assert_eq!(crontab.latest_between(after, last_before_end, zone), expected.last().copied());
    }

    #[test]
    fn days_are_those_of_the_calendar_for_centuries(
        day in word(1, 31),
        month in word(1, 12),
        weekday in word(0, 7),
        year in prop::sample::select(vec![1895, 1999, 2026, 2096, 2099, 2199, 2395]),
    ) {
        let fixed = |value: u32| Word { text: value.to_string(), values: [value].into(), star: false };
        let pattern = Pattern { words: [fixed(30), fixed(2), day, month, weekday] };
        let Ok(crontab) = pattern.text().parse::<Crontab>() else { return Ok(()) };
        let start: DateTime<Utc> = format!("{year}-02-20T02:30:00Z").parse().expect("valid");
        let days = (1..365 * 9).map(|day| start + TimeDelta::days(day));
        let expected: Vec<_> = days.filter(|day| pattern.matches(day.naive_utc())).take(50).collect();
        let found: Vec<_> = crontab.occurrences(start, Tz::UTC).take(expected.len()).collect();
        prop_assert_eq!(found, expected, "{} from {}", pattern.text(), year);
    }

    #[test]
    fn nth_weekdays_are_those_found_day_by_day(
        items in prop::collection::vec((0..=7_u32, 1..=6_u32), 1..4),
        day in word(1, 31),
        month in word(1, 12),
        offset in -30..=30_i8,
        year in prop::sample::select(vec![1895, 1999, 2026, 2096, 2099, 2395]),
    ) {
        let item = |(weekday, nth): &(u32, u32)| match nth {
            6 => format!("{weekday}L"),
            nth => format!("{weekday}#{nth}"),
        };
        let weekdays = items.iter().map(item).collect::<Vec<_>>().join(",");
        let pattern = format!("30 2 {} {} {weekdays}", day.text, month.text);
        let schedule = pattern.parse::<Crontab>().expect("valid").moved_by(offset.try_into().expect("in range"));
        // Counts the equal weekdays of the month before and after the day.
        let matches = |date: NaiveDateTime| {
            let in_month = |date: NaiveDateTime, weeks: i64| (date + TimeDelta::weeks(weeks)).month() == date.month();
            let before = (1..=5).filter(|weeks: &i64| in_month(date, -weeks)).count() as u32;
            let is_last = !in_month(date, 1);
            let is_nth = items.iter().any(|(weekday, nth)| {
                date.weekday().num_days_from_sunday() == weekday % 7
                    && if *nth == 6 { is_last } else { before + 1 == *nth }
            });
            let is_date = !day.star && day.values.contains(&date.day());
            (is_nth || is_date) && month.values.contains(&date.month())
        };
        let start: DateTime<Utc> = format!("{year}-02-20T02:30:00Z").parse().expect("valid");
        let days = (1..365 * 9).map(|day| start + TimeDelta::days(day));
        let offset = TimeDelta::days(offset.into());
        let expected: Vec<_> = days.filter(|day| matches((*day - offset).naive_utc())).take(50).collect();
        let found: Vec<_> = schedule.occurrences(start, Tz::UTC).take(expected.len()).collect();
        prop_assert_eq!(found, expected, "{} from {}", pattern, year);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}", words in "[0-9*,/@LW#? a-z-]{0,40}") {
        let _ = text.parse::<Crontab>();
        let _ = words.parse::<Crontab>();
    }
}
