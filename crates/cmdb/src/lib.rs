//! The CMDB: what there is, how it hangs together, and what happened to it.
//!
//! Layers `api -> app -> store`, never back: handlers extract, call and convert; `app` holds the rules and owns the
//! transaction; SQL lives in `store` alone. The desired state of machines is kept here, their actual state is the
//! sim-engine's: this crate reads it over HTTP and never touches another service's tables.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod service;
mod store;

pub use service::{Cmdb, Settings};
