//! The CMDB over real HTTP and a real PostgreSQL.

mod attacks;
mod bad_input;
mod changes;
mod cis;
mod graph;
mod import;
mod inventory;
mod maintenance;
mod platform;
mod relationships;
mod sync;
mod tls;
