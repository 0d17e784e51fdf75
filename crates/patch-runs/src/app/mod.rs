//! The rules, each verb in one transaction. The crate above may call what is public here.

pub mod calendars;
pub(crate) mod change_text;
pub(crate) mod following_runs;
mod freeze_prices;
pub(crate) mod host_states;
pub mod keys;
pub(crate) mod notices;
pub mod owned_run;
pub(crate) mod owner_notices;
pub mod plans;
pub mod playbooks;
pub(crate) mod predictions;
pub(crate) mod previews;
pub mod records;
pub(crate) mod run_changes;
pub(crate) mod run_diffs;
pub(crate) mod run_files;
pub(crate) mod run_parts;
pub(crate) mod run_stream;
pub mod runs;
pub(crate) mod scan_targets;
pub(crate) mod scans;
pub(crate) mod system_patch;
pub(crate) mod targets;
pub mod transition;
pub(crate) mod what_if;
pub mod work;
