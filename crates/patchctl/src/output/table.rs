//! Tables without lines: as wide as the terminal, or as wide as needed where there is no terminal.

use chrono::DateTime;
use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::is_terminal;

/// Headings above columns.
pub fn columns(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = plain();
    table.set_header(headings.iter().map(|heading| Cell::new(heading.to_uppercase())));
    table.add_rows(rows.into_iter().map(short_times));
    trimmed(&table)
}

/// Names and their values.
pub fn fields(rows: Vec<Vec<String>>) -> String {
    let mut table = plain();
    table.add_rows(rows.into_iter().map(short_times));
    trimmed(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(if is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table
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

/// Removes the margin and trailing spaces of every line.
fn trimmed(table: &Table) -> String {
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_with_their_headings() {
        let text = columns(&["id", "state"], vec![vec!["web-07".into(), "on".into()]]);
        assert_eq!(text, "ID      STATE\nweb-07  on");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        let row = vec!["2026-03-01T00:00:00.123456Z".to_owned(), "1.0".to_owned()];
        assert_eq!(short_times(row), ["2026-03-01T00:00:00Z", "1.0"]);
    }
}
