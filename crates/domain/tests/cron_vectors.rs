//! Crontab against published vectors: what other implementations accept, refuse and compute.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use domain::time::{Crontab, CrontabError, Tz};

fn vectors(name: &str) -> Option<String> {
    let path = test_skip::shared_data("vectors/cron")?.join(name);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Patterns of the croner suite; each comes with the name of the file it is from.
fn croner(list: &str, text: &str) -> BTreeSet<String> {
    let all: serde_json::Value = serde_json::from_str(text).expect("vectors are JSON");
    let patterns = all[list].as_array().expect("a list").iter();
    patterns.map(|pair| pair[0].as_str().expect("a pattern").replace("\\t", "\t")).collect()
}

/// A last field of days of the week that has only single ones of a month: `MON#1`, `5L`, `FRI#L`.
fn has_nth_weekdays(pattern: &str) -> bool {
    let is_nth = |item: &str| {
        let item = item.to_uppercase().replace('#', "");
        item.ends_with(['1', '2', '3', '4', '5', 'L']) && !item.contains(['-', '+'])
    };
    let last = pattern.split_whitespace().last().unwrap_or_default();
    last.contains(['#', 'L', 'l']) && last.split(',').all(is_nth)
}

/// Syntax that croner has and crontab does not.
fn is_extension(pattern: &str) -> bool {
    let upper = pattern.trim().to_uppercase().replace("JUL", "").replace("WED", "");
    let single_value_step = upper
        .split([' ', ','])
        .filter_map(|item| item.split_once('/'))
        .any(|(base, _)| base != "*" && !base.contains('-'));
    let rest = upper.trim_end_matches(|c: char| has_nth_weekdays(pattern) && !c.is_whitespace());
    rest.contains(['?', 'L', 'W', '#', '+']) && !upper.starts_with('@') || single_value_step
}

#[test]
fn five_field_patterns_of_croner_are_accepted() {
    let Some(text) = vectors("croner-js-patterns.json") else { return };
    let never_fires = ["0 0 31 2 *", "0 0 31 4 *"];
    let mut accepted = 0;
    for pattern in croner("must_parse", &text) {
        let words = pattern.split_whitespace().count();
        let expected = (words == 5 || pattern.trim().starts_with('@'))
            && !is_extension(&pattern)
            && !never_fires.contains(&pattern.as_str());
        let result = pattern.parse::<Crontab>();
        assert_eq!(result.is_ok(), expected, "{pattern:?}: {result:?}");
        accepted += usize::from(expected);
    }
    assert!(accepted > 50, "only {accepted} patterns were comparable");
}

#[test]
fn patterns_refused_by_croner_are_refused() {
    let Some(text) = vectors("croner-js-patterns.json") else { return };
    let accepted_elsewhere = croner("must_parse", &text);
    let refused: Vec<String> = croner("must_reject", &text)
        .into_iter()
        .filter(|pattern| !accepted_elsewhere.contains(pattern))
        .collect();
    assert!(refused.len() > 40);
    for pattern in refused {
        assert!(pattern.parse::<Crontab>().is_err(), "{pattern:?} was accepted");
    }
}

#[test]
fn quartz_expressions_are_refused() {
    let Some(text) = vectors("quartz-expressions.txt") else { return };
    for pattern in text.lines().filter(|line| !line.trim().is_empty()) {
        let error = pattern.parse::<Crontab>().expect_err(pattern);
        if pattern.split_whitespace().count() > 5 {
            assert!(matches!(error, CrontabError::FieldCount { .. }), "{pattern:?}: {error}");
        }
    }
}

/// A line of the robfig suite in our terms: pattern, zone, start, expected next firing.
struct Case {
    crontab: Result<Crontab, CrontabError>,
    zone: Tz,
    from: DateTime<Utc>,
    expected: Option<DateTime<Utc>>,
}

/// Five fields from a pattern with leading seconds, `?` and `n/step`; `None` where seconds matter.
fn translate(spec: &str, has_seconds: bool) -> Option<String> {
    if spec.starts_with('@') {
        return Some(spec.to_owned());
    }
    let mut words: Vec<&str> = spec.split_whitespace().collect();
    if has_seconds && words.len() == 6 && words.remove(0) != "0" {
        return None;
    }
    let highest = ["59", "23", "31", "12", "SAT"];
    let fields = words.iter().zip(highest).map(|(word, high)| match word.split_once('/') {
        Some((base, step)) if base != "*" && !base.contains('-') => format!("{base}-{high}/{step}"),
        _ => word.replace('?', "*"),
    });
    Some(fields.collect::<Vec<_>>().join(" "))
}

fn instant(text: &str) -> DateTime<Utc> {
    if let Ok(instant) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z") {
        return instant.to_utc();
    }
    // The weekday names of the suite are not always right, so they are dropped.
    let (_, date) = text.split_once(' ').expect("a weekday first");
    let formats = ["%b %e %H:%M %Y", "%b %e %H:%M:%S %Y"];
    let parsed = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(date, format).ok());
    parsed.unwrap_or_else(|| panic!("unreadable time {text:?}")).and_utc()
}

