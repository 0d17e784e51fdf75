//! The rules, each verb in one transaction.

pub(crate) mod advisories;
pub(crate) mod advisory_import;
pub(crate) mod calendars;
pub(crate) mod compliance;
mod evaluation;
pub(crate) mod exceptions;
pub(crate) mod feed_folder;
pub(crate) mod feed_imports;
pub(crate) mod hosts;
pub(crate) mod inventory;
pub(crate) mod keys;
pub(crate) mod plans;
pub(crate) mod playbooks;
pub(crate) mod policies;
pub(crate) mod predictions;
pub(crate) mod remote;
mod run_files;
pub(crate) mod run_stream;
pub(crate) mod runs;
pub(crate) mod scans;
pub(crate) mod system_patch;
pub(crate) mod updates;
pub(crate) mod upkeep;
pub(crate) mod what_if;
