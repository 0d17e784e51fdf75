//! The command line as data. The doc comments are the manual that `--help` prints.

mod access;
mod advisory;
mod cmdb;
mod compliance;
mod demo;
mod examples;
mod explain;
pub mod global;
mod help;
mod import;
mod invocation;
mod itsm;
mod local;
mod output;
mod policy;
mod predictions;
mod release;
mod restore;
mod run;
mod search;
mod selection;
pub mod short_id;
mod sign_in;
mod sim;
mod simulate;
mod up;
mod waiver;
mod webhooks;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use access::{AuditArguments, AuditCommand, AuditHead, PersonCommand, ProposalCommand, TokenCommand};
pub use advisory::{AdvisoryCommand, MatchArguments};
pub use cmdb::{CiCommand, MaintenanceCommand, RelationshipCommand};
pub use compliance::{ComplianceCommand, InventoryCommand, PackageCommand};
pub use demo::{DemoArguments, DemoHosts, Scene};
pub use explain::ExplainArguments;
pub use feed::{AddFeed, FeedCommand};
pub use global::GlobalOptions;
pub use help::command;
pub use import::ImportArguments;
pub use invocation::{Invocation, Named};
pub use itsm::{
    ChangeCommand, CloseFields, DecisionFields, IncidentCommand, NotificationCommand, ProblemCommand,
};
pub use local::{CompareArguments, PackagingName, ScheduleCommand, VersionArguments, VersionCommand};
pub use output::{COLUMNS, LIMIT, Most, SORT, WATCH};
pub use policy::PolicyCommand;
pub use predictions::PredictionsArguments;
pub use release::{LineCommand, PlanArguments, ReleaseCommand, SimulateRelease};
pub use restore::{BackupArguments, OtherDatabase, RestoreArguments, RestoreCommand};
pub use run::{
    LogFormat, OrderArguments, PlanCommand, ReportFormat, RunCommand, RunOptions, StartArguments,
    TraceArguments,
};
pub use search::SearchArguments;
pub use selection::Selection;
pub use short_id::{IncidentId, ProblemId, ShortId};
pub use sign_in::{ContextCommand, LoginArguments};
pub use sim::{FaultCommand, RepositoryCommand, SnapshotCommand, VmCommand};
pub use simulate::{ScenarioArguments, SimulateArguments};
pub use up::UpArguments;
pub use waiver::{CalendarCommand, ExceptionCommand};
pub use webhooks::WebhookCommand;

const EXAMPLES: &str = "\
Examples:
  patchctl up                                          start the platform on ports 8080 to 8083
  patchctl ci import fleet.csv                         add the hosts
  patchctl advisory import seeds/advisories            add the vendors' fixes
  patchctl compliance scan --all --wait                scan the hosts
  patchctl compliance                                  show the compliance of the fleet
  patchctl policy create -f policy.yaml                define how and when hosts are patched
  patchctl run start --policy policy-rhel9-baseline    patch them now
  patchctl run watch RUN                               follow the run
  patchctl change approve CHG0000001                   approve somebody else's plan

Exit status: 0 done, 1 failed, 2 invalid arguments, 3 partly done.";

