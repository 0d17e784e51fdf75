//! `patchctl`: the one program a person uses. It starts the platform (`up`), speaks every verb of its API, and answers
//! questions about schedules, versions and advisories without any platform at all.
//!
//! Arguments stand apart from the commands that carry them out; what is printed goes through `output`, and what went
//! wrong is a `Failure`, printed once, here.

mod arguments;
mod commands;
mod connect;
mod demo;
mod failure;
mod input;
mod output;
mod platform;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::{ExitStatus, Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(format!("cannot start: {error}")).report(),
    };
    let outcome = runtime.block_on(commands::run(arguments));
    // Threads that are still busy after a stop must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome {
        Ok(status) => status.into(),
        Err(failure) => failure.report(),
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
