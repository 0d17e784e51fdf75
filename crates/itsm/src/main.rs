//! The ITSM service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::cli::main::<itsm::Itsm>()
}
