//! The sim-engine: virtual machines with power, snapshots and injected faults, and the guests of the `model` driver.
//!
//! All state is in PostgreSQL, and each operation is one transaction under the row lock of its machine: a process that
//! dies at any point loses nothing and does nothing twice. It knows nothing of inventories, plans or runs.

mod service;
mod settings;
mod state;

mod api;
mod app;
mod customer;
mod driver;
mod machine;
mod store;

pub use service::SimEngine;
pub use settings::SimSettings;

/// As the service is named in addresses, logs and metrics.
const NAME: &str = "sim-engine";
