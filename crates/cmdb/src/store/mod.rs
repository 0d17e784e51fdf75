//! All SQL of the CMDB. Functions are concrete, take a connection, and leave the transaction to their caller.

pub mod cis;
pub mod graph;
pub mod history;
pub mod impact;
pub mod inventory;
pub mod relationships;
pub mod sync;
mod words;
