//! Tables without lines: as wide as the terminal, or as wide as needed where there is no terminal.
//!
//! A value without a space, such as an id or a version, is never broken. Texts are wrapped at their spaces. What does not
//! fit even so loses columns, the least important first.

use chrono::DateTime;
use unicode_width::UnicodeWidthStr;

use crate::colour::{self, Tone};

/// Spaces between two columns.
const GAP: usize = 2;

/// Dropped before those at the right end.
const LEAST_IMPORTANT: [&str; 7] =
    ["requested by", "by", "trigger", "attempts", "version", "offset", "confirmed"];

/// What a row is about. These columns are never dropped, nor is the first one.
const ESSENTIAL: [&str; 4] = ["state", "status", "severity", "error"];

/// The room of a table, and whether it may have colours.
#[derive(Debug, Clone, Copy, Default)]
pub struct Room {
    /// Columns of the terminal; `None`: as many as needed.
    pub width: Option<usize>,
    pub colour: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// The headings of the columns that had no room.
    pub dropped: Vec<String>,
}

/// Headings above columns.
pub fn columns(headings: &[&str], rows: Vec<Vec<String>>, room: Room) -> Rendered {
    let rows: Vec<Vec<String>> = rows.into_iter().map(short_times).collect();
    let needs: Vec<Need> = (0..headings.len()).map(|index| Need::of(headings[index], &rows, index)).collect();
    let kept = kept(headings, &needs, room.width);
    let widths = widths(&kept.iter().map(|index| needs[*index]).collect::<Vec<_>>(), room.width);
    let mut lines = Vec::new();
    let titles =
        kept.iter().map(|index| (headings[*index].to_uppercase(), room.colour.then_some(Tone::Title)));
    push_row(&titles.collect::<Vec<_>>(), &widths, &mut lines);
    for row in &rows {
        let cell = |index: &usize| {
            let text = row.get(*index).cloned().unwrap_or_default();
            let tone = colour::tone_of(headings[*index], &text).filter(|_| room.colour);
            (text, tone)
        };
        push_row(&kept.iter().map(cell).collect::<Vec<_>>(), &widths, &mut lines);
    }
    let dropped = (0..headings.len()).filter(|index| !kept.contains(index));
    Rendered { text: lines.join("\n"), dropped: dropped.map(|index| headings[index].to_owned()).collect() }
}

/// Names and their values.
pub fn fields(rows: Vec<Vec<String>>, room: Room) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().map(short_times).collect();
    let needs = [0, 1].map(|index| Need::of("", &rows, index));
    let widths = widths(&needs, room.width);
    let mut lines = Vec::new();
    for row in rows {
        let tone = colour::tone_of(&row[0], &row[1]).filter(|_| room.colour);
        let name = room.colour.then_some(Tone::Title);
        push_row(&[(row[0].clone(), name), (row[1].clone(), tone)], &widths, &mut lines);
    }
    lines.join("\n")
}

/// The room that a column wants, and the least that breaks no value.
#[derive(Debug, Clone, Copy)]
struct Need {
    natural: usize,
    least: usize,
}

impl Need {
    fn of(heading: &str, rows: &[Vec<String>], index: usize) -> Self {
        let mut need = Self { natural: heading.width(), least: heading.width() };
        for cell in rows.iter().filter_map(|row| row.get(index)) {
            let longest = |parts: &mut dyn Iterator<Item = &str>| parts.map(UnicodeWidthStr::width).max();
            need.natural = need.natural.max(longest(&mut cell.lines()).unwrap_or(0));
            need.least = need.least.max(longest(&mut cell.split_whitespace()).unwrap_or(0));
        }
        need
    }
}

/// The columns that have room, by their indexes.
fn kept(headings: &[&str], needs: &[Need], width: Option<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..headings.len()).collect();
    let Some(width) = width else { return kept };
    let total = |kept: &[usize]| {
        kept.iter().map(|index| needs[*index].least).sum::<usize>() + GAP * kept.len().saturating_sub(1)
    };
    while total(&kept) > width {
        let can_go = |index: &&usize| **index > 0 && !ESSENTIAL.contains(&headings[**index]);
        let least = |index: &&usize| LEAST_IMPORTANT.contains(&headings[**index]);
        let candidates = || kept.iter().rev().filter(can_go);
        let Some(gone) = candidates().find(least).or_else(|| candidates().next()).copied() else { break };
        kept.retain(|index| *index != gone);
    }
    kept
}

/// What each column gets: its least, and a share of what is left, the modest first.
fn widths(needs: &[Need], width: Option<usize>) -> Vec<usize> {
    let Some(width) = width else { return needs.iter().map(|need| need.natural).collect() };
    let mut widths: Vec<usize> = needs.iter().map(|need| need.least).collect();
    let used = widths.iter().sum::<usize>() + GAP * needs.len().saturating_sub(1);
    let mut spare = width.saturating_sub(used);
    let mut wanting: Vec<usize> = (0..needs.len()).collect();
    wanting.sort_by_key(|index| needs[*index].natural - needs[*index].least);
    for (position, index) in wanting.iter().enumerate() {
        let share = spare / (wanting.len() - position);
        let given = share.min(needs[*index].natural - needs[*index].least);
        widths[*index] += given;
        spare -= given;
    }
    widths
}