fn robfig_case(vector: &serde_json::Value) -> Option<Case> {
    let text = |key: &str| vector[key].as_str().expect("a string").to_owned();
    let split_zone = |text: String| match text.split_once(' ') {
        Some((zone, rest)) if zone.contains("TZ=") => {
            (Some(zone.rsplit('=').next().expect("a name").parse().expect("a zone")), rest.to_owned())
        }
        _ => (None, text),
    };
    let (spec_zone, spec) = split_zone(text("spec"));
    let (from_zone, from) = split_zone(text("from"));
    let from = instant(&from);
    let zone = match text("test").as_str() {
        "TestNextWithTz" => Tz::Asia__Kolkata,
        _ => spec_zone.or(from_zone).unwrap_or(Tz::UTC),
    };
    let crontab = translate(&spec, text("test") == "TestNext")?.parse();
    let expected = text("expected");
    let (from, expected) = match expected.as_str() {
        // Whether the pattern is active at `from`: then it is the first firing after the second before.
        "true" => (from - TimeDelta::seconds(1), Some(from)),
        "false" => {
            let next = crontab
                .as_ref()
                .ok()
                .and_then(|crontab: &Crontab| crontab.next_after(from - TimeDelta::seconds(1), zone));
            assert_ne!(next, Some(from), "{spec} fires at {from}");
            return None;
        }
        "" => (from, None),
        other => (from, Some(instant(other))),
    };
    Some(Case { crontab, zone, from, expected })
}

#[test]
fn occurrences_agree_with_robfig_but_at_clock_changes() {
    let Some(text) = vectors("robfig.json") else { return };
    // Robfig drops a firing inside the spring gap and repeats a fixed hour in autumn. Ours differ on purpose.
    let ours = [
        ("2012-03-11T05:00:00Z", "30 2 11 Mar *", "2012-03-11T07:00:00Z"),
        ("2012-03-11T05:00:00Z", "0 2 * * *", "2012-03-11T07:00:00Z"),
        ("2012-11-04T05:45:00Z", "30 1 04 Nov *", "2013-11-04T06:30:00Z"),
        ("2012-11-04T05:00:00Z", "0 1 * * *", "2012-11-05T06:00:00Z"),
    ];
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("vectors are JSON");
    let (mut compared, mut different) = (0, BTreeSet::new());
    for vector in &all {
        let Some(Case { crontab, zone, from, expected }) = robfig_case(vector) else { continue };
        let Some(expected) = expected else {
            assert!(matches!(crontab, Err(CrontabError::NeverFires { .. })), "{vector}");
            continue;
        };
        let crontab = crontab.unwrap_or_else(|error| panic!("{vector}: {error}"));
        let expected = match ours
            .iter()
            .find(|(start, pattern, _)| instant_z(start) == from && *pattern == crontab.as_str())
        {
            Some((start, pattern, next)) => {
                different.insert((start, pattern));
                instant_z(next)
            }
            None => expected,
        };
        assert_eq!(crontab.next_after(from, zone), Some(expected), "{vector}");
        compared += 1;
    }
    assert!(compared > 55, "only {compared} vectors were comparable");
    assert_eq!(different.len(), ours.len(), "a listed difference does not occur");
}

fn instant_z(text: &str) -> DateTime<Utc> {
    text.parse().expect("valid")
}
