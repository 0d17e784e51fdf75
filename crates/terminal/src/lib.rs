//! How a program for people prints: a table that fits the terminal, every field for programs, colours, a pager, what comes next,
//! and how a command ends.

mod cell;
mod choice;
mod colour;
mod document;
mod empty;
mod failure;
mod listing;
mod next_step;
mod pager;
mod printer;
mod relative;
mod streams;
pub mod suggest;
mod table;

pub use cell::clean;
pub use choice::{Format, OutputChoice};
pub use colour::{Colour, choose as choose_colour, error_label, hint_label, is_on as has_colour};
pub use document::Path;
pub use failure::{CommandResult, ExitStatus, Failure, OK};
pub use listing::{Columns, Listing};
pub use printer::{Printer, columns, hinted_commands};
pub use streams::{done, hint, is_terminal, note, print};

/// A row of a table: each value as text.
#[macro_export]
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($value.to_string()),*] };
}
