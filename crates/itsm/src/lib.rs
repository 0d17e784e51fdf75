//! The ITSM service: change requests with their approvals, incidents, problems, and notifications by e-mail and webhook.
//!
//! It decides who may approve what and records who did. It never executes a change, and knows CIs only by their
//! ids. Layers: `api` extracts and converts, `app` contains the rules and owns the transaction, `store` is SQL,
//! `delivery` sends the outbox.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod delivery;
mod service;
mod settings;
mod state;
mod store;

pub use service::Itsm;
pub use settings::Settings;

/// As the service is named in addresses, logs and metrics.
const NAME: &str = "itsm";
