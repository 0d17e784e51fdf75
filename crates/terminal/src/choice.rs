//! The formats of answers, as `--output` names them.

use std::str::FromStr;

use crate::document::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// The table with every column, exact times and no regard for the width of the terminal.
    Wide,
    /// Only the names, one per line.
    Name,
    /// Every field, for programs.
    Json,
    Yaml,
    /// What a JSON path selects.
    JsonPath,
    /// The columns of the table, comma-separated.
    Csv,
    /// The columns of the table, tab-separated.
    Tsv,
}

/// The value of `--output`.
#[derive(Debug, Clone)]
pub struct OutputChoice {
    pub format: Format,
    pub path: Option<Path>,
}

/// The formats without an expression.
const NAMES: [(&str, Format); 7] = [
    ("table", Format::Table),
    ("wide", Format::Wide),
    ("name", Format::Name),
    ("json", Format::Json),
    ("yaml", Format::Yaml),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
];

impl FromStr for OutputChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("jsonpath=") {
            return Ok(Self { format: Format::JsonPath, path: Some(path.parse()?) });
        }
        let known = NAMES.iter().find(|(name, _)| *name == text);
        let (_, format) = known.ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("must be {} or jsonpath=EXPR, such as `jsonpath=$[*].id`", names.join(", "))
        })?;
        Ok(Self { format: *format, path: None })
    }
}
