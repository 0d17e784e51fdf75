//! What has changed between the approved plan of a run and the one made right before its work.

use api_types::patch::RunDiff;

use terminal::{Columns, Printer, print};
use terminal::{CommandResult, OK};

const LINES: Columns = "of=subject difference=what approved now";

pub fn show(diff: &RunDiff, printer: Printer) -> CommandResult {
    if printer.is_for_people() {
        print(&diff.reason)?;
        printer.section(&diff.lines, LINES)?;
        return OK;
    }
    if printer.is_document() { printer.item(diff) } else { printer.list(&diff.lines, LINES) }
}
