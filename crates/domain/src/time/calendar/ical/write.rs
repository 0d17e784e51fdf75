//! A calendar to iCalendar text.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc, Weekday};
use chrono_tz::Tz;

use crate::time::calendar::{
    ByDay, Effect, Freeze, FreezeCalendar, Frequency, Recurrence, RecurrenceEnd, Span,
};
use crate::time::local::{instant_of, local_time};

/// Dates of a rule that `RRULE` cannot say.
const DATES_WRITTEN: usize = 60;

/// Longest physical line, in bytes without its end (RFC 5545 section 3.1).
const FOLD_AT: usize = 75;

pub(super) fn calendar(calendar: &FreezeCalendar, stamped_at: DateTime<Utc>) -> String {
    let mut text = String::new();
    let mut line = |content: &str| fold(&mut text, content);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//DatacenterOS//Patch Manager//EN");
    for entry in calendar.entries() {
        event(entry, stamped_at, &mut line);
    }
    line("END:VCALENDAR");
    text
}

fn event(entry: &Freeze, stamped_at: DateTime<Utc>, line: &mut impl FnMut(&str)) {
    line("BEGIN:VEVENT");
    line(&format!("UID:{}", escape(&entry.uid)));
    line(&format!("DTSTAMP:{}", utc(stamped_at)));
    line(&moment("DTSTART", entry.starts, entry.time_zone));
    line(&moment("DTEND", entry.ends, entry.time_zone));
    match &entry.recurrence {
        Some(recurrence) if recurrence.offset_days.is_none() => {
            line(&format!("RRULE:{}", rule(recurrence, local_time(entry.starts, entry.time_zone))));
        }
        Some(recurrence) => {
            // `RRULE` cannot say an offset: the rule is for this program, the dates are for all others.
            let own = serde_json::to_string(recurrence).unwrap_or_default();
            line(&format!("X-PATCH-RECURRENCE:{}", escape(&own)));
            let all = Span { starts: entry.starts, ends: DateTime::<Utc>::MAX_UTC };
            entry
                .times_in(all)
                .skip(1)
                .take(DATES_WRITTEN)
                .for_each(|time| line(&moment("RDATE", time.starts, entry.time_zone)));
        }
        None => {}
    }
    for start in &entry.except {
        line(&moment("EXDATE", *start, entry.time_zone));
    }
    if !entry.keep_open_days.is_none() {
        line(&format!("X-PATCH-KEEP-OPEN-DAYS:{}", u8::from(entry.keep_open_days)));
    }
    line(&format!("SUMMARY:{}", escape(&entry.name)));
    if !entry.reason.is_empty() {
        line(&format!("DESCRIPTION:{}", escape(&entry.reason)));
    }
    for (key, value) in &entry.scope {
        line(&format!("X-PATCH-SCOPE:{}", escape(&format!("{key}={value}"))));
    }
    line(match entry.effect {
        Effect::Deny => "X-PATCH-EFFECT:DENY",
        Effect::Allow => "X-PATCH-EFFECT:ALLOW",
    });
    line("END:VEVENT");
}

/// A time on the local clock of its zone, which is what a recurrence repeats; in UTC where the local clock shows
/// the same time twice and this is the second one.
fn moment(property: &str, instant: DateTime<Utc>, zone: Tz) -> String {
    let local = local_time(instant, zone);
    if zone == Tz::UTC || instant_of(local, zone) != Some(instant) {
        return format!("{property}:{}", utc(instant));
    }
    format!("{property};TZID={}:{}", zone.name(), local.format("%Y%m%dT%H%M%S"))
}

fn utc(instant: DateTime<Utc>) -> String {
    instant.format("%Y%m%dT%H%M%SZ").to_string()
}

fn rule(recurrence: &Recurrence, start: NaiveDateTime) -> String {
    let frequency = match recurrence.frequency {
        Frequency::Daily => "DAILY",
        Frequency::Weekly => "WEEKLY",
        Frequency::Monthly => "MONTHLY",
        Frequency::Yearly => "YEARLY",
    };
    let end = match recurrence.end {
        None => String::new(),
        Some(RecurrenceEnd::Count(count)) => format!(";COUNT={count}"),
        Some(RecurrenceEnd::Until(until)) => format!(";UNTIL={}", utc(until)),
    };
    let mut text = format!("FREQ={frequency};INTERVAL={}{end}", recurrence.interval);
    if !recurrence.by_day.is_empty() {
        let days: Vec<String> = recurrence.by_day.iter().map(ToString::to_string).collect();
        if recurrence.frequency == Frequency::Yearly {
            text.push_str(&format!(";BYMONTH={}", start.month()));
        }
        text.push_str(&format!(";BYDAY={}", days.join(",")));
    }
    if recurrence.week_start != Weekday::Mon {
        let week_start = ByDay { weekday: recurrence.week_start, nth: None };
        text.push_str(&format!(";WKST={week_start}"));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace('\n', "\\n")
}

/// Writes a content line in pieces of at most [`FOLD_AT`] bytes, never inside a character.
fn fold(text: &mut String, content: &str) {
    let mut width = 0;
    for character in content.chars() {
        if width + character.len_utf8() > FOLD_AT {
            text.push_str("\r\n ");
            width = 1;
        }
        text.push(character);
        width += character.len_utf8();
    }
    text.push_str("\r\n");
}
