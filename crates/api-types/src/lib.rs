//! The wire types of the services: one module per service, and the types they share.
//!
//! Types only: the only checks are those of `domain` while parsing.

pub mod access;
pub mod cmdb;
pub mod itsm;
pub mod page;
pub mod patch;
pub mod problem;
pub mod problem_types;
pub mod rights;
pub mod sim;
pub mod sim_customers;
pub mod webhooks;

/// Rules for text, for crates that know nothing of the product.
pub use domain::text;
