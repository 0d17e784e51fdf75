//! The patch-manager: which hosts lack what, what is done about it, and the proof that it was done.
//!
//! It reads the CMDB, asks ITSM for leave, has the sim-engine take snapshots and Ansible do the work, all over their own
//! interfaces; it never touches another service's tables. Inside, `api` calls `app` calls `store`; `engine` performs what
//! the run's state machine in `domain` decides.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod engine;
mod service;
mod settings;
mod store;
mod vault;

pub use service::PatchManager;
pub use settings::{FeedSettings, Settings};
