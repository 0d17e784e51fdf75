//! The CMDB: configuration items, their relationships and their history.
//!
//! Layers `api -> app -> store`, never back: handlers extract, call and convert; `app` contains the rules and owns the
//! transaction; all SQL is in `store`. The desired state of machines is kept here, their actual state is the
//! sim-engine's: this crate reads it over HTTP and never touches another service's tables.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod service;
mod settings;
mod state;
mod store;

pub use service::Cmdb;
pub use settings::Settings;
