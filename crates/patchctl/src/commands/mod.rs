//! What each command does: arguments in, calls to the platform, an answer printed, an exit status.

mod access;
mod advisory;
mod calendar;
mod change;
mod ci;
mod completions;
mod compliance;
mod exception;
mod fault;
mod health;
mod incident;
mod inventory;
mod matching;
mod notification;
mod plan;
mod policy;
mod predictions;
mod problem;
mod relationship;
mod repository;
mod run;
mod schedule;
mod simulate;
mod system_patch;
mod up;
mod version;
mod vm;

use crate::arguments::{Arguments, Command};
use crate::connect::Connection;
use crate::failure::{ExitStatus, Outcome};
use crate::output::Printer;

pub async fn run(arguments: Arguments) -> Outcome {
    let Arguments { global, command } = arguments;
    let printer = Printer { format: global.output };
    let connect = || Connection::new(&global);
    match command {
        Command::Up(arguments) => up::run(&global, arguments).await,
        Command::Demo(arguments) => crate::demo::run(&global, arguments).await,
        Command::Health => health::run(&global, printer).await,
        Command::Schedule(command) => schedule::run(command),
        Command::Version(command) => version::run(command),
        Command::Completions { shell } => completions::run(shell),
        Command::Advisory(command) => advisory::run(connect, command, printer).await,

        Command::Compliance { command } => compliance::run(&connect()?, command, printer).await,
        Command::Inventory(command) => inventory::run(&connect()?, command, printer).await,
        Command::Policy(command) => policy::run(&connect()?, command, printer).await,
        Command::Run(command) => run::run(&connect()?, command, printer).await,
        Command::Plan(command) => plan::run(connect, command, printer).await,
        Command::Simulate(arguments) => simulate::run(connect, arguments, printer).await,
        Command::Predictions(arguments) => predictions::run(&connect()?, arguments, printer).await,
        Command::Exception(command) => exception::run(&connect()?, command, printer).await,
        Command::Calendar(command) => calendar::run(&connect()?, command, printer).await,

        Command::Ci(command) => ci::run(&connect()?, command, printer).await,
        Command::Relationship(command) => relationship::run(&connect()?, command, printer).await,

        Command::Change(command) => change::run(&connect()?, command, printer).await,
        Command::Incident(command) => incident::run(&connect()?, command, printer).await,
        Command::Problem(command) => problem::run(&connect()?, command, printer).await,
        Command::Notification(command) => notification::run(&connect()?, command, printer).await,

        Command::Vm(command) => vm::run(&connect()?, command, printer).await,
        Command::Fault(command) => fault::run(&connect()?, command, printer).await,
        Command::Repository(command) => repository::run(&connect()?, command, printer).await,

        Command::Token(command) => access::token(&connect()?, command, printer).await,
        Command::Audit(arguments) => access::audit(&connect()?, arguments, printer).await,
    }
}

/// Query parameters from those that were given.
type Filter = Vec<(&'static str, String)>;

fn filter<const N: usize>(given: [(&'static str, Option<String>); N]) -> Filter {
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// `key=value` on the command line is `key:value` in a query.
fn add_tags(filter: &mut Filter, tags: Vec<(String, String)>) {
    filter.extend(tags.into_iter().map(|(key, value)| ("tag", format!("{key}:{value}"))));
}

/// A word of the wire as it is written there.
fn word<T: serde::Serialize>(value: T) -> String {
    let written = serde_json::to_value(value).ok();
    written.as_ref().and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// The strong ETag of a version.
fn etag(version: Option<i64>) -> Option<String> {
    version.map(|version| format!("\"{version}\""))
}

const OK: Outcome = Ok(ExitStatus::Ok);
