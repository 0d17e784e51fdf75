//! The version of this program.

use serde::Serialize;

use super::local::compare_versions;
use crate::arguments::{VersionArguments, VersionCommand};
use terminal::CommandResult;
use terminal::Printer;

#[derive(Serialize)]
struct Version {
    program: &'static str,
    version: &'static str,
}

pub fn run(arguments: VersionArguments, printer: Printer) -> CommandResult {
    if let Some(VersionCommand::Compare(arguments)) = arguments.command {
        return compare_versions(arguments);
    }
    let version = Version { program: "patchctl", version: env!("CARGO_PKG_VERSION") };
    printer.view(&version, |version| format!("{} {}", version.program, version.version))
}
