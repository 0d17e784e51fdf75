//! The rules: each verb runs in one transaction. The public parts are for the capabilities above.

pub mod advisories;
pub(crate) mod advisory_import;
pub mod compliance;
pub mod criteria_cache;
pub(crate) mod exceptions;
pub(crate) mod feed_folder;
pub(crate) mod feed_imports;
pub(crate) mod history;
pub(crate) mod host_list;
mod host_list_entries;
pub(crate) mod host_os;
pub(crate) mod host_packages;
pub mod hosts;
pub(crate) mod housekeeping;
pub(crate) mod installed;
pub mod inventory;
pub(crate) mod inventory_fingerprint;
pub(crate) mod inventory_push;
pub mod observation;
mod os_tag;
pub(crate) mod package_set_matching;
pub mod policies;
mod policy_results;
mod remediation_stats;
pub(crate) mod sla;
pub(crate) mod throttled_cache;
pub mod updates;
