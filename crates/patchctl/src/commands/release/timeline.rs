//! A rollout as a table: one line for each minute and tier.

use api_types::patch::ReleaseTimeline;
use chrono::TimeDelta;
use domain::release::{Happening, TimelineRow};

use terminal::{clean, columns};

/// Most names on one line; a longer list is counted.
const MOST_NAMES: usize = 4;

pub(crate) fn text(timeline: &ReleaseTimeline) -> String {
    let began_at = timeline.timeline.began_at;
    let origin = if timeline.is_forecast { "forecast" } else { "what happened" };
    let mut lines = vec![format!(
        "{} ({}), {origin}, from {}",
        timeline.version,
        timeline.kind.name().replace('_', " "),
        began_at.format("%a %Y-%m-%d %H:%M UTC")
    )];
    lines.push(String::new());
    let rows = grouped(&timeline.timeline.rows)
        .into_iter()
        .map(|rows| {
            let first = rows[0];
            vec![offset(first.at - began_at), first.wave.clone(), sentence(&rows)]
        })
        .collect();
    lines.push(columns(&["time", "tier", "what"], rows));
    lines.join("\n")
}

/// Groups rows of the same minute, tier and kind.
fn grouped(rows: &[TimelineRow]) -> Vec<Vec<&TimelineRow>> {
    let key = |row: &TimelineRow| (row.at.timestamp() / 60, row.wave.clone(), row.what);
    let mut groups: Vec<Vec<&TimelineRow>> = Vec::new();
    for row in rows {
        let place = groups.iter().rev().take(8).position(|group| key(group[0]) == key(row));
        let place = place.map(|back| groups.len() - 1 - back);
        match place.filter(|_| row.customer.is_some() || row.what == Happening::CheckBegan) {
            Some(place) => groups[place].push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn sentence(rows: &[&TimelineRow]) -> String {
    let first = rows[0];
    let who = names(rows);
    let same_text = rows.iter().all(|row| row.text == first.text);
    let text = clean(&first.text);
    match first.what {
        Happening::Started => format!("{who}: deployment starts"),
        Happening::CheckBegan => {
            let checks = rows.iter().map(|row| clean(&row.text)).collect::<Vec<_>>().join(", ");
            format!("checks start: {checks}")
        }
        Happening::Waiting => format!("waits: {text}"),
        Happening::Ended | Happening::CheckPassed => text,
        _ if first.customer.is_none() => text,
        _ if same_text => format!("{who}: {text}"),
        _ => rows
            .iter()
            .map(|row| {
                let customer = row.customer.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{customer}: {}", clean(&row.text))
            })
            .collect::<Vec<_>>()
            .join("; "),
    }
}

fn names(rows: &[&TimelineRow]) -> String {
    let names: Vec<&str> = rows.iter().filter_map(|row| Some(row.customer.as_ref()?.as_str())).collect();
    if names.len() > MOST_NAMES { format!("{} customers", names.len()) } else { names.join(", ") }
}

/// `+1:05`, `+3 d 02:00`.
pub(crate) fn offset(span: TimeDelta) -> String {
    format!("+{}", self::span(span))
}

/// The same without the sign.
pub(crate) fn span(span: TimeDelta) -> String {
    let minutes = span.num_minutes().max(0);
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match days {
        0 => format!("{hours}:{minutes:02}"),
        days => format!("{days} d {hours:02}:{minutes:02}"),
    }
}

/// `15 min`, `2 h`, `3 d`.
pub(crate) fn delay(span: TimeDelta) -> String {
    match span.num_minutes() {
        days if days >= 2880 && days % 1440 == 0 => format!("{} d", days / 1440),
        hours if hours > 0 && hours % 60 == 0 => format!("{} h", hours / 60),
        minutes => format!("{minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        assert_eq!(offset(TimeDelta::minutes(65)), "+1:05");
        assert_eq!(span(TimeDelta::minutes(3 * 1440 + 125)), "3 d 02:05");
        assert_eq!(
            [15, 120, 1440, 4320].map(|minutes| delay(TimeDelta::minutes(minutes))),
            ["15 min", "2 h", "24 h", "3 d"]
        );
    }
}
