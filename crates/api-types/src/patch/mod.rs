//! The patch-manager: compliance, policies, runs, advisories, exceptions, calendars.

mod advisories;
mod command_line;
mod compliance;
mod diagnosis;
mod feeds;
mod host_list;
mod pending_restart;
mod policies;
mod predictions;
mod releases;
mod run_diffs;
mod runs;
mod search;
mod system_patch;
mod traces;
mod waivers;
mod what_if;

pub use advisories::*;
pub use command_line::{CommandLine, NotCommands, split_commands};
pub use compliance::*;
pub use diagnosis::*;
pub use feeds::*;
pub use host_list::*;
pub use pending_restart::*;
pub use policies::*;
pub use predictions::*;
pub use releases::*;
pub use run_diffs::*;
pub use runs::*;
pub use search::*;
pub use system_patch::SystemPatch;
pub use traces::*;
pub use waivers::*;
pub use what_if::*;
