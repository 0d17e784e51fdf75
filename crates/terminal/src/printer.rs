//! Answers on standard output: a table for people, every field for programs, or the table as CSV or TSV.

use std::collections::BTreeMap;
use std::io;

use chrono::Utc;
use domain::text::inert_cell;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::{
    cell::{clean_lines, is_flat, text_of},
    choice::{Format, OutputChoice},
    colour, document,
    document::Path,
    empty,
    failure::{CommandResult, Failure, OK, unprintable},
    listing::{Columns, Listing},
    next_step, pager, relative,
    streams::{note, print},
    table::{self, Room},
};

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    pub format: Format,
    look: &'static Look,
    /// Whether the platform has sorted the list as it was asked for.
    is_sorted: bool,
}

/// What the command line says of the output, for the whole process.
#[derive(Debug)]
struct Look {
    path: Option<Path>,
    has_pager: bool,
    listing: Listing,
}

impl Printer {
    /// A printer lives as long as the process, as does what it leaks.
    pub fn new(output: OutputChoice, has_pager: bool, listing: Listing) -> Self {
        let look = Look { path: output.path, has_pager, listing };
        Self { format: output.format, look: Box::leak(Box::new(look)), is_sorted: false }
    }

    /// Prints a list: one row per item, or the items as an array.
    pub fn list<T: Serialize>(self, items: &[T], columns: Columns) -> CommandResult {
        let listing = &self.look.listing;
        let sorted = if self.is_sorted { items.iter().collect() } else { listing.sorted(items, columns)? };
        if self.is_document() {
            return self.json(&sorted);
        }
        if items.is_empty() && self.is_for_people() {
            return empty::report(listing);
        }
        self.table_of(&sorted, columns, true)?;
        if self.is_for_people() && listing.limit == Some(items.len()) {
            note(&format!("only the first {} are shown; --limit shows more", items.len()));
        }
        OK
    }

    /// Prints a list below something else, or nothing when it is empty.
    pub fn section<T: Serialize>(self, items: &[T], columns: Columns) -> CommandResult {
        if items.is_empty() {
            return OK;
        }
        if self.is_document() {
            return self.json(items);
        }
        print("\n")?;
        self.table_of(&items.iter().collect::<Vec<_>>(), columns, false)
    }

    fn table_of<T: Serialize>(self, items: &[&T], columns: Columns, is_whole: bool) -> CommandResult {
        let values: Vec<Value> =
            items.iter().map(|item| serde_json::to_value(item).unwrap_or_default()).collect();
        let usual = Listing::default();
        let listing = if is_whole { &self.look.listing } else { &usual };
        let columns = listing.columns(columns, self.format == Format::Wide, values.first())?;
        let headings: Vec<&str> = columns.iter().map(|column| column.heading.as_str()).collect();
        let now = Utc::now();
        let cell =
            |text: String| if self.format == Format::Table { relative::relative(text, now) } else { text };
        let rows = values.iter().map(|item| columns.iter().map(|column| cell(column.cell(item))).collect());
        self.write_rows(&headings, rows.collect(), is_whole)
    }

    /// Prints a text for people, or the item that it describes for programs.
    pub fn view<T: Serialize>(self, item: &T, text: impl FnOnce(&T) -> String) -> CommandResult {
        if !self.is_for_people() {
            return self.item(item);
        }
        print(&text(item))?;
        OK
    }

    /// Prints one item: one field per line, or every field for programs.
    pub fn item<T: Serialize>(self, item: &T) -> CommandResult {
        if self.is_document() {
            return self.json(item);
        }
        let fields = fields_of(item)?;
        match self.format {
            Format::Csv | Format::Tsv => {
                let headings: Vec<&str> = fields.keys().map(String::as_str).collect();
                self.rows(&headings, vec![fields.values().map(text_of).collect()])
            }
            Format::Name => {
                print(&text_of(name_of(&fields)))?;
                OK
            }
            _ => {
                let mut rows = Vec::new();
                for (name, value) in &fields {
                    add_field(name, value, &mut rows);
                }
                print(&table::fields(rows, self.room()))?;
                let listing = &self.look.listing;
                if !listing.is_dry_run {
                    next_step::hint_after(&listing.command, &text_of(name_of(&fields)), &fields);
                }
                OK
            }
        }
    }

    /// Prints the rows that summarise an item, or the item itself for programs.
    pub fn rows_of<T: Serialize>(
        self,
        item: &T,
        headings: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> CommandResult {
        if self.is_document() { self.json(item) } else { self.rows(headings, rows.into_iter().collect()) }
    }

    /// Prints rows that are texts already.
    pub fn rows(self, headings: &[&str], rows: Vec<Vec<String>>) -> CommandResult {
        self.write_rows(headings, rows, false)
    }

    fn write_rows(self, headings: &[&str], rows: Vec<Vec<String>>, is_whole: bool) -> CommandResult {
        match self.format {
            Format::Table | Format::Wide => self.write_table(headings, rows, is_whole)?,
            Format::Name => print(
                &rows.iter().filter_map(|row| row.first()).map(|id| format!("{id}\n")).collect::<String>(),
            )?,
            Format::Csv => print(&separated(headings, rows, b',')?)?,
            Format::Tsv => print(&separated(headings, rows, b'\t')?)?,
            Format::Json | Format::Yaml | Format::JsonPath => {
                let object = |row| -> BTreeMap<&str, String> { headings.iter().copied().zip(row).collect() };
                return self.json(&rows.into_iter().map(object).collect::<Vec<_>>());
            }
        }
        OK
    }

    fn write_table(self, headings: &[&str], rows: Vec<Vec<String>>, is_whole: bool) -> Result<(), Failure> {
        let table = table::columns(headings, rows, self.room());
        let is_long = terminal_height().is_some_and(|height| table.text.lines().count() >= height);
        let is_paged = is_whole && is_long && self.look.has_pager && pager::show(&table.text);
        if !is_paged {
            print(&table.text)?;
        }
        if !table.dropped.is_empty() {
            note(&format!("no room for {}; `-o wide` shows every column", table.dropped.join(", ")));
        }
        Ok(())
    }

    /// Everything that `-o wide` shows has its room.
    fn room(self) -> Room {
        let width = if self.format == Format::Wide { None } else { terminal_width() };
        Room { width, colour: colour::is_on(&io::stdout()) }
    }

    /// Prints every field: as YAML or the part of a JSON path if that was asked for, otherwise as JSON.
    pub fn json<T: Serialize + ?Sized>(self, item: &T) -> CommandResult {
        match (self.format, &self.look.path) {
            (Format::Yaml, _) => print(&document::yaml(item)?)?,
            (Format::JsonPath, Some(path)) => {
                let selected = path.select(item)?;
                if selected.is_empty() {
                    note(&format!("`{path}` selects nothing of the answer; `-o json` shows all of it"));
                }
                print(&selected)?;
            }
            _ => print(&document::json(item)?)?,
        }
        OK
    }

    /// Whether every field is printed, for programs: JSON, YAML, JSONPath.
    pub fn is_document(self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml | Format::JsonPath)
    }

