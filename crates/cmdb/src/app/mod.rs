//! The rules of the CMDB. Each verb owns its transaction: change, history and audit record are one.

pub mod changes;
pub mod cis;
pub mod graph;
pub mod housekeeping;
pub mod impact;
pub mod import;
pub mod inventory;
pub mod maintenance;
mod os_tag;
pub mod patch_state;
mod record;
pub mod relationships;
mod rules;
pub mod sync;
