//! Answers on standard output: columns for people, everything as JSON for programs, the columns as CSV or TSV.

mod cell;
mod table;

use std::io::{self, ErrorKind, IsTerminal, Write};

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Format;
use crate::failure::Failure;

pub use cell::clean;
use cell::{is_flat, text_of};
pub use table::columns;

/// Heading, and where the value stands: a JSON pointer into the item.
pub type Column = (&'static str, &'static str);

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    pub format: Format,
}

impl Printer {
    /// Prints a list: one row per item, or the items as a JSON array.
    pub fn list<T: Serialize>(self, items: &[T], columns: &[Column]) -> Result<(), Failure> {
        if self.format == Format::Json {
            return self.json(&items);
        }
        let rows = items.iter().map(|item| row(&json_of(item), columns)).collect();
        let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
        self.rows(&headings, rows)
    }

    /// Prints one item: its fields line by line, or everything as a JSON object.
    pub fn item<T: Serialize>(self, item: &T) -> Result<(), Failure> {
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
                print(&table::fields(rows))
            }
            Format::Csv | Format::Tsv => {
                let headings: Vec<&str> = fields.keys().map(String::as_str).collect();
                self.rows(&headings, vec![fields.values().map(text_of).collect()])
            }
        }
    }

    /// Prints rows that are made already.
    pub fn rows(self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&table::columns(headings, rows)),
            Format::Csv => print(&separated(headings, rows, b',')?),
            Format::Tsv => print(&separated(headings, rows, b'\t')?),
            Format::Json => {
                let object = |row: Vec<String>| -> serde_json::Map<String, Value> {
                    headings
                        .iter()
                        .map(|name| (*name).to_owned())
                        .zip(row.into_iter().map(Value::String))
                        .collect()
                };
                self.json(&rows.into_iter().map(object).collect::<Vec<_>>())
            }
        }
    }

    pub fn json<T: Serialize + ?Sized>(self, item: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(item);
        print(&text.map_err(|error| Failure::new(format!("the answer cannot be printed: {error}")))?)
    }

    pub fn is_for_people(self) -> bool {
        self.format == Format::Table
    }
}

/// Prints a text, with a line break at its end. A reader that went away (`| head`) has what it wanted.
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

/// Tells a person something beside the answer; programs read standard output alone.
pub fn note(text: &str) {
    eprintln!("{text}");
}

pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The fields in the order in which they are declared, which a plain JSON object would sort.
fn fields_of<T: Serialize>(item: &T) -> Result<IndexMap<String, Value>, Failure> {
    let text = serde_json::to_string(item);
    text.and_then(|text| serde_json::from_str(&text))
        .map_err(|error| Failure::new(format!("the answer cannot be printed: {error}")))
}

/// Fields inside fields get a line each, named by their path; what is empty says nothing.
fn add_field(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        value if is_empty(value) => {}
        Value::Object(inner) if !is_flat(value) => {
            inner.iter().for_each(|(key, value)| add_field(&format!("{name}.{key}"), value, rows));
        }
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

fn json_of<T: Serialize>(item: &T) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

fn row(item: &Value, columns: &[Column]) -> Vec<String> {
    columns.iter().map(|(_, pointer)| item.pointer(pointer).map(text_of).unwrap_or_default()).collect()
}

fn separated(headings: &[&str], rows: Vec<Vec<String>>, delimiter: u8) -> Result<String, Failure> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    let failed = |error: csv::Error| Failure::new(format!("the answer cannot be printed: {error}"));
    writer.write_record(headings).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Failure::new(format!("the answer cannot be printed: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_taken_by_pointer() {
        let item =
            json!({ "id": "web-07", "tags": { "os": "rocky9", "env": "prod" }, "hosts": { "failed": 2 } });
        let columns = [("id", "/id"), ("tags", "/tags"), ("failed", "/hosts/failed"), ("none", "/nothing")];
        assert_eq!(row(&item, &columns), ["web-07", "env=prod os=rocky9", "2", ""]);
    }

    #[test]
    fn fields_inside_fields_are_named_by_their_path() {
        let value =
            json!({ "tags": { "env": "prod" }, "steps": { "drain": { "seconds": [3] }, "none": [] } });
        let mut rows = Vec::new();
        add_field("policy", &value, &mut rows);
        assert_eq!(rows, [["policy.steps.drain.seconds", "3"], ["policy.tags", "env=prod"]]);
    }

    #[test]
    fn separators_inside_values_are_quoted() {
        let text = separated(&["a", "b"], vec![vec!["1,5".into(), "x\"y".into()]], b',').unwrap();
        assert_eq!(text, "a,b\n\"1,5\",\"x\"\"y\"\n");
    }
}