    /// Prints what comes after the command, if its answer was not one thing.
    pub fn hint_at_end(self) {
        if self.is_for_people() && !self.look.listing.is_dry_run {
            next_step::hint_at_end(&self.look.listing.command);
        }
    }

    pub fn is_for_people(self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// For a list that the platform has sorted already.
    pub fn without_sort(self) -> Self {
        Self { is_sorted: true, ..self }
    }
}

/// A table as text, below a text of the caller's own.
pub fn columns(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let room = Room { width: terminal_width(), colour: colour::is_on(&io::stdout()) };
    table::columns(headings, rows, room).text
}

/// The commands that have a hint for an empty list or for what comes next.
pub fn hinted_commands() -> impl Iterator<Item = &'static str> {
    empty::commands().chain(next_step::commands())
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout())
        .map(|(width, _)| usize::from(width.0))
        .filter(|width| *width > 0)
}

fn terminal_height() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout())
        .map(|(_, height)| usize::from(height.0))
        .filter(|height| *height > 0)
}

/// The fields in the order of their declaration; a plain JSON object would sort them.
fn fields_of<T: Serialize>(item: &T) -> Result<IndexMap<String, Value>, Failure> {
    let text = serde_json::to_string(item);
    text.and_then(|text| serde_json::from_str(&text)).map_err(unprintable)
}

/// What an item is called, by the first of these fields that it has; otherwise its first field.
fn name_of(fields: &IndexMap<String, Value>) -> &Value {
    const NAMES: [&str; 6] = ["id", "ci_id", "slug", "version", "name", "subject"];
    let named = NAMES.iter().find_map(|name| fields.get(*name));
    named.or_else(|| fields.values().next()).unwrap_or(&Value::Null)
}

/// Nested fields get a line each, named by their path; empty ones are left out.
fn add_field(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        value if is_empty(value) => {}
        Value::Object(inner) if !is_flat(value) => {
            inner.iter().for_each(|(key, value)| add_field(&format!("{name}.{key}"), value, rows));
        }
        Value::String(text) => rows.push(vec![name.to_owned(), clean_lines(text)]),
        value => rows.push(vec![name.to_owned(), text_of(value)]),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn separated(headings: &[&str], rows: Vec<Vec<String>>, delimiter: u8) -> Result<String, Failure> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    writer.write_record(headings).map_err(unprintable)?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| inert_cell(cell).into_owned())).map_err(unprintable)?;
    }
    let bytes = writer.into_inner().map_err(unprintable)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_are_named_by_their_id() {
        let fields = |value: Value| fields_of(&value).unwrap();
        assert_eq!(name_of(&fields(json!({ "kind": "x", "id": "CHG0000001" }))), "CHG0000001");
        assert_eq!(name_of(&fields(json!({ "kind": "x" }))), "x");
    }

    #[test]
    fn nested_fields_are_named_by_their_path() {
        let value =
            json!({ "tags": { "env": "prod" }, "steps": { "drain": { "seconds": [3] }, "none": [] } });
        let mut rows = Vec::new();
        add_field("policy", &value, &mut rows);
        assert_eq!(rows, [["policy.steps.drain.seconds", "3"], ["policy.tags", "env=prod"]]);
    }

    #[test]
    fn lines_of_a_text_stay_beside_its_name() {
        let mut rows = Vec::new();
        add_field("description", &json!("Two hosts:\n  web-1\u{1b}\nstate approved\n"), &mut rows);
        let text = table::fields(rows, Room::default());
        assert_eq!(
            text,
            "description  Two hosts:\n               web-1\u{fffd}\n             state approved"
        );
    }

    #[test]
    fn separators_inside_values_are_quoted() {
        let text = separated(&["a", "b"], vec![vec!["1,5".into(), "x\"y".into()]], b',').unwrap();
        assert_eq!(text, "a,b\n\"1,5\",\"x\"\"y\"\n");
    }

    #[test]
    fn no_cell_is_a_formula_in_a_spreadsheet() {
        for delimiter in [b',', b'\t'] {
            let row = ["=HYPERLINK(\"x\")", "@a", "-5"].map(str::to_owned).to_vec();
            let text = separated(&["a", "b", "c"], vec![row], delimiter).unwrap();
            let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
            let cells = reader.records().next().unwrap().unwrap();
            assert_eq!(cells, vec!["'=HYPERLINK(\"x\")", "'@a", "-5"]);
        }
    }
}
