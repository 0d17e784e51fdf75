//! SQL, and nothing but SQL: concrete functions over a connection, in the caller's transaction.

pub mod approvals;
pub mod changes;
pub mod incidents;
pub mod links;
pub mod notifications;
pub mod problems;
mod words;
