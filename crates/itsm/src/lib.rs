//! The ITSM service: change requests with their approvals, incidents, problems, and notifications by e-mail and webhook.
//!
//! It decides who may approve what and remembers who did; it never carries a change out, and knows CIs by their ids
//! alone. Layers: `api` extracts and converts, `app` holds the rules and owns the transaction, `store` is SQL,
//! `delivery` takes the outbox out of the house.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod delivery;
mod service;
mod settings;
mod store;

pub use service::Itsm;
pub use settings::Settings;
