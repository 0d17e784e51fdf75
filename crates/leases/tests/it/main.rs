//! Ownership of rows against a real PostgreSQL, with worker processes that are killed, stopped and restarted.

mod claims;
mod cluster;
mod failures;
mod product;
mod wakeups;
mod worker_process;
