//! SQL only: functions that take a connection of the caller.

pub mod calendars;
pub mod diagnosis;
pub mod host_states;
pub mod host_steps;
pub mod installation;
pub mod notices;
pub mod owner_notices;
pub mod predictions;
pub mod reboots;
pub mod run_diffs;
pub mod run_hosts;
pub mod run_records;
pub mod runs;
pub mod scans;
pub mod schedules;
pub mod search;
pub mod snapshots;
pub mod subject_locks;
