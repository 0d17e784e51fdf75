//! Answers on standard output: a table for people, JSON with every field for programs, or the table as CSV or TSV.

mod cell;
mod table;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use domain::text::inert_cell;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Format;
use crate::failure::{CommandResult, Failure, OK};

pub use cell::clean;
use cell::{clean_lines, is_flat, text_of};
pub use table::columns;

/// The columns of a list, separated by spaces: `heading=path/of/the/value`, or a field's name for both. A `_` in a
/// heading is printed as a space.
pub type Columns = &'static str;

/// A row of a table: each value as text.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($value.to_string()),*] };
}
pub(crate) use row;

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    pub format: Format,
}

impl Printer {
    /// Prints a list: one row per item, or the items as a JSON array.
    pub fn list<T: Serialize>(self, items: &[T], columns: Columns) -> CommandResult {
        if self.format == Format::Json {
            return self.json(items);
        }
        let (headings, pointers): (Vec<String>, Vec<String>) = columns.split_whitespace().map(column).unzip();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let cells = |item| {
            let item = serde_json::to_value(item).unwrap_or_default();
            pointers.iter().map(|pointer| item.pointer(pointer).map(text_of).unwrap_or_default()).collect()
        };
        self.rows(&headings, items.iter().map(cells).collect())
    }

    /// Prints a list below something else, or nothing when it is empty.
    pub fn section<T: Serialize>(self, items: &[T], columns: Columns) -> CommandResult {
        if items.is_empty() {
            return OK;
        }
        print("\n")?;
        self.list(items, columns)
    }

    /// Prints a text for people, or the item that it describes for programs.
    pub fn view<T: Serialize>(self, item: &T, text: impl FnOnce(&T) -> String) -> CommandResult {
        if !self.is_for_people() {
            return self.item(item);
        }
        print(&text(item))?;
        OK
    }

    /// Prints one item: one field per line, or everything as a JSON object.
    pub fn item<T: Serialize>(self, item: &T) -> CommandResult {
        if self.format == Format::Json {
            return self.json(item);
        }
        let fields = fields_of(item)?;
        match self.format {
            Format::Table | Format::Json => {
                let mut rows = Vec::new();
                for (name, value) in &fields {
                    add_field(name, value, &mut rows);
                }
                print(&table::fields(rows))?;
                OK
            }
            Format::Csv | Format::Tsv => {
                let headings: Vec<&str> = fields.keys().map(String::as_str).collect();
                self.rows(&headings, vec![fields.values().map(text_of).collect()])
            }
        }
    }

    /// Prints the rows that summarise an item, or the item itself as JSON.
    pub fn rows_of<T: Serialize>(
        self,
        item: &T,
        headings: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> CommandResult {
        match self.format {
            Format::Json => self.json(item),
            _ => self.rows(headings, rows.into_iter().collect()),
        }
    }

    /// Prints rows that are texts already.
    pub fn rows(self, headings: &[&str], rows: Vec<Vec<String>>) -> CommandResult {
        match self.format {
            Format::Table => print(&table::columns(headings, rows))?,
            Format::Csv => print(&separated(headings, rows, b',')?)?,
            Format::Tsv => print(&separated(headings, rows, b'\t')?)?,
            Format::Json => {
                let object = |row| -> BTreeMap<&str, String> { headings.iter().copied().zip(row).collect() };
                return self.json(&rows.into_iter().map(object).collect::<Vec<_>>());
            }
        }
        OK
    }

    pub fn json<T: Serialize + ?Sized>(self, item: &T) -> CommandResult {
        print(&serde_json::to_string_pretty(item).map_err(unprintable)?)?;
        OK
    }

    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    pub fn is_for_people(self) -> bool {
        self.format == Format::Table
    }
}

/// Prints a text and a line break at its end. A reader that closes the pipe (`| head`) is not an error.
pub fn print(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { output.write_all(b"\n") })
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::new(format!("cannot write the answer: {error}"))),
    }
}

/// Prints a remark for people on standard error; programs read only standard output.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints what the answer could not say: how to get what was probably meant.
pub fn hint(text: &str) {
    note(&format!("hint: {text}"));
}

/// Ends a command that has no answer with a remark.
pub fn done(text: &str) -> CommandResult {
    note(text);
    OK
}

pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The fields in the order of their declaration; a plain JSON object would sort them.
fn fields_of<T: Serialize>(item: &T) -> Result<IndexMap<String, Value>, Failure> {
    let text = serde_json::to_string(item);
    text.and_then(|text| serde_json::from_str(&text)).map_err(unprintable)
}

fn unprintable(error: impl Display) -> Failure {
    Failure::new(format!("the answer cannot be printed: {error}"))
}

fn column(column: &str) -> (String, String) {
    let (heading, path) = column.split_once('=').unwrap_or((column, column));
    (heading.replace('_', " "), format!("/{path}"))
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
    fn columns_have_a_heading_and_a_path() {
        assert_eq!(column("created_at"), ("created at".into(), "/created_at".into()));
        assert_eq!(column("failed=hosts/failed"), ("failed".into(), "/hosts/failed".into()));
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
        let text = table::fields(rows);
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
