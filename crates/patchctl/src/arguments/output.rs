//! What lists print.

use clap::Args;

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
