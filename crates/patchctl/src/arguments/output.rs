//! How answers are printed.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::output::Path;

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

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// What to print of a list.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "List options")]
pub struct Most {
    /// Maximum number of items to print.
    #[arg(long = "limit", id = LIMIT, default_value_t = 1000, value_name = "N", value_parser = parse_most)]
    pub limit: usize,

    /// Sort by this column; `-COLUMN` reverses the order.
    #[arg(long = "sort", id = SORT, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,

    /// Print these columns, comma-separated: headings of the table, or fields of the JSON such as `hosts.failed`.
    #[arg(long = "columns", id = COLUMNS, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,

    /// Print the list again every N seconds, 2 by default, until ctrl-C.
    #[arg(long = "watch", id = WATCH, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
}

/// The names by which the printer finds the options of a list in the arguments of any command.
pub const LIMIT: &str = "list_limit";
pub const SORT: &str = "list_sort";
pub const COLUMNS: &str = "list_columns";
pub const WATCH: &str = "list_watch";

fn parse_most(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("must be 1 to 1000000".to_owned()),
    }
}