/// Keeps fleets of Linux hosts patched under change control.
#[derive(Debug, Parser)]
#[command(name = "patchctl", version, after_help = EXAMPLES, max_term_width = 110, propagate_version = false)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalOptions,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the platform: PostgreSQL and the four services, until ctrl-C or SIGTERM.
    Up(UpArguments),
    /// Play a whole evening, from a critical advisory to the proof, on a platform of its own.
    Demo(DemoArguments),
    /// Check whether the services are ready.
    Health,
    /// Back up the platform: its database, its keys and its work folder, also while it works.
    Backup(BackupArguments),
    /// Restore a backup, and continue after the database was restored or copied.
    Restore(RestoreArguments),
    /// Search hosts, CVEs, packages, runs, changes and customers by a few characters.
    Search(SearchArguments),
    /// Compliance of the fleet, and what is missing.
    Compliance {
        #[command(subcommand)]
        command: Option<ComplianceCommand>,
    },
    /// Send package lists that an agent or another tool collected.
    #[command(subcommand)]
    Inventory(InventoryCommand),
    /// Installed packages across the fleet.
    #[command(subcommand)]
    Package(PackageCommand),
    /// Policies: which hosts are patched, when and how.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Runs: start, steer, follow and report patching.
    #[command(subcommand)]
    Run(RunCommand),
    /// Plans, before they are executed.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Simulate a plan under each strategy, for the fleet or for a scenario in a file.
    Simulate(SimulateArguments),
    /// Compare the predictions of runs with what happened.
    Predictions(PredictionsArguments),
    /// Product releases to customers, tier by tier.
    #[command(subcommand)]
    Release(Box<ReleaseCommand>),
    /// Advisories of the vendors, and the hosts they affect.
    #[command(subcommand, alias = "advisories")]
    Advisory(AdvisoryCommand),
    /// Feeds of advisories that the platform fetches itself.
    #[command(subcommand)]
    Feed(FeedCommand),
    /// Exceptions: hosts or packages that stay unpatched on purpose, for a limited time.
    #[command(subcommand)]
    Exception(ExceptionCommand),
    /// Freeze calendars: times when nothing starts.
    #[command(subcommand)]
    Calendar(CalendarCommand),
    /// Configuration items: hosts, services, clusters.
    #[command(subcommand)]
    Ci(CiCommand),
    /// Relationships between configuration items.
    #[command(subcommand)]
    Relationship(RelationshipCommand),
    /// Change requests and their approval.
    #[command(subcommand)]
    Change(ChangeCommand),
    /// Incidents: what failed.
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Problems: the causes of incidents.
    #[command(subcommand)]
    Problem(ProblemCommand),
    /// E-mails and webhooks that were or will be sent.
    #[command(subcommand)]
    Notification(NotificationCommand),
    /// Virtual machines and their snapshots.
    #[command(subcommand)]
    Vm(VmCommand),
    /// Injected faults, to test how the platform handles them.
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Package repositories of model machines.
    #[command(subcommand)]
    Repository(RepositoryCommand),
    /// Sign in at the identity provider of a platform, with a browser on any machine. The token is kept in ~/.config/patchctl, closed to
    /// others, and ends by itself.
    Login(LoginArguments),
    /// Sign out: end the token of the sign-in and remove it from this machine.
    Logout,
    /// Show who you are at the platform, your roles, and until when.
    Whoami,
    /// Platforms that you have signed in to.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Tokens and their roles.
    #[command(subcommand)]
    Token(TokenCommand),
    /// People: their verified addresses and roles, and who can approve.
    #[command(subcommand)]
    Person(PersonCommand),
    /// Proposals: new approvers and administrators, which a second person confirms.
    #[command(subcommand)]
    Proposal(ProposalCommand),
    /// Receivers of webhooks and their secrets.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Print the audit log: who did what.
    Audit(AuditArguments),
    /// Crontab schedules, without a platform.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Print the version of this program.
    #[command(after_help = "Example:\n  patchctl version -o json")]
    Version(VersionArguments),
    /// Explain a resource or a field of it: its type, default, range and meaning.
    Explain(ExplainArguments),
    /// Check the platform and this machine: what is wrong, and what to do about it. Exit status 1 when a check failed.
    ///
    /// Services, clocks, database, disks, Ansible, keys for hosts, feeds, stuck runs and waiting messages. What cannot be found
    /// out is `unknown`, with the reason. The role operator or admin is needed to see everything.
    #[command(after_help = "Examples:\n  patchctl doctor\n  patchctl doctor -o json")]
    Doctor,
    /// Print the completion script of a shell. It asks the platform for ids, policies and hosts.
    #[command(after_help = "Example:\n  patchctl completions bash > /etc/bash_completion.d/patchctl")]
    Completions { shell: clap_complete::Shell },
}

/// A file with a request in JSON or YAML.
#[derive(Debug, Clone, Args)]
pub struct RequestFile {
    /// JSON or YAML file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

/// `key=value`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

/// An enum of the API by its name on the wire.
pub fn parse_name<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| error.to_string())
}

/// An RFC 3339 time.
pub fn parse_time(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "is not an RFC 3339 time, write it like `2026-03-01T00:00:00Z`".to_owned())
}

#[cfg(test)]
mod documented;
mod feed;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pairs_need_a_key() {
        assert_eq!(parse_pair("env=a=b"), Ok(("env".into(), "a=b".into())));
        assert!(parse_pair("=x").is_err() && parse_pair("env").is_err());
    }
}