/// Adds the lines of a row, without spaces at their ends.
fn push_row(cells: &[(String, Option<Tone>)], widths: &[usize], lines: &mut Vec<String>) {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|((text, _), width)| wrap(text, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0).max(1);
    for number in 0..height {
        let mut line = String::new();
        let mut column = 0_usize;
        let mut start = 0_usize;
        for (index, parts) in wrapped.iter().enumerate() {
            if let Some(part) = parts.get(number).filter(|part| !part.is_empty()) {
                line.extend(std::iter::repeat_n(' ', start.saturating_sub(column)));
                line.push_str(&colour::paint(part, cells[index].1));
                column = start + part.width();
            }
            start += widths[index] + GAP;
        }
        lines.push(line);
    }
}

/// The lines of a text in this width, broken at spaces only.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.width() <= width {
            lines.push(line.to_owned());
            continue;
        }
        let mut current = String::new();
        for word in line.split_whitespace() {
            if !current.is_empty() && current.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines
}

/// Shows times without fractions of a second.
fn short_times(row: Vec<String>) -> Vec<String> {
    let shorten = |text: String| match text.split_once('.') {
        Some((whole, fraction))
            if whole.len() == "2026-03-01T00:00:00".len()
                && fraction.ends_with('Z')
                && DateTime::parse_from_rfc3339(&text).is_ok() =>
        {
            format!("{whole}Z")
        }
        _ => text,
    };
    row.into_iter().map(shorten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "018f4e3a-0000-7000-8000-000000000002";

    fn text(row: &[&str]) -> Vec<String> {
        row.iter().map(|cell| (*cell).to_owned()).collect()
    }

    fn in_width(width: usize) -> Room {
        Room { width: Some(width), colour: false }
    }

    #[test]
    fn columns_are_aligned_with_their_headings() {
        let table = columns(&["id", "state"], vec![text(&["web-07", "on"])], Room::default());
        assert_eq!(table.text, "ID      STATE\nweb-07  on");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        let row = vec!["2026-03-01T00:00:00.123456Z".to_owned(), "1.0".to_owned()];
        assert_eq!(short_times(row), ["2026-03-01T00:00:00Z", "1.0"]);
    }

    #[test]
    fn narrow_terminal_wraps_texts_and_never_an_id() {
        let rows = vec![text(&[RUN, "halted", "2 of 5 hosts failed in wave pilot"])];
        let table = columns(&["id", "state", "reason"], rows, in_width(60));
        assert!(table.dropped.is_empty());
        assert_eq!(table.text.lines().nth(1).unwrap(), format!("{RUN}  halted  2 of 5 hosts"));
        assert!(table.text.contains(&format!("\n{}failed in wave", " ".repeat(46))), "{}", table.text);
        assert!(table.text.lines().all(|line| line.width() <= 60), "{}", table.text);
    }

    #[test]
    fn too_narrow_terminal_loses_the_least_important_column_first() {
        let headings = ["id", "state", "policy", "by", "created"];
        let rows = || vec![text(&[RUN, "executing", "policy-rhel9", "olivia", "2026-03-01T00:00:00Z"])];
        let dropped = |width| columns(&headings, rows(), in_width(width)).dropped;
        assert_eq!(dropped(100), [""; 0]);
        assert_eq!(dropped(90), ["by"]);
        assert_eq!(dropped(70), ["by", "created"]);
        let narrowest = columns(&headings, rows(), in_width(10));
        assert_eq!(narrowest.dropped, ["policy", "by", "created"]);
        assert_eq!(narrowest.text.lines().nth(1).unwrap(), format!("{RUN}  executing"));
    }

    #[test]
    fn pipe_gets_every_column_in_one_line() {
        let rows = vec![text(&[RUN, &"word ".repeat(100)])];
        let table = columns(&["id", "reason"], rows, Room::default());
        assert_eq!(table.text.lines().count(), 2);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let table = columns(&["name", "x"], vec![text(&["東京", "1"]), text(&["ab", "2"])], Room::default());
        assert_eq!(table.text, "NAME  X\n東京  1\nab    2");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let rows = || vec![text(&["a", "failed", "x"]), text(&["b", "succeeded", "y"])];
        let plain = columns(&["id", "state", "z"], rows(), Room::default()).text;
        let coloured = columns(&["id", "state", "z"], rows(), Room { width: None, colour: true }).text;
        assert!(coloured.contains("\u{1b}[31mfailed\u{1b}[0m"), "{coloured:?}");
        assert_eq!(colour::stripped(&coloured), plain);
    }
}
