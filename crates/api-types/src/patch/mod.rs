//! The patch-manager: compliance, policies, runs, advisories, exceptions, calendars.

mod advisories;
mod compliance;
mod policies;
mod predictions;
mod runs;
mod system_patch;
mod waivers;

pub use advisories::*;
pub use compliance::*;
pub use policies::*;
pub use predictions::*;
pub use runs::*;
pub use system_patch::{CommandLine, SystemPatch};
pub use waivers::*;
