//! SQL, and nothing but SQL: concrete functions over a conn of the caller's.

pub mod calendars;
pub mod host_steps;
pub mod notices;
pub mod predictions;
pub mod reboots;
pub mod run_records;
pub mod runs;
pub mod scans;
pub mod schedules;
