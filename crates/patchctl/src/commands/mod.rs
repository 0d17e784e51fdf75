//! What each command does: it calls the platform, prints the answer and returns an exit status.

mod access;
mod advisory;
mod audit;
mod backup;
mod cmdb;
mod compliance;
mod doctor;
mod explain;
mod feed;
mod health;
mod import;
mod inventory;
mod itsm;
mod local;
mod matching;
mod policy;
mod predictions;
mod preflight;
pub(crate) mod release;
mod repeat;
mod restore;
mod run;
mod run_diff;
mod run_logs;
mod search;
mod sign_in;
mod sim;
pub mod simulate;
mod suggestions;
mod system_patch;
mod trace;
mod up;
mod version;
mod waiver;
mod webhooks;

use serde::Serialize;

use self::suggestions::with_suggestion;
use crate::arguments::{Arguments, Command, GlobalOptions, Invocation, PlanCommand};
use crate::connect::Connection;
use terminal::{CommandResult, Failure, OK};
use terminal::{Printer, choose_colour, print};

/// Runs the command once, or again and again if it watches a list.
pub async fn run(invocation: &Invocation) -> CommandResult {
    let parse = || invocation.arguments().map_err(|error| Failure::usage(error.to_string()));
    let Arguments { global, command } = parse()?;
    choose_colour(global.color);
    let has_pager = !global.no_pager && invocation.watch.is_none();
    let printer = Printer::new(global.output.clone(), has_pager, invocation.listing.clone());
    let result = match invocation.watch {
        None => dispatch(&global, command, printer).await,
        Some(every) => {
            let title = &invocation.listing.command;
            repeat::run(every, title, async || dispatch(&global, parse()?.command, printer).await).await
        }
    };
    match result {
        Ok(status) => {
            printer.hint_at_end();
            Ok(status)
        }
        Err(failure) if invocation.named.is_empty() => Err(failure),
        Err(failure) => match Connection::new(&global) {
            Ok(connection) => Err(with_suggestion(failure, &connection, &invocation.named).await),
            Err(_) => Err(failure),
        },
    }
}

async fn dispatch(global: &GlobalOptions, command: Command, printer: Printer) -> CommandResult {
    let connect = || Connection::new(global);
    match command {
        Command::Up(arguments) => up::run(global, arguments).await,
        Command::Demo(arguments) => crate::demo::run(global, arguments).await,
        Command::Health => health::run(global, printer).await,
        Command::Schedule(command) => local::schedule(command),
        Command::Version(arguments) => version::run(arguments, printer),
        Command::Explain(arguments) => explain::run(arguments, printer),
        Command::Doctor => doctor::run(global, printer).await,
        Command::Completions { shell } => completions(shell),

        Command::Backup(arguments) => backup::run(global, arguments, printer).await,
        Command::Restore(arguments) => restore::run(global, arguments, printer).await,
        Command::Search(arguments) => search::run(&connect()?, arguments, printer).await,
        Command::Compliance { command } => compliance::run(&connect()?, command, printer).await,
        Command::Inventory(command) => inventory::run(&connect()?, command, printer).await,
        Command::Package(command) => compliance::package(connect, command, printer).await,
        Command::Policy(command) => policy::run(&connect()?, command, printer).await,
        Command::Run(command) => run::run(&connect()?, command, printer).await,
        Command::Plan(PlanCommand::Simulate(arguments)) | Command::Simulate(arguments) => {
            simulate::run(connect, arguments, printer).await
        }
        Command::Plan(PlanCommand::Trace(arguments)) => trace::plan(&connect()?, arguments, printer).await,
        Command::Predictions(arguments) => predictions::run(&connect()?, arguments, printer).await,
        Command::Release(command) => release::run(&connect()?, *command, printer).await,
        Command::Advisory(command) => advisory::run(connect, command, printer).await,
        Command::Feed(command) => feed::run(&connect()?, command, printer).await,
        Command::Exception(command) => waiver::exception(&connect()?, command, printer).await,
        Command::Calendar(command) => waiver::calendar(&connect()?, command, printer).await,

        Command::Ci(command) => cmdb::ci(&connect()?, command, printer).await,
        Command::Relationship(command) => cmdb::relationship(&connect()?, command, printer).await,

        Command::Change(command) => itsm::change(&connect()?, command, printer).await,
        Command::Incident(command) => itsm::incident(&connect()?, command, printer).await,
        Command::Problem(command) => itsm::problem(&connect()?, command, printer).await,
        Command::Notification(command) => itsm::notification(&connect()?, command, printer).await,

        Command::Vm(command) => sim::vm(&connect()?, command, printer).await,
        Command::Fault(command) => sim::fault(&connect()?, command, printer).await,
        Command::Repository(command) => sim::repository(&connect()?, command, printer).await,

        Command::Login(arguments) => sign_in::login(global, arguments).await,
        Command::Logout => sign_in::logout(global).await,
        Command::Whoami => sign_in::whoami(&connect()?, printer).await,
        Command::Context(command) => sign_in::context(command, printer),
        Command::Token(command) => access::token(&connect()?, command, printer).await,
        Command::Person(command) => access::person(&connect()?, command, printer).await,
        Command::Proposal(command) => access::proposal(&connect()?, command, printer).await,
        Command::Webhook(command) => webhooks::webhook(&connect()?, command, printer).await,
        Command::Audit(arguments) => audit::audit(&connect()?, arguments, printer).await,
    }
}

fn completions(shell: clap_complete::Shell) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::arguments::command(), "patchctl", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    OK
}

/// Query parameters.
type Filter = Vec<(&'static str, String)>;

/// The parameters that were given.
fn filter<const N: usize>(given: [(&'static str, Option<String>); N]) -> Filter {
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// `key=value` on the command line is `key:value` in a query.
fn add_tags(filter: &mut Filter, tags: Vec<(String, String)>) {
    filter.extend(tags.into_iter().map(|(key, value)| ("tag", format!("{key}:{value}"))));
}

/// The name of an enum's variant on the wire.
fn wire_name<T: Serialize>(value: T) -> String {
    let written = serde_json::to_value(value).ok();
    written.as_ref().and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// The name on the wire as people read it.
fn spaced_name<T: Serialize>(value: T) -> String {
    wire_name(value).replace('_', " ")
}

/// The strong ETag of a version.
fn etag(version: Option<i64>) -> Option<String> {
    version.map(|version| format!("\"{version}\""))
}
