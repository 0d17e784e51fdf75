//! What travels between the services and their clients: one module per service, and the shapes they share.
//!
//! Types only: no rule is checked here that `domain` does not check while parsing.

pub mod access;
pub mod cmdb;
pub mod itsm;
pub mod page;
pub mod patch;
pub mod problem;
pub mod sim;
pub mod sim_customers;
