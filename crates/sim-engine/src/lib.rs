//! The sim-engine: virtual machines with power, snapshots and injected faults, over drivers, and the inside of the guests
//! of the `model` driver.
//!
//! Everything is in PostgreSQL, and each operation is one transaction under the machine's row lock: a process that dies
//! at any point loses nothing and does nothing twice. It knows nothing of inventories, plans or runs.

mod service;

mod api;
mod app;
mod customer;
mod driver;
mod machine;
mod store;

pub use service::{SimEngine, SimSettings};
