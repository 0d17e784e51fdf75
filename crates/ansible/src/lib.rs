//! Runs `ansible-playbook`: inventory and variables in, a typed stream of events out.
//!
//! The platform's only way to a host. A run is a child process in its own process group, whose files are 0600 in a
//! folder of its own, whose environment is made from nothing, and which ends when this process does. It can be asked to
//! stop between two steps, is terminated or killed when it does not, and can be ended by a later process that knows its
//! pid and start time.
//!
//! Must never: use a shell, take a playbook's path or a connection setting from a user, let a text from outside be
//! rendered as a template, put a secret on a command line, into an environment, an event or a log.

mod error;
mod event;
mod inventory;
mod playbook;
mod secret;
mod ssh;
mod variables;

mod environment;
mod event_reader;
mod lines;
mod output_log;
mod private_folder;
mod process;
mod run_folder;
mod spawner;
mod ssh_files;
mod supervisor;

mod ansible_runner;
mod run;
mod runner;
mod scripted;

pub use ansible_runner::AnsibleRunner;
pub use error::StartError;
pub use event::{
    End, Ended, Event, ExitKind, HostOutcome, HostOutcomeKind, HostResult, HostStats, HostStatus,
    PackageChange, PassedOver, Step, TestResult,
};
pub use inventory::{Connection, InvalidInventory, Inventory};
pub use playbook::{Playbook, Playbooks, UnknownPlaybook};
pub use process::{Orphan, OrphanEnd};
pub use run::{PlaybookRun, RunningPlaybook, StopGraces, StopHandle};
pub use run_folder::remove_secrets;
pub use runner::{PlaybookRunner, StartFuture};
pub use scripted::{Script, ScriptedRunner};
pub use secret::Secret;
pub use ssh::{Address, HostKey, HostKeyRule, Jump, SshConnection, SshKey};
pub use variables::{InvalidVariable, Variables};
