//! Runs `ansible-playbook`: inventory and variables in, a typed stream of events out.
//!
//! The platform's only way to a host. A run is a child process in its own process group, with 0600 files in a folder of
//! its own and an environment built from nothing. It ends when this process ends. It can be asked to stop between two
//! steps, and is terminated or killed if it does not. A later process that knows its pid and start time can end it.
//!
//! Must never: use a shell; take a playbook's path or a connection setting from a user; let a text from outside be
//! rendered as a template; put a secret on a command line, into an environment, an event or a log.

mod error;
mod event;
mod inventory;
mod playbook;
mod secret;
mod ssh;
mod variables;

mod environment;
mod event_reader;
mod judge;
mod lease_file;
mod lines;
mod output_log;
mod private_folder;
mod process;
mod run_folder;
mod ssh_files;
mod supervisor;

mod ansible_runner;
mod by_hand;
mod run;

pub use ansible_runner::{AnsibleRunner, locate_ansible_inventory};
pub use by_hand::ByHand;
pub use error::StartError;
pub use event::{
    End, Ended, Event, ExitKind, HostOutcome, HostOutcomeKind, HostResult, HostStatus, NewerVersion,
    PackageChange, PassedOver, TestResult,
};
pub use inventory::{Connection, InvalidInventory, Inventory};
pub use lease_file::LeaseFile;
pub use playbook::{Playbook, Playbooks};
pub use process::{Orphan, OrphanEnd};
pub use run::{KillOnDrop, PlaybookRun, RunningPlaybook, StopGraces, StopHandle};
pub use secret::Secret;
pub use ssh::{Address, HostKey, HostKeyRule, Jump, SshConnection, SshKey};
pub use variables::{InvalidVariable, Variables};
