//! SQL, and nothing but SQL: concrete functions over a connection of the caller's.

pub mod customers;
pub mod deployments;
pub mod health_watches;
pub mod lines;
pub mod metrics;
pub mod releases;
