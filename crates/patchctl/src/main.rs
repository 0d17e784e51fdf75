//! `patchctl`: the command line of the platform. It starts the platform (`up`), calls every endpoint of its API, and
//! answers questions about schedules, versions and advisories without a platform.
//!
//! `arguments` defines the command line, `commands` executes it. All output goes through the crate `terminal`. An error is a
//! `Failure`, which is printed once, here.

mod arguments;
mod commands;
mod complete;
mod connect;
mod context;
mod demo;
mod input;
mod platform;
mod poll;
mod private_file;
mod resolve;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap_complete::CompleteEnv;

use crate::arguments::Invocation;
use terminal::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shell that completes a line gets its answer here, and the process ends.
    CompleteEnv::with_factory(arguments::command).complete();
    let invocation = Invocation::of(arguments::command().get_matches());
    service_kit::raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(format!("cannot start: {error}")).report(),
    };
    let result = runtime.block_on(commands::run(&invocation));
    // Threads that are still busy after a stop must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match result {
        Ok(status) => status.into(),
        Err(failure) => failure.report(),
    }
}
